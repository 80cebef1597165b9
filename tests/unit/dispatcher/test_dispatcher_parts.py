"""Settings, topology, keys and the reading of input: what the shell decides without any client."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from tests.unit.dispatcher.conftest import (
    ACME,
    JOB,
    NOW,
    TERMS,
    draft,
    lane,
    planned,
    policy,
    ready,
    release,
    requested,
    settled,
)

from imagelane.contracts.codec import UnreadableRecordError, encode, key_of
from imagelane.contracts.commands import DeleteCustomer
from imagelane.contracts.events import CallHinted
from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.contracts.topics import EVENTS_OF
from imagelane.core.partitioning import partition_of
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.holds import HOLDS, OTHER, kind_of
from imagelane.dispatcher.core.lane import MAX_REASON_CHARS
from imagelane.dispatcher.core.outcomes import JobOutcomes
from imagelane.dispatcher.core.policy import Capabilities
from imagelane.dispatcher.core.step import Kind, Pursuit
from imagelane.dispatcher.errands import Errand, Restored, StepDone
from imagelane.dispatcher.failpoints import OFF, Failpoints
from imagelane.dispatcher.log import Write, log_key, proves_membership
from imagelane.dispatcher.settings import BatchApiSettings, DispatcherSettings, Settings
from imagelane.dispatcher.turn import Holding, Rules, Turn, read
from imagelane.platform.records import Record

PARTITIONS = 12
HOME = partition_of(ACME.encode(), PARTITIONS)
RULES = Rules(TERMS, policy())


def record(
    value: bytes | None,
    *,
    key: bytes | None = ACME.encode(),
    topic: str = "batches",
    partition: int = HOME,
) -> Record:
    return Record(topic, partition, 7, key, value, [], 0)


class TestSettings:
    def test_the_level_of_the_api_has_no_default(self) -> None:
        with pytest.raises(ValidationError, match="capabilities"):
            DispatcherSettings.model_validate({})

    def test_a_bound_is_not_below_its_lower_one(self) -> None:
        with pytest.raises(ValidationError, match="must not be less than poll_min_seconds"):
            DispatcherSettings(capabilities="A", poll_min_seconds=6)
        with pytest.raises(ValidationError, match="must not be less than retry_min_seconds"):
            DispatcherSettings(capabilities="A", retry_max_seconds=0.1)

    def test_failpoints_are_refused_unless_allowed(self) -> None:
        with pytest.raises(ValidationError, match="ALLOW_FAILPOINTS"):
            DispatcherSettings(capabilities="A", failpoint="after_plan")
        allowed = DispatcherSettings(
            capabilities="A", failpoint="after_plan", allow_failpoints=True
        )
        assert allowed.failpoint == "after_plan"

    def test_the_policy_is_what_the_settings_say(self) -> None:
        own = DispatcherSettings(capabilities="B", drain_seconds=9, item_attempts=3)
        assert own.policy().capabilities == "B"
        assert (own.policy().drain_seconds, own.policy().item_attempts) == (9, 3)

    def test_the_adapter_http_needs_an_address(self) -> None:
        with pytest.raises(ValidationError, match="must be set for the adapter http"):
            BatchApiSettings()
        assert BatchApiSettings(adapter="own").base_url == ""

    def test_the_drain_is_no_shorter_than_a_request_may_take(self) -> None:
        kafka = {"bootstrap_servers": "localhost:1"}
        places = {"default": {"directory": "/results", "public_base_url": "http://images.example"}}
        store = {"private_directory": "/private", "destinations": places}

        def whole(level: Capabilities, start_seconds: float) -> Settings:
            return Settings.model_validate(
                {
                    "kafka": kafka,
                    "store": store,
                    "dispatcher": DispatcherSettings(capabilities=level, drain_seconds=9),
                    "batch_api": {"base_url": "http://api", "start_seconds": start_seconds},
                }
            )

        whole("A", 30)
        whole("D", 30)
        whole("B", 9)
        for level in ("B", "C"):
            with pytest.raises(ValidationError, match="DRAIN_SECONDS must not be less"):
                whole(level, 9.1)

    def test_jobs_are_remembered_for_longer_than_any_topic_can_bring_them_back(self) -> None:
        """`commands` and `finished` bring back no images; a segment's time begins when it is full."""
        segment_days, margin_days = 7, 7
        kept = {
            name: int(topic.config["retention.ms"]) / 86_400_000
            for name, topic in read_topic_files(schemas_folder()).items()
            if name in EVENTS_OF and "retention.ms" in topic.config
        }
        assert kept["jobs"] == max(kept.values())
        retention = DispatcherSettings(capabilities="A").retention_days
        assert retention >= kept["jobs"] + segment_days + margin_days

    def test_there_is_one_token(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.touch()
        with pytest.raises(ValidationError, match="exclude each other"):
            BatchApiSettings(base_url="http://api", token=SecretStr("x"), token_file=file)


class TestInput:
    def test_every_event_of_the_inputs_is_read(self) -> None:
        for event in (requested(1, ready([1])), settled(failed=[1])):
            assert read(record(encode(event), key=key_of(event)), PARTITIONS) == event
        hint = CallHinted(customer_id=ACME, call_id="b-1", occurred_at=NOW)
        assert read(record(encode(hint), topic="callbacks"), PARTITIONS) == hint

    @pytest.mark.parametrize(
        ("bad", "words"),
        [
            (record(None), "no value"),
            (record(b"{}", key=None), "no key"),
            (record(b"not json"), "malformed"),
            (record(encode(requested(1, ready([1]))), partition=HOME + 1), "misplaced"),
            (record(encode(requested(1, ready([1]))), topic="callbacks"), "batch.requested.v1"),
        ],
    )
    def test_what_is_no_input_of_ours_is_unreadable(self, bad: Record, words: str) -> None:
        with pytest.raises(UnreadableRecordError, match=words):
            read(bad, PARTITIONS)

    def test_a_record_under_another_customers_key_is_unreadable(self) -> None:
        key = next(
            name.encode()
            for name in (f"c{number}" for number in range(1_000))
            if partition_of(name.encode(), PARTITIONS) == HOME
        )
        with pytest.raises(UnreadableRecordError, match="not the customer"):
            read(record(encode(requested(1, ready([1]))), key=key), PARTITIONS)


class TestTurn:
    def test_decisions_of_one_turn_go_into_one_transaction(self) -> None:
        turn = Turn({3: Holding(1, restored=True)}, RULES)
        turn.take(3, requested(1, ready([1])))
        turn.take(3, settled(failed=[9]))
        assert [write.key for write in turn.writes()] == [
            f"job|{ACME}|{JOB}".encode(),
            f"lane|{ACME}".encode(),
        ]
        assert {write.partition for write in turn.writes()} == turn.written == {3}

    def test_what_is_not_its_business_is_passed_over(self) -> None:
        turn = Turn({3: Holding(1, restored=True)}, RULES)
        turn.take(3, DeleteCustomer(customer_id=ACME, decided_by="kim", occurred_at=NOW))
        assert turn.drafts == {}

    def test_a_release_is_a_decision_like_any_other(self) -> None:
        turn = Turn({3: Holding(1, restored=True)}, RULES)
        turn.take(3, release("retry"))
        (released,) = turn.drafts[3].released
        assert "not held" in released.refusal
        assert turn.writes() == []

    def test_old_jobs_leave_the_log_by_a_tombstone(self) -> None:
        old = datetime.now(UTC) - RULES.policy.retention - timedelta(seconds=1)
        book, young = Book(), Book()
        book.remember((ACME, JOB), JobOutcomes(), old)
        young.remember((ACME, JOB), JobOutcomes(), old + timedelta(minutes=1))
        turn = Turn(
            {3: Holding(1, book, restored=True), 4: Holding(1, book), 5: Holding(1, young, True)},
            RULES,
        )
        turn.expire()
        (write,) = turn.writes()
        assert (write.topic, write.partition) == ("calls", 3)
        assert (write.key, write.value) == (f"job|{ACME}|{JOB}".encode(), None)
        assert turn.written == {3}

    def test_of_too_many_jobs_the_oldest_leaves_the_log(self) -> None:
        book, now = Book(), datetime.now(UTC)
        for days in (3, 2, 0):
            book.remember((ACME, str(days)), JobOutcomes(), now - timedelta(days=days))
        rules = replace(RULES, policy=replace(RULES.policy, max_jobs=2))
        turn = Turn({3: Holding(1, book, restored=True)}, rules)
        turn.expire()
        assert [write.key for write in turn.writes()] == [f"job|{ACME}|3".encode()]

    def test_input_before_its_log_was_read_is_a_bug(self) -> None:
        with pytest.raises(RuntimeError, match="before its log was read"):
            Turn({3: Holding(1)}, RULES).take(3, requested(1, ready([1])))

    def test_a_restored_book_is_taken_over_and_its_lanes_go_on(self) -> None:
        holding = Holding(term=2)
        turn = Turn({3: holding}, RULES)
        book = Book(lanes={ACME: lane("active")})
        turn.hear(Restored({3: 2, 4: 2}, {3: book, 4: Book()}))
        assert holding.restored
        assert holding.book is book
        assert turn.drafts[3].pursuits == {ACME: Pursuit(Kind.LOOK)}
        assert turn.writes() == []

    def test_what_belongs_to_another_term_counts_no_more(self) -> None:
        holding = Holding(term=2)
        turn = Turn({3: holding}, RULES)
        turn.hear(Restored({3: 1}, {3: Book()}))
        assert not holding.restored
        pursuit = Pursuit(Kind.ATTEMPT)
        for partition, term in ((3, 1), (4, 2)):
            turn.hear(StepDone(Errand(partition, term, lane("planned"), pursuit, 0.0), None))
        assert turn.drafts == {}

    def test_a_step_that_has_ended_moves_its_lane(self) -> None:
        pursuit = Pursuit(Kind.ATTEMPT)
        book = Book(lanes={ACME: lane("planned")}, pursuits={ACME: pursuit})
        turn = Turn({3: Holding(1, book, restored=True)}, RULES)
        turn.hear(StepDone(Errand(3, 1, lane("planned"), pursuit, 0.0), None))
        assert turn.drafts[3].lane(ACME).state == "submitting"


class TestLog:
    def test_keys_say_what_a_record_is_about(self) -> None:
        made = draft()
        made.settle(settled(failed=[1]))
        (job,) = made.records()
        assert log_key(job) == f"job|acme|{JOB}".encode()
        assert log_key(lane("idle")) == b"lane|acme"
        assert Write.of_event(lane("idle"), 5).partition == 5

    def test_a_dead_letter_keeps_the_record(self) -> None:
        write = Write.of_dead_letter(record(b"junk"), ValueError("why"), "g")
        assert (write.topic, write.key, write.value) == ("dlq.batches", b"acme", b"junk")
        assert ("__dlq.errors.message", b"why") in write.headers

    @pytest.mark.parametrize(
        ("metadata", "proof"),
        [
            (b"CGMDv2:\x02\x00\x00\x00group\x00member\x00\x01", True),
            (b"CGMDv2:\x00\x00\x00\x00group\x00member\x00\x01", False),
            (b"CGMDv2:\xff\xff\xff\xffgroup\x00\x00\x01", False),
            (b"CGMDv2:\x02\x00\x00\x00group\x00\x00\x01", False),
            (b"CGMDv2:\x02\x00\x00\x00group", False),
            (b"CGMDv3:\x02\x00\x00\x00group\x00member\x00", False),
            (b"", False),
        ],
    )
    def test_only_a_member_of_a_generation_may_write(self, metadata: bytes, proof: bool) -> None:
        assert proves_membership(metadata) is proof


class TestHolds:
    @pytest.mark.parametrize("name", HOLDS)
    def test_a_reason_is_whole_and_tells_its_kind(self, name: str) -> None:
        reason = HOLDS[name].reason("x" * 9_000)
        assert len(reason) < MAX_REASON_CHARS
        assert "{" not in reason
        assert reason.endswith(HOLDS[name].remedy)
        assert kind_of(reason) == name

    def test_a_reason_of_another_version_is_of_no_known_kind(self) -> None:
        assert kind_of("just so") == OTHER


class TestFailpoints:
    def test_only_the_armed_point_does_something_and_only_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent: list[int] = []
        monkeypatch.setattr("os.kill", lambda _pid, number: sent.append(number))
        marker = tmp_path / "reached"
        own = DispatcherSettings(
            capabilities="A",
            allow_failpoints=True,
            failpoint="before_gate",
            failpoint_action="stop",
            failpoint_marker=marker,
        )
        points = Failpoints.of(own)
        points.reach("behind_gate")
        points.reach(None)
        assert not marker.exists()
        points.reach("before_gate")
        points.reach("before_gate")
        assert marker.exists()
        Failpoints("after_plan").reach("after_plan")
        OFF.reach("after_plan")
        assert sent == [signal.SIGSTOP, signal.SIGKILL]


def test_the_plan_of_the_tests_is_one() -> None:
    assert planned().images == 10
