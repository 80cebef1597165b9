from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagelane.core.offsets import (
    MAX_METADATA_CHARS,
    NOTHING,
    OffsetOrderError,
    OffsetTracker,
    Progress,
    check_note,
    decode_progress,
    encode_progress,
)

pytestmark = pytest.mark.slow


def tracker_of(*received: int, start: int | None = None) -> OffsetTracker:
    tracker = OffsetTracker(start)
    for offset in received:
        assert tracker.receive(offset)
    return tracker


def restarted(tracker: OffsetTracker) -> OffsetTracker:
    at = tracker.committable
    assert at is not None
    return OffsetTracker(at, decode_progress(at, tracker.metadata()))


def test_nothing_is_committable_before_a_record_came() -> None:
    assert OffsetTracker(7).committable is None
    assert OffsetTracker(7).metadata() == ""


def test_the_lowest_unfinished_record_holds_the_commit() -> None:
    tracker = tracker_of(3, 4, 5)
    tracker.finish(4)
    tracker.finish(5)
    assert tracker.committable == 3
    tracker.finish(3)
    assert tracker.committable == 6


def test_offsets_that_never_come_do_not_hold_the_commit() -> None:
    tracker = tracker_of(3, 10, 500)
    tracker.finish(3)
    tracker.finish(10)
    assert tracker.committable == 500
    tracker.finish(500)
    assert tracker.committable == 501


def test_the_span_counts_what_is_held_above_the_committable_offset() -> None:
    tracker = tracker_of(3, 4, 5, 6)
    tracker.finish(5)
    assert tracker.span == 4
    tracker.finish(3)
    assert tracker.span == 3


def test_a_record_can_be_finished_only_once_and_only_after_it_came() -> None:
    tracker = tracker_of(3, 4)
    tracker.finish(4)
    for offset in (2, 4):
        with pytest.raises(ValueError, match="not open"):
            tracker.finish(offset)


def test_a_log_that_goes_back_is_refused() -> None:
    tracker = tracker_of(3, 4)
    with pytest.raises(OffsetOrderError):
        tracker.receive(4)


def test_a_log_begun_again_below_the_commit_forgets_the_old_progress() -> None:
    tracker = OffsetTracker(100, Progress(((101, 105),), {100: "page 3"}))
    assert tracker.receive(0)
    assert tracker.receive(103)
    assert tracker.note_of(100) is None
    assert tracker.committable == 0


def test_finished_records_above_the_commit_are_skipped_after_a_restart() -> None:
    tracker = tracker_of(*range(10, 20))
    for offset in (11, 12, 15):
        tracker.finish(offset)
    again = restarted(tracker)
    assert [offset for offset in range(10, 20) if not again.receive(offset)] == [11, 12, 15]
    assert again.committable == 10
    again.finish(10)
    assert again.committable == 13


def test_progress_not_yet_read_again_survives_a_second_restart() -> None:
    tracker = tracker_of(*range(10, 20))
    for offset in (12, 13, 14, 18):
        tracker.finish(offset)
    again = restarted(tracker)
    for offset in range(10, 14):
        again.receive(offset)
    third = restarted(again)
    assert [offset for offset in range(10, 20) if not third.receive(offset)] == [12, 13, 14, 18]


def test_notes_come_back_until_their_record_is_finished() -> None:
    tracker = tracker_of(10, 11)
    tracker.note(10, "line 500")
    tracker.note(11, "line 7")
    tracker.note(11, "line 8")
    again = restarted(tracker)
    assert (again.note_of(10), again.note_of(11)) == ("line 500", "line 8")
    again.receive(10)
    again.receive(11)
    again.finish(11)
    assert restarted(again).note_of(11) is None
    assert restarted(again).note_of(10) == "line 500"


def test_metadata_reads_well_on_the_broker() -> None:
    tracker = tracker_of(5, 6, 7, 8, 12)
    tracker.finish(6)
    tracker.finish(7)
    tracker.finish(12)
    tracker.note(5, "line 3")
    assert json.loads(tracker.metadata()) == {
        "by": "imagelane-1",
        "at": 5,
        "done": [1, 2, 4, 1],
        "notes": {"0": "line 3"},
    }


def test_too_much_progress_keeps_the_notes_and_the_lowest_runs() -> None:
    runs = tuple((offset, offset + 1) for offset in range(1_000_001, 1_100_000, 2))
    progress = Progress(runs, {1_000_000: "x" * 64})
    text = encode_progress(1_000_000, progress)
    kept = decode_progress(1_000_000, text)
    assert len(text) <= MAX_METADATA_CHARS
    assert kept.notes == progress.notes
    assert len(kept.finished) > 400
    assert kept.finished == runs[: len(kept.finished)]


