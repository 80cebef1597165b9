"""The capacity model: arithmetic that can be followed, and constants that cannot drift unseen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from imagelane.contracts.codec import decode, encode, headers_of, key_of
from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.ops import reference
from imagelane.ops.capacity import constants as c
from imagelane.ops.capacity.model import Load, capacity, days_kept
from imagelane.ops.cli import app

ROOT = Path(__file__).parents[3]
FILES = read_topic_files(schemas_folder())
EXAMPLES = {
    "requested": "image.requested.v1/full.json",
    "downloaded": "image.downloaded.v1/stored.json",
    "processed": "image.processed.v1/one-output.json",
}
"""What an image usually leaves on each of the topics that have a record per image."""
TOLERANCE = 0.1


def record_bytes(topic: str) -> int:
    event = decode(topic, (schemas_folder() / "examples" / EXAMPLES[topic]).read_bytes())
    headers = headers_of(event, source=f"/services/{FILES[topic].producers[0]}")
    in_headers = sum(len(name) + len(value) for name, value in headers)
    return len(encode(event)) + len(key_of(event)) + in_headers


@pytest.mark.parametrize("topic", EXAMPLES)
def test_records_are_as_large_as_when_their_place_on_disk_was_measured(topic: str) -> None:
    measured = c.RECORD_BYTES[topic].value
    assert record_bytes(topic) == pytest.approx(measured, rel=TOLERANCE), (
        "records have changed: measure TOPIC_BYTES anew (docs/capacity.md, “Constants”), then RECORD_BYTES"
    )


def test_every_topic_that_grows_with_images_is_in_the_model() -> None:
    per_list_or_person = {"commands", "keys", "topology", "hosts", "notices", "missing", "ticks"}
    grows = {
        name for name in FILES if not name.startswith("dlq") and name not in per_list_or_person
    }
    assert set(c.TOPIC_BYTES) == grows


def test_twice_the_images_need_twice_of_everything_that_is_not_rounded() -> None:
    one, two = (capacity(Load(images_per_day=n), FILES) for n in (1e8, 2e8))
    for name in (
        "disk_bytes",
        "database_bytes",
        "store_requests_per_second",
        "cores",
        "results_bytes",
    ):
        assert getattr(two, name) == pytest.approx(2 * getattr(one, name)), name


def test_a_small_load_has_the_least_replicas_and_breaks_nothing() -> None:
    small = capacity(Load(images_per_day=1e5), FILES)
    assert {one.service: one.replicas for one in small.services} == c.LEAST_REPLICAS
    assert small.broken == []
    assert (small.strict_partitions, small.spread_partitions) == (12, 12)


def test_there_are_never_more_workers_than_partitions_of_their_kind() -> None:
    for images in (1e5, 1e7, 1e8):
        need = capacity(Load(images_per_day=images), FILES)
        replicas = {one.service: one.replicas for one in need.services}
        assert replicas["processor"] <= need.spread_partitions
        assert replicas["downloader"] <= need.spread_partitions
        assert replicas["batcher"] <= need.strict_partitions


def test_the_lowest_limit_is_the_first_and_lies_below_the_load_it_breaks() -> None:
    huge = capacity(Load(images_per_day=1e9), FILES)
    limits = [one.images_per_day for one in huge.limits]
    assert limits == sorted(limits)
    assert huge.broken
    assert all(one.images_per_day < 1e9 for one in huge.broken)
    assert capacity(Load(images_per_day=limits[0] * 0.99), FILES).broken == []


def test_a_disk_holds_what_its_topics_keep_in_every_copy() -> None:
    need = capacity(Load(images_per_day=1_000, replication=3), FILES)
    requested = next(one for one in need.topics if one.topic == "requested")
    assert days_kept(FILES["requested"]) == 3.0
    assert requested.disk_bytes == pytest.approx(c.TOPIC_BYTES["requested"].value * 1_000 * 3 * 3)


def test_larger_images_need_more_of_downloaders_processors_and_store_only() -> None:
    small, large = (
        capacity(Load(images_per_day=1e8, megabytes_per_image=size), FILES) for size in (1.0, 2.0)
    )
    before = {one.service: one.cores for one in small.services}
    more = {one.service for one in large.services if one.cores > before[one.service]}
    assert more == {"downloader", "processor"}
    assert large.fetched_bytes_per_second == 2 * small.fetched_bytes_per_second
    assert large.disk_bytes == small.disk_bytes


def test_every_constant_says_where_it_is_from_and_when() -> None:
    named = [one for one in vars(c).values() if isinstance(one, c.Constant)]
    for group in (c.CPU_MS, c.MEMORY_MIB, c.TOPIC_BYTES, c.RECORD_BYTES):
        named += group.values()
    assert len(named) > 25
    assert all(one.source and one.unit and one.date for one in named)


def test_the_least_replicas_and_most_processors_are_the_production_overlays() -> None:
    base, overlay = ROOT / "k8s" / "base", ROOT / "k8s" / "overlays" / "production"
    of_base = {name: replicas_in(base / f"{name}.yaml") for name in c.LEAST_REPLICAS}
    patched = yaml.safe_load((overlay / "kustomization.yaml").read_text())["replicas"]
    assert of_base | {one["name"]: one["count"] for one in patched} == c.LEAST_REPLICAS
    scaled = (ROOT / "k8s" / "components" / "keda" / "scaling.yaml").read_text()
    most = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]
        for one in yaml.safe_load_all(scaled)
        if one["kind"] == "ScaledObject"
    }
    assert most["processor"]["maxReplicaCount"] == c.PRODUCTION_PROCESSORS


def replicas_in(manifest: Path) -> int:
    (count,) = (
        one["spec"]["replicas"]
        for one in yaml.safe_load_all(manifest.read_text())
        if one["kind"] in {"Deployment", "StatefulSet"}
    )
    return int(count)


def test_the_command_answers_in_words_and_in_json() -> None:
    words = CliRunner().invoke(app, ["capacity", "--images-per-day", "1e9"])
    assert words.exit_code == 0
    assert "breaks: " in words.output
    told = CliRunner().invoke(app, ["capacity", "--images-per-day", "1e7", "--json"])
    value = json.loads(told.output)
    assert value["load"]["images_per_day"] == 1e7
    assert value["disk_bytes"] == capacity(Load(images_per_day=1e7), FILES).disk_bytes
    assert CliRunner().invoke(app, ["capacity", "--images-per-day", "0"]).exit_code == 2


def test_the_page_is_one_of_the_reference_pages() -> None:
    assert Path("capacity.md") in {Path(path.name) for path in reference.pages(schemas_folder())}
