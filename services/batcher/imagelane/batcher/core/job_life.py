"""A job's life as the batcher sees it, and what cuts it short."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

State = Literal["unheard", "open", "sealed", "cut", "ending", "finished", "told", "forgotten"]
"""`unheard`: only named; `open`: its images come; `sealed`: their number is known. A job that is cut
short is `cut`, and `ending` once it is sealed too. `finished`: every image has its outcome; `told`:
and everybody knows."""

CutReason = Literal["deadline", "cancel", "delete"]
RANK: Final[dict[CutReason, int]] = {"deadline": 0, "cancel": 1, "delete": 2}
"""Of several reasons the one with the highest rank is told, in whichever order they come."""


class Move(StrEnum):
    """What can happen to a job."""

    LEARN = "learn"
    SEAL = "seal"
    CUT = "cut"
    FINISH = "finish"
    TELL = "tell"
    REMIND = "remind"
    FORGET = "forget"


TRANSITIONS: Final[dict[tuple[State, Move], State]] = {
    ("unheard", Move.LEARN): "open",
    ("unheard", Move.CUT): "cut",
    ("unheard", Move.FORGET): "forgotten",  # nobody ever accepted it
    ("open", Move.SEAL): "sealed",
    ("open", Move.CUT): "cut",
    ("sealed", Move.CUT): "ending",
    ("sealed", Move.FINISH): "finished",
    ("cut", Move.LEARN): "cut",
    ("cut", Move.CUT): "cut",  # for a reason of higher rank
    ("cut", Move.SEAL): "ending",
    ("cut", Move.FORGET): "forgotten",  # a command for a job that does not exist
    ("ending", Move.CUT): "ending",
    ("ending", Move.FINISH): "finished",
    ("finished", Move.TELL): "told",
    ("told", Move.REMIND): "told",  # intake has not heard of it: told again, in the same words
    ("told", Move.FORGET): "forgotten",
}
