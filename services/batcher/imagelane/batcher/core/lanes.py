"""The lanes of one partition: events in, decisions out, and the way back from the table."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

from msgspec import UNSET

from imagelane.batcher.core import job_life, lane_life
from imagelane.batcher.core.asking import ask
from imagelane.batcher.core.deadlines import cut_overdue
from imagelane.batcher.core.decisions import Decisions, Write
from imagelane.batcher.core.finishing import finish, forget
from imagelane.batcher.core.job import Fresh, Job
from imagelane.batcher.core.job_life import CutReason
from imagelane.batcher.core.lane import CustomerOrder, FinishedJob, Lane, OpenRequest
from imagelane.batcher.core.moment import Moment
from imagelane.batcher.core.policy import Rules
from imagelane.batcher.core.records import (
    JobKey,
    JobPart,
    LaneKey,
    LaneRecord,
    OrderKey,
    OrderPart,
    Parts,
    decode_lane,
    decode_order,
    decode_part,
    encode,
    fresh_part,
    job_key,
    lane_key,
    order_key,
    parse_key,
    whole_part,
)
from imagelane.batcher.core.settling import settle
from imagelane.batcher.core.sweeping import sweep
from imagelane.contracts import commands as c
from imagelane.contracts import events as e
from imagelane.contracts import parts as p
from imagelane.contracts.image_sets import unpack

REMOVALS_AT_ONCE: Final = 200

LaneEvent = (
    e.ImageProcessed
    | e.JobAccepted
    | e.JobSealed
    | e.JobRefused
    | e.CallCompleted
    | e.LaneTold
    | c.CancelJob
    | c.DeleteJob
    | c.CancelCustomer
    | c.DeleteCustomer
    | c.ReleaseLane
    | e.LaneTicked
)


class Lanes:
    """All lanes of one partition, by customer.

    Fold any number of events, then `decide` once. `writer` must be another one for every opening of
    every process's gate: it keeps the keys of two writers apart.
    """

    def __init__(self, rules: Rules, *, writer: str) -> None:
        self._rules = rules
        self._writer = writer
        self._numbers = count()
        self._lanes: dict[str, Lane] = {}
        self._touched: set[str] = set()
        self._garbage: deque[bytes] = deque()

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    @property
    def has_work(self) -> bool:
        """Whether `decide` has something to look at."""
        return bool(self._touched or self._garbage)

    def fold(self, event: LaneEvent, now: Moment) -> None:
        """Folds one event. Raises `UnreadableImageSetError`, then nothing has changed."""
        match event:
            case e.ImageProcessed():
                self._touch(event.customer_id).fold_image(event, now)
            case e.JobAccepted() | e.JobSealed():
                self._touch(event.customer_id).fold_job(event, now)
            case e.CallCompleted():
                self._touch(event.customer_id).fold_completed(event, now)
            case e.LaneTold():
                self._touch(event.customer_id).fold_told(event, now)
            case c.CancelJob() | c.DeleteJob() | c.CancelCustomer() | c.DeleteCustomer():
                self._touch(event.customer_id).fold_command(event, now)
            case e.LaneTicked():
                if lane := self._lanes.get(event.customer_id):
                    lane.is_ticked = False
                    self._touched.add(event.customer_id)
            case _:
                # ReleaseLane is the dispatcher's affair. JobRefused: nothing was requested, and the id
                # may be an accepted job's.
                pass

    def decide(self, now: Moment) -> Decisions:
        """What follows for the lanes that were touched since the last time."""
        out = Decisions()
        for customer_id in sorted(self._touched):
            self._decide(self._lanes[customer_id], now, out)
        self._touched.clear()
        for _ in range(min(len(self._garbage), REMOVALS_AT_ONCE)):
            out.writes.append(Write(self._garbage.popleft(), None))
        return out

    def confirm(self, decisions: Decisions) -> None:
        """The writes and the events of these decisions are durable."""
        self._garbage.extend(decisions.absorbed)
        for customer_id, job_id in decisions.announced:
            lane = self._lanes[customer_id]
            job = lane.finished[job_id]
            job.move(job_life.Move.TELL)
            lane.markers.append(job)
            self._touched.add(customer_id)

    def ticks(self, now: Moment) -> list[e.LaneTicked]:
        """An alarm for every lane whose time has come, none while one is on its way."""
        due = [lane for lane in self if lane.wake_at_seconds <= now.seconds and not lane.is_ticked]
        for lane in due:
            lane.is_ticked = True
        return [e.LaneTicked(customer_id=lane.customer_id, occurred_at=now.at) for lane in due]

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Moment) -> None:
        """Builds the lanes from the table. An open request is sent again by the next `decide`."""
        parts: dict[tuple[str, str], Parts] = {}
        for key, value in records:
            match parse_key(key):
                case LaneKey(customer_id):
                    self._restore_lane(customer_id, decode_lane(value), now)
                case OrderKey(customer_id):
                    self._restore_order(self._touch(customer_id), key, decode_order(value))
                case JobKey(customer_id, job_id):
                    found = parts.setdefault((customer_id, job_id), Parts(job_id))
                    found.found.append((key, decode_part(value)))
        for (customer_id, _), found in parts.items():
            self._restore_job(self._touch(customer_id), found, now)
        for lane in self:
            lane.finished = dict(
                sorted(lane.finished.items(), key=lambda one: one[1].event.occurred_at)
            )

    def _restore_lane(self, customer_id: str, record: LaneRecord, now: Moment) -> None:
        lane = self._touch(customer_id)
        lane.last_seq = record.last_seq
        lane.limit = None if record.limit is UNSET else record.limit
        if record.request is not UNSET:
            lane.move(lane_life.Move.RESUME)
            lane.open = OpenRequest(record.request, due_seconds=now.seconds)
            for entry in record.request.jobs:
                self._restore_held(lane, entry, record.request, now)

    def _restore_order(self, lane: Lane, key: bytes, part: OrderPart) -> None:
        order = lane.orders.setdefault(part.reason, CustomerOrder(part.until))
        order.until = max(order.until, part.until)
        order.keys.append(key)

    def _restore_held(
        self, lane: Lane, entry: p.ReadyImages, request: e.BatchRequested, now: Moment
    ) -> None:
        job = Job(entry.job_id, seen_at=request.occurred_at, moved_seconds=now.seconds)
        job.learn(entry.recipe, entry.destination)
        job.held = unpack(entry.images)
        job.known = job.held.copy()
        job.fresh.ready = job.held.copy()  # its parts may be lost: then this is all that says so
        lane.jobs[entry.job_id] = job

    def _restore_job(self, lane: Lane, parts: Parts, now: Moment) -> None:
        if marker := parts.finished():
            lane.jobs.pop(parts.job_id, None)
            lane.finished[parts.job_id] = marker
            self._garbage.extend(key for key in parts.keys if key not in marker.keys)
            if not marker.is_told:
                lane.markers.append(marker)
            return
        job = parts.union(lane.jobs.get(parts.job_id))
        job.moved_seconds = now.seconds
        lane.jobs[parts.job_id] = job

    def _decide(self, lane: Lane, now: Moment, out: Decisions) -> None:
        overdue = cut_overdue(lane, now)
        finish(lane, now)
        wakes = [
            overdue,
            sweep(lane, now, out),
            settle(lane, now, out),
            ask(lane, now, out),
            forget(lane, now, self._garbage),
        ]
        lane.wake_at_seconds = min(wakes)
        for job in lane.jobs.values():
            if job.fresh:
                self._record_job(lane, job, out)
        for marker in lane.markers:
            self._record_marker(lane, marker, out)
        lane.markers.clear()
        out.events += lane.told_again
        lane.told_again.clear()
        for reason, order in lane.orders.items():
            if order.is_fresh:
                self._record_order(lane, reason, order, out)
        self._record_lane(lane, out)

    def _record_job(self, lane: Lane, job: Job, out: Decisions) -> None:
        whole = len(job.keys) >= self._rules.max_parts
        part = whole_part(job) if whole else fresh_part(job)
        job.fresh = Fresh()
        job.keys = self._record_part(lane, job.job_id, part, job.keys, out, absorbs=whole)

    def _record_marker(self, lane: Lane, marker: FinishedJob, out: Decisions) -> None:
        job_id = marker.event.job_id
        part = JobPart(seen_at=marker.event.occurred_at, finished=marker.event, told=marker.is_told)
        marker.keys = self._record_part(lane, job_id, part, marker.keys, out, absorbs=True)
        if not marker.is_told:
            out.events.append(marker.event)
            out.announced.append((lane.customer_id, job_id))

    def _record_order(
        self, lane: Lane, reason: CutReason, order: CustomerOrder, out: Decisions
    ) -> None:
        key = order_key(lane.customer_id, self._writer, next(self._numbers))
        out.writes.append(Write(key, encode(OrderPart(reason=reason, until=order.until))))
        out.absorbed.extend(order.keys)
        order.keys, order.is_fresh = [key], False

    def _record_part(
        self,
        lane: Lane,
        job_id: str,
        part: JobPart,
        keys: list[bytes],
        out: Decisions,
        *,
        absorbs: bool,
    ) -> list[bytes]:
        key = job_key(lane.customer_id, job_id, self._writer, next(self._numbers))
        out.writes.append(Write(key, encode(part)))
        if not absorbs:
            return [*keys, key]
        out.absorbed.extend(keys)
        return [key]

    def _record_lane(self, lane: Lane, out: Decisions) -> None:
        if lane.is_over:
            del self._lanes[lane.customer_id]
            out.writes.append(Write(lane_key(lane.customer_id), None))
        elif lane.is_dirty:
            lane.is_dirty = False
            record = LaneRecord(
                last_seq=lane.last_seq,
                request=lane.open.event if lane.open else UNSET,
                limit=UNSET if lane.limit is None else lane.limit,
            )
            out.writes.append(Write(lane_key(lane.customer_id), encode(record)))

    def _touch(self, customer_id: str) -> Lane:
        self._touched.add(customer_id)
        lane = self._lanes.get(customer_id)
        if lane is None:
            lane = self._lanes[customer_id] = Lane(customer_id, self._rules)
        return lane
