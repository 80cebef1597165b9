"""Whether all lanes stand still because the topics are not what they were made as, for whoever looks at a lane."""

from __future__ import annotations

from typing import Final, Protocol

from msgspec.structs import replace

from imagelane.core.api_keys import Caller
from imagelane.tracking.views import LaneStatus

FOR_CUSTOMERS: Final = "the service stands still until its operators have acted"


class Differing(Protocol):
    """What compares topics with how they were made."""

    @property
    def difference(self) -> str:
        """What is different; empty if nothing is."""
        ...


class Standstill:
    """Says of lanes what batcher and dispatcher say in their logs and probes, without asking them.

    Both hold all lanes when they find their topics different. The gateway compares the same topics.
    """

    def __init__(self, topics: Differing) -> None:
        self._topics = topics

    def seen(self, lane: LaneStatus, caller: Caller) -> LaneStatus:
        """The lane with the reason, if it stands still with all others. Only operators are told of topics."""
        difference = self._topics.difference
        if not difference:
            return lane
        told = difference if caller.customer_id is None else FOR_CUSTOMERS
        return replace(lane, stands_still=told)
