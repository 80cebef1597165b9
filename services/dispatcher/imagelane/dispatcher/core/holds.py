"""Why a lane stands still, in words that a person understands: what happened, and what can be done.

Every hold of a lane has one of these kinds. `docs/lanes.md` lists them from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_DETAIL_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Hold:
    """A kind of hold. `{detail}` in `says` is what is known of the case at hand."""

    says: str
    remedy: str

    def reason(self, detail: object = "") -> str:
        """The reason of a hold of this kind, whole."""
        return f"{self.says.format(detail=str(detail)[:MAX_DETAIL_CHARS])}. {self.remedy}"


_LOOK_IT_UP: Final = (
    "look the call up at the API by its reference, then release the lane:"
    " `treat_as_done` if it ran, `retry` if it never came"
)

FATE_UNKNOWN: Final = Hold(
    "Nobody can tell whether the API took the call ({detail}), and this API cannot be asked",
    f"Nothing is sent until a person decides: {_LOOK_IT_UP}.",
)
NO_CLEAR_ANSWER: Final = Hold(
    "For a long time the API has given no clear answer whether it takes the call ({detail})",
    f"It is asked again from time to time. If it only fails for this call: {_LOOK_IT_UP}, or `treat_as_failed`.",
)
REFUSED_IN_DOUBT: Final = Hold(
    "The API refuses the call, but an earlier attempt of it may still be running there ({detail})",
    f"It is looked for again from time to time. To end this: {_LOOK_IT_UP}, `treat_as_failed` if it must not run.",
)
DENIED: Final = Hold(
    "The API does not let us in, or the call cannot be sent as it was planned ({detail})",
    "It is tried again from time to time, so mending credentials or settings is enough; `retry` does it at once.",
)
VANISHED: Final = Hold(
    "The API took the call {detail}, and no longer knows it",
    "It is looked for again from time to time. Ask the API's owner what became of it, then release the lane:"
    " `treat_as_done`, `treat_as_failed`, or `retry` to send it again.",
)
UNRESOLVABLE: Final = Hold(
    "The call has ended, but which of its images failed cannot be told ({detail})",
    "It is looked at again from time to time. Once it is known what became of its images, release the lane:"
    " `treat_as_done` or `treat_as_failed`, for all of them.",
)

HOLDS: Final[dict[str, Hold]] = {
    "fate unknown": FATE_UNKNOWN,
    "no clear answer": NO_CLEAR_ANSWER,
    "refused, in doubt": REFUSED_IN_DOUBT,
    "denied": DENIED,
    "vanished": VANISHED,
    "unresolvable": UNRESOLVABLE,
}
"""Every kind, by its name in the documentation."""

OTHER: Final = "other"


def kind_of(reason: str) -> str:
    """The name of the kind of hold that a lane's reason is of; `other` for words of another version."""
    for name, hold in HOLDS.items():
        if reason.startswith(hold.says.partition("{")[0]):
            return name
    return OTHER
