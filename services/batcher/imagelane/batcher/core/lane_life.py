"""When a lane asks for calls, as a state machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

State = Literal["idle", "gathering", "asking", "warm"]
"""`idle`: nothing is ready; `gathering`: a cold lane waits for enough images; `asking`: a request is
open; `warm`: the last request was answered a moment ago, and whatever is ready is asked for at once."""


class Move(StrEnum):
    """What can happen to a lane."""

    FILL = "fill"
    DRAIN = "drain"
    ASK = "ask"
    SEND = "send"
    ANSWER = "answer"
    COOL = "cool"
    RESUME = "resume"


TRANSITIONS: Final[dict[tuple[State, Move], State]] = {
    ("idle", Move.FILL): "gathering",
    ("idle", Move.RESUME): "asking",  # an open request, as the table has it
    ("gathering", Move.DRAIN): "idle",  # all that was ready is decided, or cut short
    ("gathering", Move.ASK): "asking",
    ("asking", Move.SEND): "asking",  # again when it is due: the same seq, the same images
    ("asking", Move.ANSWER): "warm",
    ("warm", Move.ASK): "asking",
    ("warm", Move.COOL): "idle",
}
