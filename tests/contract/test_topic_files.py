"""Laws of the topic files: no topic, event, service or dead-letter topic that is not there."""

from pathlib import Path

import pytest

from imagelane.batcher.app import INPUTS as BATCHER_INPUTS
from imagelane.contracts import topics
from imagelane.contracts.schemas import EVENTS, LIST_SUBMITTED
from imagelane.contracts.topic_files import (
    TopicFile,
    TopicFileError,
    read_topic_files,
    schemas_folder,
)
from imagelane.contracts.topics import EVENTS_OF, SPREAD, URLS, dead_letter_topic
from imagelane.core.partitioning import partition_of
from imagelane.dispatcher.membership import INPUTS as DISPATCHER_INPUTS
from imagelane.ops.rehousing import HOMES
from imagelane.tracker.inputs import INPUTS as TRACKER_INPUTS

SERVICES = Path(__file__).parents[2] / "services"
FILES = read_topic_files(schemas_folder())
NAMED_IN_CODE = {URLS, *EVENTS_OF}
TRACKER = "tracker"
CHANGELOG = "imagelane-batcher-lanes-changelog"
DEAD_LETTERS = {name for name in FILES if name.startswith(dead_letter_topic(""))}

each_topic = pytest.mark.parametrize("topic", FILES.values(), ids=FILES)


def test_every_topic_of_the_code_has_a_file_and_every_file_its_topic() -> None:
    assert set(FILES) == NAMED_IN_CODE | DEAD_LETTERS | {CHANGELOG}
    constants = {one for name, one in vars(topics).items() if name.isupper() and type(one) is str}
    assert constants == NAMED_IN_CODE


def test_a_file_is_called_like_its_topic() -> None:
    stems = {path.stem for path in (schemas_folder() / "topics").iterdir()}
    assert stems == set(FILES) - {CHANGELOG} | {"batcher-changelog"}


@pytest.mark.parametrize("name", sorted(NAMED_IN_CODE))
def test_a_topic_carries_the_events_that_the_code_says(name: str) -> None:
    carried = [str(event.__struct_config__.tag) for event in EVENTS_OF.get(name, ())]
    assert FILES[name].events == (carried or [LIST_SUBMITTED])


def test_every_event_travels_on_one_topic() -> None:
    assert sorted(event for topic in FILES.values() for event in topic.events) == sorted(EVENTS)


@each_topic
def test_producers_and_consumers_are_services_of_ours(topic: TopicFile) -> None:
    services = {path.name for path in SERVICES.iterdir() if path.is_dir()} - {"shared"}
    assert topic.producers
    assert {*topic.producers, *topic.consumers} <= services


@each_topic
def test_a_topic_is_partitioned_as_the_code_says(topic: TopicFile) -> None:
    logs = {topics.TOPOLOGY, topics.KEYS, topics.HOSTS, topics.DLQ_DECISIONS}
    if topic.name in DEAD_LETTERS | logs:
        assert topic.partitioning == "single"
    else:
        assert topic.partitioning == ("spread" if topic.name in SPREAD else "strict")


def test_whoever_reads_events_of_others_has_where_to_put_the_unreadable_ones() -> None:
    """A log of one's own that cannot be read is no dead letter: the service holds.

    The tracker only looks on: it writes down what it could not read, dead letters of others included.
    """
    workers = {
        name: [one for one in topic.consumers if one != TRACKER] for name, topic in FILES.items()
    }
    readers = {
        dead_letter_topic(name): consumers
        for name, consumers in workers.items()
        if consumers and not FILES[name].compacted
    }
    assert {name: FILES[name].producers for name in DEAD_LETTERS} == readers


def test_the_tracker_reads_what_the_files_say() -> None:
    read = {name for name, one in FILES.items() if TRACKER in one.consumers}
    assert read - {topics.TOPOLOGY} == set(TRACKER_INPUTS)  # which it only compares, as all do
    assert len(set(TRACKER_INPUTS)) == len(TRACKER_INPUTS)
    assert set(TRACKER_INPUTS) >= DEAD_LETTERS


@each_topic
def test_a_topic_keeps_its_records_for_a_time_or_by_their_key_or_both(topic: TopicFile) -> None:
    policy = topic.config["cleanup.policy"]
    assert policy in {"delete", "compact", "compact,delete"}
    assert ("delete" in policy) == ("retention.ms" in topic.config)
    assert topic.compacted == topic.key.startswith("log key")


@pytest.mark.parametrize(
    ("service", "inputs"), [("batcher", BATCHER_INPUTS), ("dispatcher", DISPATCHER_INPUTS)]
)
def test_a_lane_service_reads_what_the_files_say(service: str, inputs: tuple[str, ...]) -> None:
    read = {name for name, one in FILES.items() if service in one.consumers and not one.compacted}
    assert set(inputs) == read


def test_the_batcher_takes_in_nothing_compacted_but_its_own_log_and_the_topology() -> None:
    """Neither of the two is an input of Faust's: compaction breaks its counting of offsets."""
    taken = {name for name, topic in FILES.items() if "batcher" in topic.consumers}
    assert {name for name in taken if FILES[name].compacted} == {CHANGELOG, topics.TOPOLOGY}


def test_a_migration_knows_where_the_records_of_every_log_belong() -> None:
    logs = {name for name, one in FILES.items() if one.compacted and one.partitioning == "strict"}
    assert set(HOMES) == logs
    example = schemas_folder() / "examples" / "notice.recorded.v1" / "delivered.json"
    home = HOMES[topics.NOTICES](b"whatever", example.read_bytes(), 12)
    assert home == partition_of(b"acme", 12)


def test_what_may_be_asked_for_again_is_kept_longer_than_what_asks() -> None:
    def days(name: str) -> int:
        return int(FILES[name].config["retention.ms"]) // 86_400_000

    assert days("urls") >= days("requested")
    assert days("completed") == days("batches") > days("processed")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: x", "missing required field"),
        ("name: [x", "x.yaml"),
        ("", "Expected `object`, got `null`"),
    ],
)
def test_a_file_of_another_shape_is_refused_by_name(
    tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "topics").mkdir()
    (tmp_path / "topics" / "x.yaml").write_text(text)
    with pytest.raises(TopicFileError, match=complaint) as refused:
        read_topic_files(tmp_path)
    assert "x.yaml" in str(refused.value)


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "topics").mkdir()
    for file in ("a.yaml", "b.yaml"):
        source = schemas_folder() / "topics" / "urls.yaml"
        (tmp_path / "topics" / file).write_bytes(source.read_bytes())
    with pytest.raises(TopicFileError, match="'urls'"):
        read_topic_files(tmp_path)


def test_a_folder_without_topic_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TopicFileError, match="no topic files"):
        read_topic_files(tmp_path)
