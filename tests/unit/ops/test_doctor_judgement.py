"""What the doctor makes of what it saw: every finding names its place and a next step."""

from __future__ import annotations

from datetime import timedelta

import pytest

from imagelane.contracts.topic_files import TopicFile, read_topic_files, schemas_folder
from imagelane.ops.doctor.core.access import (
    EVERYTHING,
    AccessSeen,
    judge_access,
    needed,
    visible_groups,
    visible_topics,
)
from imagelane.ops.doctor.core.batch_api import Answer, ApiSeen, judge_batch_api
from imagelane.ops.doctor.core.brokers import BrokerSeen, judge_brokers
from imagelane.ops.doctor.core.clocks import ClockSeen, judge_clocks
from imagelane.ops.doctor.core.files import SecretFileSeen, judge_secret_files
from imagelane.ops.doctor.core.findings import Report
from imagelane.ops.doctor.core.groups import GROUPS, GroupSeen, judge_groups
from imagelane.ops.doctor.core.services import (
    DatabaseSeen,
    ServiceSeen,
    judge_callback,
    judge_database,
    judge_services,
)
from imagelane.ops.doctor.core.store import PlaceSeen, judge_place
from imagelane.ops.doctor.core.topics import PartitionSeen, TopicsSeen, judge_topics

FILES = read_topic_files(schemas_folder())
KAFKA_4 = {68: 1, 28: 5}
LISTS_NOTHING = Answer(200, calls=0)
UNKNOWN = Answer(404)


def told(report: Report) -> str:
    return "\n".join(f"{one.where}: {one.what} → {one.next_step}" for one in report.findings)


def broker(address: str = "one:9092", **seen: object) -> BrokerSeen:
    values: dict[str, object] = {"cluster_id": "c", "brokers": (address,), "versions": KAFKA_4}
    return BrokerSeen(address, **(values | seen))  # type: ignore[arg-type] # the tests' own names


def test_brokers_of_one_cluster_that_answer_are_good() -> None:
    report = judge_brokers([broker("one:9092"), broker("two:9092")], new_groups=True)
    assert report.result == "good"
    assert "Kafka 4.0 or newer" in report.facts[0]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("_RESOLVE", "correct the name"),
        ("_AUTHENTICATION", "refuses the login"),
        ("_SSL", "certificate"),
        ("_TRANSPORT", "firewall"),
    ],
)
def test_a_silent_broker_is_named_with_the_step_for_its_kind_of_silence(
    name: str, step: str
) -> None:
    silent = BrokerSeen("two:9092", name, "it said this")
    report = judge_brokers([broker(), silent], new_groups=True)
    assert [one.where for one in report.findings] == ["two:9092"]
    assert "it said this" in told(report)
    assert step in told(report)
    assert len(report.facts) == 1


def test_brokers_of_two_clusters_are_a_finding() -> None:
    report = judge_brokers([broker(), broker("two:9092", cluster_id="d")], new_groups=True)
    assert "different clusters: c, d" in told(report)


def test_an_old_broker_is_a_finding_unless_the_classic_protocol_is_set() -> None:
    old = broker(versions={68: 0, 28: 5})
    assert "GROUP_PROTOCOL=classic" in told(judge_brokers([old], new_groups=True))
    assert judge_brokers([old], new_groups=False).result == "good"
    assert "KIP-890" in told(judge_brokers([broker(versions={28: 4})], new_groups=False))


def test_a_broker_of_unknown_version_is_no_finding() -> None:
    assert judge_brokers([broker(versions=None)], new_groups=True).result == "good"


