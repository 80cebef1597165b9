"""What becomes of images: the first outcome counts, and an image returns as often as the policy says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.unit.dispatcher.conftest import ACME, JOB, NOW, members

from imagelane.dispatcher.core.outcomes import (
    JobOutcomes,
    after_call,
    as_told,
    from_record,
    settled,
    to_record,
)

images = st.sets(st.integers(0, 30)).map(BitMap)


def test_what_has_an_outcome_or_is_planned_is_not_settled() -> None:
    before = JobOutcomes(delivered=BitMap([1]), cancelled=BitMap([2]))
    after = settled(
        before, failed=BitMap([1, 2, 3, 4]), cancelled=BitMap([3, 5]), planned=BitMap([4])
    )
    assert after == JobOutcomes(delivered=BitMap([1]), failed=BitMap([3]), cancelled=BitMap([2, 5]))


def test_settling_nothing_new_changes_nothing() -> None:
    before = JobOutcomes(delivered=BitMap([1]))
    assert settled(before, failed=BitMap([1]), cancelled=BitMap(), planned=BitMap()) is before


def test_a_failed_image_returns_until_its_attempts_are_used_up() -> None:
    outcomes, fates = JobOutcomes(), []
    for _ in range(3):
        outcomes, lost, returned = after_call(
            outcomes, delivered=BitMap(), failed=BitMap([7]), item_attempts=3
        )
        fates.append((list(lost), list(returned)))
    assert fates == [([], [7]), ([], [7]), ([7], [])]
    assert outcomes == JobOutcomes(failed=BitMap([7]))


def test_images_that_failed_differently_often_are_kept_apart() -> None:
    before = JobOutcomes(resent={1: BitMap([1, 2]), 2: BitMap([3])})
    after, lost, returned = after_call(
        before, delivered=BitMap([2]), failed=BitMap([1, 3, 4]), item_attempts=3
    )
    assert (list(lost), list(returned)) == ([3], [1, 4])
    assert after == JobOutcomes(
        delivered=BitMap([2]), failed=BitMap([3]), resent={1: BitMap([4]), 2: BitMap([1])}
    )


def test_a_settled_image_is_not_resent_any_more() -> None:
    before = JobOutcomes(resent={1: BitMap([1, 2])})
    after = settled(before, failed=BitMap(), cancelled=BitMap([1, 2]), planned=BitMap())
    assert after == JobOutcomes(cancelled=BitMap([1, 2]))


def test_a_batcher_is_told_the_whole_outcome() -> None:
    told = as_told(JOB, JobOutcomes(delivered=BitMap([1]), failed=BitMap([2])))
    assert (members(told.delivered), members(told.failed)) == ([1], [2])
    assert (members(told.cancelled), members(told.returned)) == ([], [])


@given(images, images, images, st.lists(st.tuples(images, images), max_size=4), st.integers(1, 3))
def test_outcomes_stay_disjoint_never_change_and_survive_the_log(
    failed: BitMap,
    cancelled: BitMap,
    planned: BitMap,
    calls: list[tuple[BitMap, BitMap]],
    attempts: int,
) -> None:
    outcomes = settled(JobOutcomes(), failed=failed, cancelled=cancelled, planned=planned)
    for in_call, bad in calls:
        before = outcomes
        outcomes, _, _ = after_call(
            before, delivered=in_call - bad, failed=in_call & bad, item_attempts=attempts
        )
        assert before.delivered <= outcomes.delivered
        assert before.failed <= outcomes.failed
        assert before.cancelled == outcomes.cancelled
    sets = [outcomes.delivered, outcomes.failed, outcomes.cancelled, *outcomes.resent.values()]
    assert sum(map(len, sets)) == len(BitMap().union(*sets))
    assert from_record(to_record(ACME, JOB, outcomes, NOW)) == outcomes