def test_too_many_notes_keep_the_lowest_ones() -> None:
    notes = dict.fromkeys(range(1_000), "y" * 64)
    kept = decode_progress(0, encode_progress(0, Progress((), notes))).notes
    assert 20 <= len(kept) < 1_000
    assert list(kept) == list(range(len(kept)))


@pytest.mark.parametrize("text", ["x" * 65, "ü", "two\nlines", "nul\0"])
def test_a_note_that_would_not_fit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        check_note(text)


@pytest.mark.parametrize(
    "foreign",
    [
        None,
        "",
        "NO_METADATA",
        "{}",
        "[]",
        "[" * 4_000,
        "\ud800",
        '{"by":"somebody","at":5,"done":[0,9]}',
        '{"by":"imagelane-2","at":5,"done":[0,9]}',
        '{"by":"imagelane-1","at":6,"done":[0,9]}',
        '{"by":"imagelane-1","at":5,"done":[0,9,1]}',
        '{"by":"imagelane-1","at":5,"done":[-3,9]}',
        '{"by":"imagelane-1","at":5,"done":"09"}',
        '{"by":"imagelane-1","at":5,"notes":{"0":"\u00fc"}}',
        '{"by":"imagelane-1","at":5,"notes":{"-1":"x"}}',
    ],
)
def test_foreign_metadata_is_just_empty(foreign: str | None) -> None:
    assert decode_progress(5, foreign) == NOTHING


@given(st.text(max_size=200))
def test_no_metadata_can_break_the_reading(text: str) -> None:
    assert decode_progress(0, text) == NOTHING


@st.composite
def progresses(draw: st.DrawFn) -> tuple[int, Progress]:
    at = offset = draw(st.integers(0, 2**62))
    runs = []
    for gap, length in draw(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)))):
        runs.append((offset + gap, offset + gap + length))
        offset += gap + length
    text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=64)
    notes = draw(st.dictionaries(st.integers(at, at + 10_000), text, max_size=20))
    return at, Progress(tuple(runs), notes)


@given(progresses())
def test_progress_survives_the_round_trip(case: tuple[int, Progress]) -> None:
    at, progress = case
    assert decode_progress(at, encode_progress(at, progress)) == progress


@dataclass
class Model:
    """One partition's log, and a worker that receives, finishes and crashes in any order."""

    log: list[int]
    tracker: OffsetTracker = field(default_factory=OffsetTracker)
    committed: int = 0
    metadata: str = ""
    position: int = 0
    in_work: set[int] = field(default_factory=set)
    finished: set[int] = field(default_factory=set)
    skipped: set[int] = field(default_factory=set)

    def receive(self) -> None:
        if self.position == len(self.log):
            return
        offset = self.log[self.position]
        self.position += 1
        if self.tracker.receive(offset):
            self.in_work.add(offset)
        else:
            self.skipped.add(offset)

    def finish(self, choice: int) -> None:
        if self.in_work:
            offset = sorted(self.in_work)[choice % len(self.in_work)]
            self.in_work.remove(offset)
            self.tracker.finish(offset)
            self.finished.add(offset)

    def commit(self) -> None:
        at = self.tracker.committable
        if at is None:
            return
        assert all(offset in self.finished for offset in self.log if offset < at)
        read = self.log[: self.position]
        assert at == min(self.in_work, default=read[-1] + 1)
        assert at >= self.committed
        self.committed, self.metadata = at, self.tracker.metadata()

    def crash(self) -> None:
        progress = decode_progress(self.committed, self.metadata)
        self.tracker = OffsetTracker(self.committed, progress)
        self.position = sum(offset < self.committed for offset in self.log)
        self.in_work.clear()


ACTIONS = st.one_of(
    st.just("receive"), st.just("receive"), st.integers(0, 50), st.just("commit"), st.just("crash")
)


@settings(max_examples=300)
@given(st.sets(st.integers(0, 80), min_size=1), st.lists(ACTIONS, max_size=150))
def test_whatever_happens_no_commit_passes_unfinished_work_and_nothing_is_skipped_unfinished(
    offsets: set[int], actions: list[str | int]
) -> None:
    model = Model(sorted(offsets))
    for action in actions:
        match action:
            case "receive":
                model.receive()
            case "commit":
                model.commit()
            case "crash":
                model.crash()
            case int():
                model.finish(action)
    assert model.skipped <= model.finished
    while model.position < len(model.log):
        model.receive()
    while model.in_work:
        model.finish(0)
    model.commit()
    assert model.finished == offsets
    assert model.committed == max(offsets) + 1
