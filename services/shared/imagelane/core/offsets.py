"""Out-of-order work, in-order commits: what of one partition is finished, and how a commit tells it.

Kafka keeps one offset per partition and group: everything below it is done. Records above it that
are finished too go into the commit's metadata, so that a restart does not do them again. Losing the
metadata costs repeated work, never a record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Final

import msgspec

MAX_METADATA_CHARS: Final = 4_000  # the broker refuses 4,096, and other partitions' commits with it
MAX_NOTE_CHARS: Final = 64
MAX_RUNS: Final = MAX_METADATA_CHARS // 4  # a run takes four characters or more: `1,1,`

Run = tuple[int, int]
"""Finished offsets: the first one, and one above the last."""


class OffsetOrderError(Exception):
    """A partition's log went back while it was read, as after a deletion: its offsets mean nothing."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known above a committed offset: finished runs, ascending, and unfinished records' notes."""

    finished: tuple[Run, ...] = ()
    notes: Mapping[int, str] = field(default_factory=dict)


NOTHING: Final = Progress()
Count = Annotated[int, msgspec.Meta(ge=0)]
Note = Annotated[str, msgspec.Meta(max_length=MAX_NOTE_CHARS, pattern=r"^[ -~]*\Z")]


class _Written(msgspec.Struct, tag_field="by", tag="imagelane-1", omit_defaults=True, frozen=True):
    """The metadata: numbers are distances, so that they are short.

    `done` alternates between offsets left out and offsets finished, from `at` on. `at` is the
    offset that it was committed with: tools that copy commits to another one must not mislead us.
    """

    at: int
    done: tuple[Count, ...] = ()
    notes: dict[Count, Note] = {}


def check_note(text: str) -> str:
    """The note itself. Raises `ValueError` for one that is not short, printable ASCII."""
    if len(text) > MAX_NOTE_CHARS or not (text.isascii() and text.isprintable()):
        raise ValueError(
            f"a note is printable ASCII of at most {MAX_NOTE_CHARS} characters: {text!r}"
        )
    return text


def encode_progress(at: int, progress: Progress) -> str:
    """The metadata of a commit at offset `at`: at most 4,000 ASCII characters, '' for nothing.

    What does not fit is left out, the finished runs with the highest offsets first.
    """
    runs, notes = progress.finished[:MAX_RUNS], list(progress.notes.items())
    while runs or notes:
        near = {offset - at: note for offset, note in notes}
        text = msgspec.json.encode(_Written(at, tuple(_distances(at, runs)), near)).decode("ascii")
        if len(text) <= MAX_METADATA_CHARS:
            return text
        if runs:
            runs = runs[: len(runs) // 2]
        else:
            notes = notes[: len(notes) // 2]
    return ""


def decode_progress(at: int, metadata: str | None) -> Progress:
    """What `encode_progress` wrote for offset `at`; nothing for anything else, whoever wrote it."""
    try:
        written = msgspec.json.decode(metadata or "", type=_Written)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return NOTHING
    if written.at != at or len(written.done) % 2:
        return NOTHING
    runs, position = [], at
    for left_out, finished in zip(written.done[::2], written.done[1::2], strict=True):
        first = position + left_out
        position = first + finished
        runs.append((first, position))
    return Progress(tuple(runs), {at + distance: note for distance, note in written.notes.items()})


def _distances(at: int, runs: Iterable[Run]) -> Iterator[int]:
    for first, end in runs:
        yield first - at
        yield end - first
        at = end


class OffsetTracker:
    """One partition during one assignment: received and finished offsets, and what may be committed.

    Only received offsets count. Offsets are received in ascending order; those that never come
    (transaction markers, compacted records) are no matter.
    """

    def __init__(self, start: int | None = None, progress: Progress = NOTHING) -> None:
        """Begins at the committed offset `start`, if there is one, with its commit's progress."""
        self._next = start
        self._received: deque[int] = deque()
        self._finished: set[int] = set()
        self._restored: deque[Run] = deque(progress.finished)
        self._notes = dict(progress.notes)
        self._any_received = False

    @property
    def committable(self) -> int | None:
        """The offset to commit: every received record below it is finished. None before the first."""
        if not self._any_received:
            return None
        return self._received[0] if self._received else self._next

    @property
    def position(self) -> int | None:
        """The offset after the newest received record, else the start; None without either."""
        return self._next

    @property
    def span(self) -> int:
        """How many received records lie at or above the committable offset, finished ones included."""
        return len(self._received)

    def receive(self, offset: int) -> bool:
        """Counts a record in; False if it was finished before the restart and is to be skipped.

        Raises `OffsetOrderError` if the offset is not above all those received before.
        """
        if self._next is not None and offset < self._next:
            self._start_below(offset)
        self._any_received = True
        self._next = offset + 1
        self._received.append(offset)
        while self._restored and self._restored[0][1] <= offset:
            self._restored.popleft()
        if self._restored and self._restored[0][0] <= offset:
            self.finish(offset)
            return False
        return True

    def finish(self, offset: int) -> None:
        """Counts a received record as finished, once; its note is forgotten."""
        if not self._received or offset < self._received[0] or offset in self._finished:
            raise ValueError(f"offset {offset} is not open")
        self._notes.pop(offset, None)
        self._finished.add(offset)
        while self._received and self._received[0] in self._finished:
            self._finished.remove(self._received.popleft())

    def note(self, offset: int, text: str) -> None:
        """Keeps a checked note of an unfinished record until it is finished."""
        self._notes[offset] = text

    def note_of(self, offset: int) -> str | None:
        """The record's note, from before the restart too."""
        return self._notes.get(offset)

    def metadata(self) -> str:
        """What belongs beside the committable offset in its commit; '' where there is nothing."""
        at = self.committable
        if at is None:
            return ""
        finished = [*islice(_runs(sorted(self._finished)), MAX_RUNS), *self._still_restored()]
        notes = {offset: self._notes[offset] for offset in sorted(self._notes) if offset >= at}
        return encode_progress(at, Progress(tuple(finished), notes))

    def _start_below(self, offset: int) -> None:
        if self._any_received:
            raise OffsetOrderError(f"offset {offset} came when {self._next} or more was expected")
        # The log was deleted and begun again: the progress told of other records.
        self._restored.clear()
        self._notes.clear()

    def _still_restored(self) -> Iterator[Run]:
        received_below = self._next or 0
        for first, end in self._restored:
            if end > received_below:
                yield max(first, received_below), end


def _runs(offsets: Iterable[int]) -> Iterator[Run]:
    first = end = -1
    for offset in offsets:
        if offset != end:
            if end >= 0:
                yield first, end
            first = offset
        end = offset + 1
    if end >= 0:
        yield first, end