def test_topics_that_differ_have_the_step_of_their_difference() -> None:
    differences = [
        ("jobs", "is missing"),
        ("urls", "retention.ms is 5, the file says 604800000"),
        ("calls", "was deleted and made anew: its id is a, and was b"),
        ("batches", "is kept 1 times, IMAGELANE_KAFKA__REPLICATION_FACTOR says 3"),
        ("missing", "has 16 partitions, IMAGELANE_KAFKA__STRICT_PARTITIONS says 12"),
    ]
    report = judge_topics(TopicsSeen(differences, [], "imagelane"))
    steps = {one.where: one.next_step for one in report.findings}
    assert "topics apply" in steps["jobs"]
    assert "kafka-configs --alter --entity-type topics --entity-name urls" in steps["urls"]
    assert "docs/topics.md" in steps["calls"]
    assert "kafka-reassign-partitions" in steps["batches"]
    assert "set the variable" in steps["missing"]


def test_partitions_without_leader_or_copies_in_sync_are_findings_by_topic() -> None:
    partitions = [
        PartitionSeen("jobs", 0, True, 3, 3),
        PartitionSeen("jobs", 1, True, 3, 2),
        PartitionSeen("calls", 4, False, 3, 0),
    ]
    report = judge_topics(TopicsSeen([], partitions))
    text = told(report)
    assert "jobs: has copies that are not in sync, of partition 1 " in text
    assert "calls: has no leader for partition 4" in text
    assert report.facts[0] == "2 topics with 3 partitions"


def access(service: str, **allowed: frozenset[str] | None) -> Report:
    seen = AccessSeen({"urls": EVERYTHING} | allowed, limits_anybody=True)
    return judge_access(seen, list(FILES.values()), service=service, prefix="")


def test_every_service_with_exactly_what_the_topic_files_say_lacks_nothing() -> None:
    for service in {name for one in FILES.values() for name in (*one.producers, *one.consumers)}:
        allowed = {name: needed(name, service, list(FILES.values())) for name in FILES}
        seen = AccessSeen(allowed, limits_anybody=True)
        report = judge_access(seen, list(FILES.values()), service=service, prefix="")
        assert report.findings == (), service


def test_a_login_that_lacks_an_operation_is_told_which() -> None:
    report = access("batcher", batches=frozenset({"DESCRIBE", "DESCRIBE_CONFIGS"}), urls=None)
    assert "batches: this login lacks WRITE" in told(report)
    assert "urls" not in told(report)


def test_a_topic_that_may_not_even_be_seen_lacks_everything() -> None:
    report = access("batcher", batches=None, urls=frozenset())
    assert "batches: this login lacks DESCRIBE, DESCRIBE_CONFIGS, WRITE" in told(report)


def test_who_may_write_the_dispatchers_log_besides_it_is_a_finding() -> None:
    report = access("tracker", calls=EVERYTHING, urls=frozenset())
    assert "calls: tracker may write here, which only dispatcher must" in told(report)
    assert access("ops", calls=EVERYTHING).result == "good"


def test_a_broker_that_limits_nobody_is_told_and_no_finding() -> None:
    report = judge_access(
        AccessSeen({"calls": EVERYTHING}, limits_anybody=False),
        list(FILES.values()),
        service="tracker",
        prefix="",
    )
    assert report.result == "good"
    assert "nothing keeps the services apart" in report.facts[0]


def test_the_groups_are_those_that_consume_by_the_topic_files() -> None:
    of_topic: dict[str, set[str]] = {}
    for group, topics in GROUPS.items():
        for topic in topics:
            of_topic.setdefault(topic, set()).add(group.split("-", maxsplit=1)[0])
    in_no_group = {"gateway", "tracker", "ops"}

    def of_files(file: TopicFile) -> set[str]:
        # What is only read back by its writer is assigned, never consumed in a group; but for ticks.
        own_log = file.compacted and file.producers == file.consumers[: len(file.producers)]
        return set() if own_log else set(file.consumers) - in_no_group

    wanted = {
        name: of_files(file)
        for name, file in FILES.items()
        if of_files(file) and name not in {"topology", "keys"}
    }
    assert of_topic == wanted


