"""`imagelane doctor` on the real broker, a directory store and moto's S3, with faults made on purpose."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from moto.server import ThreadedMotoServer
from tests.integration.configuring import configure_topic
from typer.testing import CliRunner

from imagelane.ops.cli import app
from imagelane.platform.s3_store import open_s3_client
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.store_settings import S3Settings

pytestmark = pytest.mark.kafka
NOBODY = "127.0.0.1:1"
TOKEN = "right-token"


class Api(BaseHTTPRequestHandler):
    """A batch API that takes one token, and whose clock is an hour ahead."""

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        path = self.path.partition("?")[0]
        status = 401 if not allowed else 200 if path == "/v1/batches" else 404
        body = b'{"batches": []}'
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string(2_000_000_000))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


class Files(BaseHTTPRequestHandler):
    """Serves single files of a folder, as the gateway serves results, and lists none."""

    folder: Path

    def do_GET(self) -> None:
        file = self.folder / self.path.removeprefix("/")
        body = file.read_bytes() if file.is_file() else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with serving(Api) as address:
        yield f"{address}/v1"


@pytest.fixture
def public(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "public"
    folder.mkdir()
    with serving(type("FilesOfTheTest", (Files,), {"folder": folder})) as address:
        yield folder, address


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """moto lists every bucket for everybody, whatever its policy says: a fault that is there already."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def secret(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / f"secret-{len(list(folder.iterdir()))}"
    path.write_text(text)
    path.chmod(mode)
    return path


def variables(kafka: KafkaSettings, **more: object) -> dict[str, str]:
    told = {
        "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "KAFKA__STRICT_PARTITIONS": str(kafka.strict_partitions),
        "KAFKA__SPREAD_PARTITIONS": str(kafka.spread_partitions),
        **{name: str(value) for name, value in more.items()},
    }
    return {f"IMAGELANE_{name}": value for name, value in told.items()}


def examined(environment: Mapping[str, str], *only: str) -> tuple[int, dict[str, Any]]:
    arguments = ["doctor", "--json", "--seconds", "60"]
    for one in only:
        arguments += ["--only", one]
    done = CliRunner().invoke(app, arguments, env=environment)
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    return done.exit_code, {one["check"]: one for one in checks}


def words(check: Mapping[str, Any]) -> str:
    return "\n".join(
        f"{one['where']}: {one['what']} → {one['next_step']}" for one in check["findings"]
    )


def test_a_deployment_without_faults_has_no_finding(
    kafka: KafkaSettings, tmp_path: Path, public: tuple[Path, str]
) -> None:
    (tmp_path / "private").mkdir()
    environment = variables(
        kafka,
        STORE__PRIVATE_DIRECTORY=tmp_path / "private",
        STORE__DESTINATIONS__MAIN__DIRECTORY=public[0],
        STORE__DESTINATIONS__MAIN__PUBLIC_BASE_URL=public[1],
        INTAKE__DEPLOYMENT_SECRET_FILE=secret(tmp_path, "x" * 40),
    )
    checks = ("settings", "secrets", "brokers", "topics", "access", "store", "clocks")
    code, found = examined(environment, *checks)
    assert {name: words(one) for name, one in found.items() if one["findings"]} == {}
    assert code == 0
    assert [*found] == list(checks)
    assert list(tmp_path.rglob("*doctor*")) == []  # the probes are gone, and their folders


def test_faults_of_the_broker_are_found_and_named(kafka: KafkaSettings) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    configure_topic(kafka, "jobs", {"retention.ms": "60000"})
    for deleted in admin.delete_topics([kafka.topic("batches")]).values():
        deleted.result(30)
    servers = f"{kafka.bootstrap_servers},{NOBODY}"
    environment = variables(
        kafka.model_copy(update={"bootstrap_servers": servers, "strict_partitions": 7})
    )
    code, found = examined(environment, "brokers", "topics", "groups")
    assert code == 1
    assert f"{NOBODY}: does not answer" in words(found["brokers"])
    assert "refused" in words(found["brokers"])
    assert len(found["brokers"]["facts"]) == 1
    topics = words(found["topics"])
    assert f"{kafka.topic('jobs')}: retention.ms is 60000, the file says" in topics
    assert "topics accept batches" in topics
    assert "IMAGELANE_KAFKA__STRICT_PARTITIONS says 7" in topics
    groups = words(found["groups"])
    assert f"{kafka.group('batcher')}: has no members" in groups
    assert "start the service batcher" in groups


