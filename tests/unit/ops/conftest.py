"""A gateway that answers as it is told to, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Asked:
    """One request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Told:
    """One answer. `cut` closes the connection in the middle of the body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass
class FakeGateway:
    """Answers a path (without query) with the next of its answers; the last one stays."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, list[Told]] = field(default_factory=dict)

    def tell(self, path: str, *answers: Told) -> None:
        self.answers[path] = list(answers)

    def json(self, path: str, *values: Any, status: int = 200) -> None:
        kind = {"Content-Type": "application/json"}
        self.tell(path, *(Told(status, json.dumps(value).encode(), kind) for value in values))

    def next(self, path: str) -> Told:
        told = self.answers.get(path) or [problem(404, "there is no such path")]
        return told.pop(0) if len(told) > 1 else told[0]


def problem(status: int, detail: str, **more: Any) -> Told:
    """A problem as the API tells it; `retry_after` becomes a header."""
    headers = {"Content-Type": "application/problem+json"}
    if "retry_after" in more:
        headers["Retry-After"] = more.pop("retry_after")
    body = {"type": "urn:x", "title": "T", "status": status, "detail": detail, **more}
    return Told(status, json.dumps(body).encode(), headers)


def events(*jobs: dict[str, Any]) -> Told:
    """A stream that tells of the job and then ends."""
    lines = [
        f"event: job\nid: {job['change']}\ndata: {json.dumps(job)}\n\n".encode() for job in jobs
    ]
    return Told(200, b"".join(lines), {"Content-Type": "text/event-stream"})


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No command finds a gateway in the variables, or a stack in the folder, of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("GATEWAY_URL", "API_KEY", "API_KEY_FILE"):
        monkeypatch.delenv(f"IMAGELANE_{name}", raising=False)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    gateway = FakeGateway()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            gateway.asked.append(Asked(self.command, self.path, dict(self.headers), body))
            told = gateway.next(self.path.partition("?")[0])
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told.body) + (10 if told.cut else 0)))
            self.end_headers()
            self.wfile.write(told.body)
            self.close_connection = told.cut

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the library's names

        def log_message(self, *_arguments: Any) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    gateway.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("IMAGELANE_GATEWAY_URL", gateway.url)
    monkeypatch.setenv("IMAGELANE_API_KEY", "il_abc_secret")
    monkeypatch.delenv("IMAGELANE_KAFKA__BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setattr("imagelane.ops.client.following.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("imagelane.ops.client.patience.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("imagelane.ops.client.patience.SHORTEST_PAUSE_SECONDS", 0.01)
    yield gateway
    server.shutdown()
    thread.join()
    server.server_close()
