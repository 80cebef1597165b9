"""How all lanes stand, in numbers."""

from __future__ import annotations

from prometheus_client import REGISTRY
from tests.unit.batcher.conftest import Desk

from imagelane.batcher.core.census import Census
from imagelane.batcher.metrics import show


def census_of(desk: Desk) -> Census:
    census = Census()
    census.count(desk.lanes, desk.now)
    return census


def test_nothing_is_counted_where_there_is_nothing() -> None:
    census = census_of(Desk())
    assert (census.lanes.total(), census.ready_images, census.unfinished_jobs) == (0, 0, 0)
    assert census.longest_ready_seconds == census.longest_request_seconds == 0.0


def test_ready_images_are_counted_with_the_age_of_the_oldest() -> None:
    desk = Desk()
    desk.processed(range(30))
    desk.seconds += 12.0
    census = census_of(desk)
    assert census.lanes == {"gathering": 1}
    assert (census.ready_images, census.requested_images, census.unfinished_jobs) == (30, 0, 1)
    assert census.longest_ready_seconds == 12.0


def test_requested_images_are_counted_with_the_age_of_the_request() -> None:
    desk = Desk()
    desk.processed(range(100))
    desk.seconds += 5.0
    desk.processed(range(100, 107))
    census = census_of(desk)
    assert census.lanes == {"asking": 1}
    assert (census.ready_images, census.requested_images) == (7, 100)
    assert (census.longest_ready_seconds, census.longest_request_seconds) == (0.0, 5.0)


def test_what_was_shown_once_goes_when_its_lanes_go() -> None:
    desk = Desk()
    desk.processed(range(30))
    show(census_of(desk))
    assert REGISTRY.get_sample_value("imagelane_batcher_ready_images") == 30
    show(Census())
    assert REGISTRY.get_sample_value("imagelane_batcher_ready_images") == 0
    assert REGISTRY.get_sample_value("imagelane_batcher_lanes", {"state": "gathering"}) == 0
