"""S3 servers for tests, on loopback: moto, which is quick and believes everybody, and versitygw, which is real."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from moto.server import ThreadedMotoServer

from imagelane.ops import versitygw
from imagelane.ops.broker.jars import find_java
from imagelane.ops.broker.server import HOST, free_port
from imagelane.ops.children import die_with_parent
from imagelane.ops.local_stack import LocalSetupError
from imagelane.ops.versitygw import command as versitygw_command
from imagelane.platform.store_settings import S3Settings

CACHE: Final = Path.home() / ".cache" / "imagelane"
ACCESS_KEY_ID: Final = "imagelane"
START_SECONDS: Final = 90.0


@contextmanager
def moto(folder: Path) -> Iterator[S3Settings]:
    """moto's server for the block."""
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield settings_of(f"http://{host}:{port}", secret_in(folder))
    server.stop()


@contextmanager
def real(program: Path, folder: Path, port: int = 0) -> Iterator[S3Settings]:
    """A versitygw for the block; its objects lie in `folder`."""
    secret, objects, port = secret_in(folder), folder / "objects", port or free_port()
    objects.mkdir(exist_ok=True)
    arguments, environment = versitygw_command(
        program, objects, port=port, access_key_id=ACCESS_KEY_ID, secret_file=secret
    )
    with (folder / "versitygw.log").open("ab") as log:
        process = subprocess.Popen(
            [
                "/usr/bin/env",
                *(f"{name}={value}" for name, value in environment.items()),
                *arguments,
            ],
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it makes one system call and no more
        )
    try:
        until_answered(f"http://{HOST}:{port}{versitygw.HEALTH}", folder / "versitygw.log")
        yield settings_of(f"http://{HOST}:{port}", secret)
    finally:
        process.kill()
        process.wait()


def required_versitygw() -> Path:
    """The real server's program. Ends the session with exit code 2 where it can neither be found nor built."""
    try:
        return versitygw.find(CACHE, print)
    except LocalSetupError as error:
        pytest.exit(str(error), returncode=2)


def secret_in(folder: Path) -> Path:
    """A file with the secret that both servers are started with."""
    secret = folder / "secret"
    secret.write_text("made-up-for-a-test\n")
    return secret


def settings_of(endpoint_url: str, secret: Path) -> S3Settings:
    """How to reach a server, as the one who may do everything."""
    return S3Settings(
        endpoint_url=endpoint_url,
        access_key_id=ACCESS_KEY_ID,
        secret_access_key_file=secret,
        path_style=True,
    )


def until_answered(url: str, log: Path) -> None:
    """Waits until somebody answers there."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - of our own server
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            assert time.monotonic() < deadline, f"no answer at {url}: {log.read_text()[-2000:]}"
            time.sleep(0.05)


S3MOCK: Final = "com.adobe.testing:s3mock:5.2.0:jar:exec"
MAVEN_SECONDS: Final = 300.0


def required_s3mock() -> Path:
    """Adobe's S3Mock, by Maven. Ends the session with exit code 2 where Maven or the jar is missing."""
    folder = CACHE / "s3mock"
    jar = folder / "s3mock-5.2.0-exec.jar"
    if not jar.exists():
        maven = shutil.which("mvn")
        if maven is None:
            pytest.exit("Maven is missing: install it, such as Debian's maven", returncode=2)
        plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
        done = subprocess.run(
            [maven, "-q", "-B", plugin, f"-Dartifact={S3MOCK}", f"-DoutputDirectory={folder}"],
            capture_output=True,
            text=True,
            timeout=MAVEN_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            pytest.exit(f"Maven could not get {S3MOCK}:\n{done.stdout[-2_000:]}", returncode=2)
    return jar


@contextmanager
def with_lifecycle(jar: Path, folder: Path) -> Iterator[S3Settings]:
    """A server that keeps lifecycle rules, and is good for nothing else: it lets everybody do everything."""
    port, other = free_port(), free_port()
    ports = (f"--http.port={port}", f"--server.port={other}", f"--server.address={HOST}")
    with (folder / "s3mock.log").open("wb") as log:
        process = subprocess.Popen(
            [str(find_java()), "-jar", str(jar), *ports],
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it makes one system call and no more
        )
    try:
        until_answered(f"http://{HOST}:{port}/", folder / "s3mock.log")
        yield settings_of(f"http://{HOST}:{port}", secret_in(folder))
    finally:
        process.kill()
        process.wait()