def test_a_group_without_members_is_a_finding_that_names_the_service() -> None:
    report = judge_groups(
        [GroupSeen("t-imagelane-intake-orders", 0, 7), GroupSeen("t-imagelane-batcher", 2, 0)]
    )
    assert (
        "t-imagelane-intake-orders: has no members, and 7 records wait → start the service intake"
        in told(report)
    )
    assert report.facts == ("t-imagelane-batcher: 2 members, 0 records wait",)


def test_what_a_login_may_not_see_is_told_and_no_finding() -> None:
    groups = judge_groups([GroupSeen("imagelane-batcher", 1, 0)], unseen=7)
    topics = judge_topics(TopicsSeen([], [], "imagelane", unseen=20))
    for report, unseen in ((groups, 7), (topics, 20)):
        assert report.result == "good"
        assert report.facts[-1].startswith(f"{unseen} more are not this login's to see")


@pytest.mark.parametrize(
    ("login", "groups"),
    [
        ("intake", {"intake", "intake-orders", "downloader", "processor"}),
        ("batcher", {"batcher"}),
        ("gateway", set()),
        ("ops", {*GROUPS}),
    ],
)
def test_a_login_is_asked_for_no_group_that_its_access_list_hides(
    login: str, groups: set[str]
) -> None:
    assert visible_groups(login, [*GROUPS]) == groups


def test_a_login_is_asked_for_no_topic_that_its_access_list_hides() -> None:
    files = FILES.values()
    assert visible_topics("ops", files) == {*FILES}
    assert visible_topics("notifier", files) >= {"topology", "notices"}
    assert "calls" not in visible_topics("notifier", files)
    assert visible_topics("keda", files) == set()  # it may not read how they were made


def place(**seen: object) -> PlaceSeen:
    variable = "IMAGELANE_STORE__DESTINATIONS__MAIN__BUCKET"
    return PlaceSeen("the destination 'main'", variable, **seen)  # type: ignore[arg-type] # as above


def test_a_place_that_works_and_is_public_is_good() -> None:
    assert judge_place(place(public_url="https://x/1")).result == "good"
    kept = judge_place(place(left_behind="AccessDenied"))
    assert kept.result == "good"
    assert "may not delete (AccessDenied)" in " ".join(kept.facts)


@pytest.mark.parametrize(
    ("seen", "where", "words"),
    [
        ({"step": "open", "error": "404"}, "MAIN__BUCKET", "cannot be opened: 404"),
        ({"step": "write", "error": "403"}, "MAIN__BUCKET", "cannot be written: 403"),
        ({"step": "read", "error": "403"}, "MAIN__BUCKET", "cannot be read: 403"),
        ({"keeps_first": False}, "MAIN__BUCKET", "If-None-Match"),
        (
            {"public_url": "https://x/1", "public_trouble": "it answers 403"},
            "MAIN__PUBLIC_BASE_URL",
            "cannot be read at https://x/1: it answers 403",
        ),
        ({"listed_at": "https://x/"}, "MAIN__BUCKET", "anybody can list"),
        ({"written_at": "https://x/3"}, "MAIN__BUCKET", "anybody can write"),
        ({"published_at": "https://x/2"}, "MAIN__BUCKET", "which is not public"),
    ],
)
def test_what_is_wrong_with_a_place_names_its_variable(
    seen: dict[str, object], where: str, words: str
) -> None:
    (finding,) = judge_place(place(**seen)).findings
    assert finding.where.endswith(where)
    assert words in finding.what
    assert finding.next_step


def test_a_clock_is_off_by_more_than_five_seconds_either_way() -> None:
    seconds = {"a": 4.0, "b": -4.0, "c": 6.0, "d": -6.0}
    seen = [ClockSeen(name, timedelta(seconds=one)) for name, one in seconds.items()]
    report = judge_clocks(seen)
    assert [one.where for one in report.findings] == ["c", "d"]
    assert "6.0 s behind ours" in report.findings[1].what


