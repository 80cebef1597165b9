"""Back-pressure: the bound holds whatever is in flight, and room comes back as the downloader reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imagelane.intake.core.room import Room


def test_nothing_is_granted_before_the_first_reading() -> None:
    assert Room(100).grant([0, 0]) == 0


def test_a_grant_ends_at_the_first_record_that_does_not_fit() -> None:
    room = Room(3)
    room.finish_reading(room.begin_reading(), {0: 1, 1: 3})
    assert room.grant([0, 0, 0, 2]) == 2
    assert room.grant([2, 1, 2]) == 1
    assert room.grant([0]) == 0


def test_room_comes_back_as_the_downloader_reads() -> None:
    room = Room(2)
    room.finish_reading(room.begin_reading(), {})
    assert room.grant([0, 0]) == 2
    room.delivered([0, 0])
    room.finish_reading(room.begin_reading(), {0: 1})
    assert room.free(0) == 1


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["send", "deliver", "consume", "begin", "finish"]), st.integers(1, 9)
        ),
        max_size=60,
    )
)
def test_unread_records_never_exceed_the_bound(steps: list[tuple[str, int]]) -> None:
    room = Room(20)
    in_flight = unread = 0
    reading = room.begin_reading()
    measured = 0
    for step, amount in steps:
        match step:
            case "send":
                in_flight += room.grant([0] * amount)
            case "deliver":
                arrived = min(amount, in_flight)
                in_flight, unread = in_flight - arrived, unread + arrived
                room.delivered([0] * arrived)
            case "consume":
                unread -= min(amount, unread)
            case "begin":
                reading, measured = room.begin_reading(), unread
            case _:
                room.finish_reading(reading, {0: measured})
        assert unread + in_flight <= 20
