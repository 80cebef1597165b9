"""What happens at the external API, and to what is on its way there and back."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import UNSET
from tests.model.batch_api import Request
from tests.model.broker import PARTITIONS
from tests.model.customers import JOBS, customer_at, members, url_of
from tests.model.dispatcher import SESSION_SECONDS, TERMS, ActiveErrand, Dispatcher
from tests.model.promises import must
from tests.model.scene import InFlight, Scene

from imagelane.contracts import commands as c
from imagelane.contracts import events as e
from imagelane.core.partitioning import partition_of
from imagelane.dispatcher.batch_api import MayNotSendError
from imagelane.dispatcher.core import answers as a
from imagelane.dispatcher.core.lane import plan_of
from imagelane.dispatcher.core.plan import ChangedRequestError, body_of, images_of
from imagelane.dispatcher.core.policy import KEY_TRUSTED

Truth = Literal["retry", "treat_as_done", "treat_as_failed"]
FATES: Final = 9
STATUSES: Final = (a.CallStatus.COMPLETED, a.CallStatus.PARTIAL, a.CallStatus.FAILED)


class Calling(Scene):
    """Steps of workers at the API, its calls, webhooks, and people who look it all up."""

    def step(self, which: int, fate: int) -> None:
        """A worker does what it is about to do for a lane, and something comes of it."""
        due = [(one, active) for one in self.processes if not one.is_stuck for active in one.due]
        if not due:
            return
        one, active = due[which % len(due)]
        fate = fate if fate < FATES else 0
        if active.kind == "attempt":
            if one.may_attempt:
                one.done(active, None)
        elif active.kind == "send":
            self._send(one, active, fate)
        else:
            self._look(one, active, fate)

    def arrive(self, which: int, lag: int) -> None:
        """The bytes of a request come to the API; its list may show the call later."""
        waiting = [one for one in self.in_flight if one.answer is None]
        if waiting:
            self._arrive(waiting[which % len(waiting)], lag)

    def reply(self, which: int, lost: int) -> None:
        """A worker gets the answer to its request, or none in time."""
        waiting = [one for one in self.in_flight if not one.is_answered and not one.by.is_stuck]
        if waiting:
            self._reply(waiting[which % len(waiting)], lost=lost % 2 == 1)

    def end_call(self, customer: int, status: int, failed: int) -> None:
        batch = self.api.active(customer_at(customer))
        if batch is not None:
            bad = frozenset(url for at, url in enumerate(batch.urls) if failed >> at & 1)
            self.api.end(batch, STATUSES[status % len(STATUSES)], bad)

    def foreign_call(self, customer: int) -> None:
        self.api.start_foreign(customer_at(customer))

    def dislike(self, job: int, mask: int, names: int) -> None:
        """From now on the API refuses calls with these images, and says which, or does not."""
        _, job_id = JOBS[job % len(JOBS)]
        self.api.bad = frozenset(url_of(job_id, index) for index in members(mask))
        self.api.names_bad = bool(names % 2)

    def hint(self, customer: int, about: int, kind: int) -> None:
        """A webhook: genuine, doubled, early, of another call or another customer, or made up."""
        name, batches = customer_at(customer), self.api.journal
        batch = batches[-1 - about] if about < len(batches) else None
        call_id = "made-up" if batch is None or kind % 3 == 0 else batch.id
        lane = self.lanes.get(name)
        early = kind % 3 == 1 and lane is not None and lane.plan is not UNSET
        event = e.CallHinted(
            customer_id=name,
            call_id=call_id,
            occurred_at=self.clock.at,
            reference=plan_of(lane).reference if lane and early else UNSET,
        )
        self.broker.send(event)

    def release(self, customer: int, which: int) -> None:
        """A person decides about a held lane, who has looked at the API and says what is true."""
        name = customer_at(customer)
        if name in self.held and (truths := self.truths(name)):
            command = c.ReleaseLane(
                customer_id=name,
                seq=self.held[name].last_seq,
                decision=truths[which % len(truths)],
                decided_by="me",
                occurred_at=self.clock.at,
            )
            self.broker.send(command)
            if command.decision == "treat_as_failed":
                images = images_of(plan_of(self.held[name]).jobs)
                self.api.blamed |= {url_of(job, at) for job, some in images.items() for at in some}

    @property
    def lanes(self) -> dict[str, e.LaneRecorded]:
        """Every lane, by the log."""
        books = [self.broker.known_book(partition) for partition in range(PARTITIONS)]
        return {name: lane for book in books for name, lane in book.lanes.items()}

    @property
    def held(self) -> dict[str, e.LaneRecorded]:
        """The lanes that are held, by the log."""
        return {name: lane for name, lane in self.lanes.items() if lane.state == "held"}

    def truths(self, customer: str) -> list[Truth]:
        """What a person may say of the customer's held call. Nothing while its bytes may be on their way."""
        reference = plan_of(self.held[customer]).reference
        if any(one.request.key == reference and one.answer is None for one in self.in_flight):
            return []
        found = [one.status for one in self.api.journal if one.reference == reference]
        if all(status is a.CallStatus.FAILED for status in found):
            return ["retry", "treat_as_failed"]
        if a.CallStatus.COMPLETED in found:
            return ["treat_as_done"]
        return ["retry"] if self.setup.level == "A" else []

    def _send(self, one: Dispatcher, active: ActiveErrand, fate: int) -> None:
        answers: dict[int, a.StartAnswer] = {
            5: a.Unsent("connection refused"),
            6: a.Later(3.0),
            7: a.Denied("401"),
        }
        if fate in answers:
            one.done(active, answers[fate])
            return
        customer, plan = active.errand.lane.customer_id, plan_of(active.errand.lane)
        try:
            request = Request(customer, plan.reference, body_of(customer, plan, TERMS))
            one.gate(active).before_bytes()
        except ChangedRequestError as error:
            one.done(active, a.Denied(str(error)))
            return
        except MayNotSendError as error:
            one.done(active, a.Unsent(str(error)))
            return
        self._check_right_to_send(one, active)
        sent = InFlight(request, one, active, self.clock.seconds)
        active.sent = True
        self.in_flight.append(sent)
        if fate < 3:
            self._arrive(sent, 0)
        if fate < 4:
            self._reply(sent, lost=fate % 2 == 1)

    def _check_right_to_send(self, one: Dispatcher, active: ActiveErrand) -> None:
        partition = partition_of(active.errand.lane.customer_id.encode(), PARTITIONS)
        owns = self.broker.group.owners[partition] == one.membership.member
        silent = self.clock.seconds - one.membership.heard_at
        must(
            owns or silent < SESSION_SECONDS,
            "nobody sends who lost the partition long ago",
            f"{one.membership.member} was not heard of for {silent} s",
        )
        must(not one.ownership.hold_reason, "I8: in doubt about the topology nothing is sent")

    def _arrive(self, sent: InFlight, lag: int) -> None:
        lag_seconds = 0.0 if self.setup.level == "A" else 5.0 * (lag % 3)
        sent.answer = self.api.post(sent.request, lag_seconds)
        if sent.is_answered:
            self.in_flight.remove(sent)

    def _reply(self, sent: InFlight, *, lost: bool) -> None:
        sent.is_answered = True
        answer = None if lost else sent.answer
        sent.by.done(sent.active, answer or a.Unclear("no answer came"))
        if sent.answer is not None:
            self.in_flight.remove(sent)

    def _look(self, one: Dispatcher, active: ActiveErrand, fate: int) -> None:
        lane = active.errand.lane
        may_lie = active.kind == "look" or self._may_lag(lane)
        lies: dict[int, a.LookAnswer] = {
            3: a.Unclear("no answer came"),
            5: a.Later(3.0),
            6: a.Denied("401"),
        }
        if may_lie:
            lies[4] = a.NotFound()
        if fate in lies:
            one.done(active, lies[fate])
        elif active.kind == "find":
            one.done(active, self.api.find(plan_of(lane).reference))
        else:
            call_id = active.foreign if active.kind == "watch" else lane.call_id
            one.done(active, self.api.get(str(call_id)))

    def _may_lag(self, lane: e.LaneRecorded) -> bool:
        """At level A no promise rests on the list, as long as the key is fresh."""
        first = self.clock.at if lane.first_attempt_at is UNSET else lane.first_attempt_at
        return self.setup.level == "A" and self.clock.at - first < KEY_TRUSTED