def test_old_records_do_not_say_that_a_clock_is_behind_but_future_ones_that_it_is_ahead() -> None:
    assert judge_clocks([ClockSeen("t", timedelta(days=-9), only_ahead=True)]).result == "good"
    assert judge_clocks([ClockSeen("t", timedelta(seconds=9), only_ahead=True)]).result == "finding"
    assert judge_clocks([]).result == "skipped"


def api(**answers: Answer) -> ApiSeen:
    values = {"listing": LISTS_NOTHING, "unknown": UNKNOWN} | answers
    return ApiSeen("https://api/v1", **values)


def test_an_api_that_answers_as_the_contract_says_is_good() -> None:
    report = judge_batch_api(api(without_token=Answer(401)), "A")
    assert report.result == "good"
    assert "refuses who has none" in " ".join(report.facts)


@pytest.mark.parametrize(
    ("answers", "level", "where", "words"),
    [
        ({"listing": Answer(0, "refused")}, "A", "BASE_URL", "does not answer: refused"),
        ({"listing": Answer(401)}, "A", "TOKEN_FILE", "answers 401"),
        ({"listing": Answer(404)}, "B", "CAPABILITIES", "lists no calls"),
        ({"listing": Answer(200, calls=3)}, "C", "CAPABILITIES", "finds 3 calls"),
        ({"listing": Answer(200)}, "A", "BASE_URL", "answered 200"),
        ({"unknown": Answer(200)}, "A", "BATCH_PATH", "not 404"),
    ],
)
def test_what_is_wrong_with_the_api_names_its_variable(
    answers: dict[str, Answer], level: str, where: str, words: str
) -> None:
    (finding,) = judge_batch_api(api(**answers), level).findings  # type: ignore[arg-type] # of four letters
    assert finding.where.endswith(where)
    assert words in finding.what


def test_an_api_without_listing_is_plausible_at_the_lowest_level_only() -> None:
    assert judge_batch_api(api(listing=Answer(404)), "D").result == "good"


def test_secrets_for_everybody_empty_or_gone_are_findings() -> None:
    report = judge_secret_files(
        [
            SecretFileSeen("A", "/a", "", 5, 0o100600),
            SecretFileSeen("B", "/b", "", 5, 0o100440),
            SecretFileSeen("C", "/c", "", 5, 0o100644),
            SecretFileSeen("D", "/d", "No such file or directory"),
            SecretFileSeen("E", "/e", "", 0, 0o100600),
        ]
    )
    assert [one.where for one in report.findings] == ["C", "D", "E"]
    assert "mode 0644" in told(report)
    assert len(report.facts) == 2


def test_services_are_ready_or_say_why_not() -> None:
    report = judge_services(
        [
            ServiceSeen("intake", "http://i", 200),
            ServiceSeen("batcher", "http://b", 503, reasons={"group": "it is away"}),
            ServiceSeen("tracker", "http://t", 0, "refused"),
        ]
    )
    assert [one.where for one in report.findings] == ["batcher at http://b", "tracker at http://t"]
    assert "group: it is away" in told(report)


def test_the_callback_is_ours_if_it_takes_posts_only() -> None:
    assert judge_callback("https://g/v1/callbacks/batch", 405, "").result == "good"
    assert "answers 404" in told(judge_callback("https://g/x", 404, ""))
    assert "refused" in told(judge_callback("https://g/x", 0, "refused"))


def test_a_database_of_another_version_is_to_be_migrated_and_a_late_one_is_told() -> None:
    old = DatabaseSeen("", "the tracker's database is at migration 0001, this version needs 0002")
    assert "tracker migrate" in told(judge_database(old))
    assert "PASSWORD" not in told(judge_database(DatabaseSeen("", "refused")))
    assert "start the database" in told(judge_database(DatabaseSeen("", "refused")))
    assert judge_database(DatabaseSeen("0002", "", 10)).result == "good"
    assert "200,000 records behind" in told(judge_database(DatabaseSeen("0002", "", 200_000)))
