"""What the downloader counts of how it spares servers."""

from __future__ import annotations

from prometheus_client import REGISTRY

from imagelane.core.failures import Code
from imagelane.downloader.core.pace import PROBED_AFTER_ROUNDS, PacePolicy, Throttling
from imagelane.downloader.core.schedule import HostSchedule, Start
from imagelane.downloader.metrics import ScheduleGauges


def started(schedule: HostSchedule[int], now: float, server: str = "a.test") -> Start[int]:
    schedule.put(server, "acme", 1, now)
    start = schedule.next(now)
    assert start is not None
    return start


def fail(schedule: HostSchedule[int], now: float, *, after: float | None = None) -> None:
    start = started(schedule, now)
    schedule.troubled(start, now + 0.1, Code.HTTP_ERROR, after)


def test_a_server_in_trouble_is_cut_once_a_round_and_then_left_alone() -> None:
    schedule: HostSchedule[int] = HostSchedule(64, PacePolicy())
    for attempt in range(PROBED_AFTER_ROUNDS):
        fail(schedule, attempt * 100.0)
    assert schedule.throttling == Throttling(cuts_for_trouble=4, pauses_failing=1)


def test_a_server_that_asks_for_a_pause_is_counted_as_such() -> None:
    schedule: HostSchedule[int] = HostSchedule(64, PacePolicy())
    fail(schedule, 0.0, after=5.0)
    assert schedule.throttling == Throttling(cuts_for_trouble=1, pauses_asked=1)


def test_a_server_that_becomes_slow_is_cut_for_its_latency() -> None:
    schedule: HostSchedule[int] = HostSchedule(64, PacePolicy())
    for now, answer_seconds in enumerate([0.1] * 5 + [5.0] * 5):
        schedule.answered(started(schedule, now), now + 0.5, answer_seconds)
    assert schedule.throttling.cuts_for_latency > 0
    assert schedule.throttling.cuts_for_trouble == 0


def test_servers_are_counted_together_and_shown_as_what_was_added() -> None:
    def shown(why: str) -> float:
        name = "imagelane_downloader_server_cuts_total"
        return REGISTRY.get_sample_value(name, {"why": why}) or 0.0

    schedule: HostSchedule[int] = HostSchedule(64, PacePolicy())
    gauges, before = ScheduleGauges(), shown("trouble")
    for server in ("a.test", "b.test"):
        start = started(schedule, 0.0, server)
        schedule.troubled(start, 0.1, Code.TIMEOUT, None)
    gauges.show(schedule)
    gauges.show(schedule)
    assert shown("trouble") - before == 2
    assert REGISTRY.get_sample_value("imagelane_downloader_servers") == 2
    started(schedule, 100.0)
    schedule.put("c.test", "acme", 1, 100.0)
    gauges.show(schedule)
    assert REGISTRY.get_sample_value("imagelane_downloader_in_flight_images") == 1
    assert REGISTRY.get_sample_value("imagelane_downloader_waiting_images") == 1