def test_a_dead_broker_hides_none_of_the_other_checks(kafka: KafkaSettings, tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    dead = kafka.model_copy(update={"bootstrap_servers": NOBODY})
    world_readable = secret(tmp_path, "x" * 40, mode=0o644)
    environment = variables(
        dead,
        NOTIFY_SIGNING__SECRET_FILES=json.dumps([str(world_readable)]),
        DATABASE__URL=f"sqlite:///{tmp_path}/none.sqlite",
        STORE__PRIVATE_DIRECTORY=tmp_path / "absent",
        STORE__DESTINATIONS__MAIN__DIRECTORY=tmp_path / "public",
        STORE__DESTINATIONS__MAIN__PUBLIC_BASE_URL=f"http://{NOBODY}/public",
        DISPATCHER__CAPABILITIES="A",
        DISPATCHER__CALLBACK_URL=f"http://{NOBODY}/v1/callbacks/batch",
        DOCTOR_SERVICES=json.dumps({"intake": f"http://{NOBODY}"}),
    )
    code, found = examined(environment)
    assert code == 1
    for kafkas in ("brokers", "topics", "access", "groups"):
        assert found[kafkas]["findings"], kafkas
    assert "IMAGELANE_NOTIFY_SIGNING__SECRET_FILES" in words(found["secrets"])
    assert "mode 0644" in words(found["secrets"])
    store = words(found["store"])
    assert "IMAGELANE_STORE__PRIVATE_DIRECTORY: the private part cannot be opened" in store
    assert "IMAGELANE_STORE__DESTINATIONS__MAIN__PUBLIC_BASE_URL: what is stored" in store
    assert "IMAGELANE_DATABASE__URL" in words(found["database"])
    assert "IMAGELANE_DISPATCHER__CALLBACK_URL" in words(found["callback"])
    assert "intake at" in words(found["services"])
    assert found["settings"]["result"] == "good"
    assert found["batch-api"]["result"] == "skipped"


def test_faults_of_buckets_are_found_and_named(
    kafka: KafkaSettings, tmp_path: Path, s3: str
) -> None:
    asyncio.run(_make_bucket(s3, tmp_path, "closed", []))
    asyncio.run(_make_bucket(s3, tmp_path, "private", ["s3:GetObject", "s3:PutObject"]))
    environment = variables(
        kafka,
        STORE__PRIVATE_KIND="s3",
        STORE__PRIVATE_BUCKET="private",
        STORE__DESTINATIONS__CLOSED__KIND="s3",
        STORE__DESTINATIONS__CLOSED__BUCKET="closed",
        STORE__DESTINATIONS__CLOSED__PUBLIC_BASE_URL=f"{s3}/closed",
        STORE__DESTINATIONS__GONE__KIND="s3",
        STORE__DESTINATIONS__GONE__BUCKET="gone",
        STORE__DESTINATIONS__GONE__PUBLIC_BASE_URL=f"{s3}/gone",
        **on_s3(s3, tmp_path),
    )
    code, found = examined(environment, "store")
    store = words(found["store"])
    assert code == 1
    assert "IMAGELANE_STORE__DESTINATIONS__GONE__BUCKET" in store
    assert "IMAGELANE_STORE__DESTINATIONS__CLOSED__PUBLIC_BASE_URL" in store
    assert "it answers 403" in store
    assert "IMAGELANE_STORE__PRIVATE_BUCKET: anybody can list the private part" in store
    assert "anybody can write to the private part" in store
    assert "anybody can read the private part" in store
    assert "the destination 'closed'" in store


def test_a_refused_token_and_a_wrong_clock_are_found_and_named(
    kafka: KafkaSettings, tmp_path: Path, api: str
) -> None:
    wrong = secret(tmp_path, "wrong-token")
    environment = variables(
        kafka, BATCH_API__BASE_URL=api, BATCH_API__TOKEN_FILE=wrong, DISPATCHER__CAPABILITIES="A"
    )
    code, found = examined(environment, "batch-api", "clocks")
    assert code == 1
    assert "IMAGELANE_BATCH_API__TOKEN_FILE: the batch API answers 401" in words(found["batch-api"])
    assert "ahead of ours" in words(found["clocks"])
    assert api in words(found["clocks"])
    wrong.write_text(TOKEN)
    _, found = examined(environment, "batch-api")
    assert found["batch-api"]["result"] == "good"


def test_a_wrong_setting_is_named_and_the_rest_is_looked_at(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    environment = variables(
        kafka,
        STORE__PRIVATE_DIRECTORY=tmp_path,
        STORE__DESTINATIONS__MAIN__DIRECTORY=tmp_path,
        STORE__DESTINATIONS__MAIN__PUBLIC_BASE_URL="ftp://x",
    )
    code, found = examined(environment, "settings", "store", "brokers")
    assert code == 1
    assert "IMAGELANE_STORE__DESTINATIONS__MAIN__PUBLIC_BASE_URL" in words(found["settings"])
    assert found["store"]["result"] == "skipped"
    assert found["brokers"]["result"] == "good"


def on_s3(endpoint: str, folder: Path) -> dict[str, object]:
    return {
        "STORE__S3__ENDPOINT_URL": endpoint,
        "STORE__S3__PATH_STYLE": "true",
        "STORE__S3__ACCESS_KEY_ID": "made-up",
        "STORE__S3__SECRET_ACCESS_KEY_FILE": secret(folder, "made-up"),
    }


async def _make_bucket(endpoint: str, folder: Path, bucket: str, open_for: list[str]) -> None:
    settings = S3Settings(
        endpoint_url=endpoint,
        path_style=True,
        access_key_id="made-up",
        secret_access_key_file=secret(folder, "made-up"),
    )
    allow = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": open_for,
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    async with open_s3_client(settings) as client:
        await client.create_bucket(Bucket=bucket)
        if open_for:
            policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
            await client.put_bucket_policy(Bucket=bucket, Policy=policy)
