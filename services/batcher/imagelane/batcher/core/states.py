"""State machines as tables: (state, move) → state. What the table does not have does not happen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

State = TypeVar("State", bound=str)
Move = TypeVar("Move", bound=str)


class IllegalMoveError(Exception):
    """A decision that the state does not allow: a bug, and nothing was changed."""


def after(table: Mapping[tuple[State, Move], State], state: State, move: Move) -> State:
    """The state after the move. Raises `IllegalMoveError`."""
    try:
        return table[state, move]
    except KeyError:
        raise IllegalMoveError(f"{move} while {state}") from None
