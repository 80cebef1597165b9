"""The port to the external batch API. An API of another shape is another adapter behind it.

An adapter is a class found by entry point (group `imagelane.batch_api`), made from the dispatcher's settings.
Its methods answer with what was understood and raise nothing that the API's answers can cause; they
end within a bounded time. A cancelled method leaves no request behind that has not been sent yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final, Protocol

from imagelane.dispatcher.core.answers import LookAnswer, StartAnswer
from imagelane.dispatcher.settings import BatchApiSettings

GROUP: Final = "imagelane.batch_api"


class MayNotSendError(Exception):
    """The worker is not sure to own the lane any more: not a byte may be sent."""


class Gate(Protocol):
    """What `start` passes on its way to the wire."""

    def before_bytes(self) -> None:
        """Called right before the first byte; nothing may be sent when it raises `MayNotSendError`."""
        ...

    def after_bytes(self) -> None:
        """Called when the last byte was handed over."""
        ...


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call to be started. `body` is the reference contract's; `urls` gives its URLs one by one."""

    customer_id: str
    reference: str
    """Also the idempotency key: the same one always comes with the same body."""
    body: bytes
    urls: Callable[[], Iterator[str]]
    callback_url: str | None = None
    traceparent: str | None = None
    """The call's W3C trace context, for the API's own spans to hang on; None while there are no traces."""


class BatchApi(Protocol):
    """The external API as the dispatcher needs it."""

    async def start(self, call: NewCall, gate: Gate) -> StartAnswer:
        """Asks for the call, once."""
        ...

    async def look(self, customer_id: str, call_id: str) -> LookAnswer:
        """How a call stands."""
        ...

    async def find_by_reference(self, customer_id: str, reference: str) -> LookAnswer:
        """The call of this reference, if the API has one."""
        ...

    async def close(self) -> None:
        """Ends all connections."""
        ...


class UnknownAdapterError(Exception):
    """There is no adapter of this name; the message says which there are."""


def open_batch_api(settings: BatchApiSettings) -> BatchApi:
    """The adapter that the settings name. Raises `UnknownAdapterError`."""
    found = entry_points(group=GROUP)
    if settings.adapter not in found.names:
        known = ", ".join(sorted(found.names)) or "none"
        raise UnknownAdapterError(
            f"IMAGELANE_BATCH_API__ADAPTER: there is no entry point {settings.adapter!r} in the"
            f" group {GROUP} (there is: {known})"
        )
    adapter: Callable[[BatchApiSettings], BatchApi] = found[settings.adapter].load()
    return adapter(settings)
