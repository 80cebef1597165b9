"""What becomes of a plan that has outlived its URLs' signatures: it ends unsent, and its images go into a new call."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from imagelane.contracts.events import LaneRecorded
from imagelane.dispatcher.core.answers import Refused
from imagelane.dispatcher.core.policy import Moment
from imagelane.dispatcher.core.step import Kind, Pursuit, Verdict

OUTLIVED: Final = Refused("its URLs' signatures would end before the call does", by_image=False)


def outlived(lane: LaneRecorded, pursuit: Pursuit, moment: Moment) -> Verdict:
    """In place of an attempt. What may be running there is searched for first, and found as after any other doubt.

    No key protects the new call from the old one, so where one has cut the search short, it begins anew. Where
    nobody can be asked, only a person lets a plan in doubt come this far.
    """
    policy = moment.policy
    in_doubt = lane.ambiguous or pursuit.in_doubt
    # While the key protects, the first search comes without a wait, and so tells nothing.
    needed = policy.consistent_reads + moment.key_protects(lane)
    if in_doubt and policy.can_search and pursuit.searches < needed:
        search = replace(pursuit, kind=Kind.FIND, after_seconds=policy.drain_seconds, in_doubt=True)
        return Verdict(search)
    return Verdict(end=OUTLIVED)
