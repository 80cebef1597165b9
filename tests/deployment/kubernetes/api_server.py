"""A real kube-apiserver and etcd on free ports of loopback: no nodes, no controllers, and gone after the block."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.deployment.kubernetes.rendering import Resource

from imagelane.ops.broker.server import HOST, free_port
from imagelane.ops.children import die_with_parent

READY_SECONDS: Final = 90.0
STOP_SECONDS: Final = 20.0
LOOK_SECONDS: Final = 0.2
MISSING: Final = "{} is missing: `make test-k8s` builds it (it needs Go)"


@dataclass(frozen=True, slots=True)
class Answer:
    """What kubectl said."""

    code: int
    output: str
    errors: str

    @property
    def accepted(self) -> bool:
        """Without an error and without a warning."""
        return self.code == 0 and self.errors == ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server that can be spoken to as its administrator."""

    folder: Path

    def kubectl(self, *arguments: str, resources: list[Resource] | None = None) -> Answer:
        """Runs kubectl, with the resources on its standard input."""
        done = subprocess.run(
            [
                _program("kubectl"),
                f"--kubeconfig={self.folder / 'kubeconfig'}",
                f"--cache-dir={self.folder / 'cache'}",
                *arguments,
            ],
            input=None if resources is None else yaml.safe_dump_all(resources),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def apply(self, resources: list[Resource], *, dry_run: bool = False) -> Answer:
        """Applies them as docs/deploying.md says; a dry run goes through everything but storing."""
        kind = ["--dry-run=server"] if dry_run else []
        return self.kubectl("apply", "--server-side", *kind, "--filename=-", resources=resources)

    def wait_for_definitions(self, count: int) -> None:
        """Until resources of that many definitions can be made. Raises `AssertionError`."""
        condition = '{.items[*].status.conditions[?(@.type=="Established")].status}'
        deadline = time.monotonic() + READY_SECONDS
        while True:
            answer = self.kubectl("get", "crd", f"--output=jsonpath={condition}")
            if answer.output.split() == ["True"] * count:
                return
            assert time.monotonic() < deadline, answer
            time.sleep(LOOK_SECONDS)


@contextmanager
def serving(folder: Path) -> Iterator[Cluster]:
    """An empty cluster whose data lie in `folder`. Both processes end with the block, and with us."""
    etcd, peers, port = free_port(), free_port(), free_port()
    token = secrets.token_hex()
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    accounts = folder / "accounts.pem"
    accounts.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    (folder / "kubeconfig").write_text(yaml.safe_dump(_kubeconfig(port, token)))
    cluster = Cluster(folder)
    with ExitStack() as running:
        running.enter_context(_process(folder, "etcd", *_etcd(folder, etcd, peers)))
        server = _apiserver(folder, port, f"http://{HOST}:{etcd}", accounts)
        process = running.enter_context(_process(folder, "kube-apiserver", *server))
        _wait_ready(cluster, process)
        yield cluster


def _etcd(folder: Path, port: int, peers: int) -> list[str]:
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=http://{HOST}:{port}",
        f"--advertise-client-urls=http://{HOST}:{port}",
        f"--listen-peer-urls=http://{HOST}:{peers}",
        f"--initial-advertise-peer-urls=http://{HOST}:{peers}",
        f"--initial-cluster=default=http://{HOST}:{peers}",
        "--unsafe-no-fsync",
    ]


def _apiserver(folder: Path, port: int, etcd: str, accounts: Path) -> list[str]:
    return [
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--etcd-servers={etcd}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",  # as in a real one: it is the namespace that refuses
        f"--service-account-issuer=https://{HOST}:{port}",
        f"--service-account-key-file={accounts}",
        f"--service-account-signing-key-file={accounts}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",  # loopback cannot be a service's endpoint
    ]


def _kubeconfig(port: int, token: str) -> Resource:
    server = {"server": f"https://{HOST}:{port}", "insecure-skip-tls-verify": True}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": server}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found, MISSING.format(name)
    return found


@contextmanager
def _process(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [_program(name), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it makes one system call and no more
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(cluster: Cluster, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if cluster.kubectl("get", "--raw=/readyz", "--request-timeout=5s").code == 0:
            return
        time.sleep(LOOK_SECONDS)
    log = (cluster.folder / "kube-apiserver.log").read_text(errors="replace")
    raise AssertionError(f"kube-apiserver did not become ready:\n{log[-2_000:]}")
