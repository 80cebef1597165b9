"""One broker process: its configuration, its start, and when it is ready."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import IO, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from imagelane.ops.broker.jars import HERE, BrokerHome, BrokerSetupError
from imagelane.ops.broker.secured import BrokerSecurity, write_properties
from imagelane.ops.children import die_with_parent

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
HEAP_MIB: Final = 192
HOST: Final = "127.0.0.1"

SETTINGS: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.num.partitions": "8",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.segment.delete.delay.ms": "1000",
    # A record every half second, only to show that the metadata log lives: a quarter of the idle CPU.
    "metadata.max.idle.interval.ms": "10000",
}
"""Slim: up in 1 to 2 seconds with 150 to 190 MB (measured with a class-data archive)."""


class EmbeddedBroker:
    """An Apache Kafka whose data and ports stay in `folder`: a second start goes on where it ended."""

    def __init__(
        self,
        home: BrokerHome,
        folder: Path,
        *,
        port: int = 0,
        heap_mib: int = HEAP_MIB,
        proxied: tuple[int, int] | None = None,
        security: BrokerSecurity | None = None,
    ) -> None:
        """`port` 0 takes the one that the folder was made with, or a free one.

        `proxied` is one listener more: the port on which it listens, and the one that it tells clients.
        Without `security` everybody on this machine may do everything.
        """
        self._home = home
        self._proxied = proxied
        self._security = security
        self._heap_mib = heap_mib
        self._folder = folder.absolute()
        self._ports = self._choose_ports(port)
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for clients."""
        return f"{HOST}:{self._ports[0]}"

    @property
    def command(self) -> list[str]:
        """Starts the broker in the foreground, once `prepare` has been called."""
        archive = self._archive
        sharing = "SharedArchiveFile" if archive.exists() else "ArchiveClassesAtExit"
        return self._java(
            f"-Xmx{self._heap_mib}m",
            f"-XX:{sharing}={archive}",
            "-Xlog:cds=off",
            "-Xlog:cds+dynamic=off",
            f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}",
            "kafka.Kafka",
            str(self._properties),
        )

    def prepare(self) -> None:
        """Writes the configuration and formats the folder, once. Raises `BrokerSetupError`."""
        for port in self._ports:
            _require_free(port)
        broker, controller = self._ports
        security = self._security
        listener = "PLAINTEXT" if security is None else security.listener
        settings = SETTINGS | ({} if security is None else security.properties())
        settings |= {
            "listeners": f"{listener}://{HOST}:{broker},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"{listener}://{HOST}:{broker}",
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "log.dirs": str(self._folder / "log"),
        }
        if self._proxied is not None:
            own, told = self._proxied
            settings["listeners"] += f",PROXIED://{HOST}:{own}"
            settings["advertised.listeners"] += f",PROXIED://{HOST}:{told}"
            settings["listener.security.protocol.map"] += f",PROXIED:{listener}"
        write_properties(self._properties, settings)
        if (self._folder / "log" / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = self._java(
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",  # may begin with a dash: one argument
            f"--config={self._properties}",
            *(() if security is None else security.format_arguments()),
        )
        done = subprocess.run(tool, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise BrokerSetupError(f"the broker's folder {self._folder}: {done.stderr[-2_000:]}")

    def start(self) -> None:
        """Starts the process and waits until it answers. Raises `BrokerSetupError`."""
        self.prepare()
        self._output = (self._folder / "broker.log").open("ab")
        self._process = subprocess.Popen(
            self.command,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it makes one system call and no more
        )
        self.wait_ready()

    def wait_ready(self, timeout_seconds: float = READY_SECONDS) -> None:
        """Waits until the broker answers a metadata request. Raises `BrokerSetupError`."""
        deadline = time.monotonic() + timeout_seconds
        security = self._security
        client = AdminClient(
            {
                **({} if security is None else security.operator.librdkafka_properties()),
                "bootstrap.servers": self.bootstrap_servers,
                "log_level": 0,
                "reconnect.backoff.ms": 50,
            }
        )
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            try:
                if client.list_topics(timeout=1).brokers:
                    return
            except KafkaException:
                continue
        raise BrokerSetupError(f"the broker did not start; see {self._folder / 'broker.log'}")

    def stop(self) -> None:
        """Ends the process in order, within seconds; what does not end is killed."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._close()

    def kill(self) -> None:
        """Ends the process at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        self._process = None
        if self._output is not None:
            self._output.close()
            self._output = None

    @property
    def _properties(self) -> Path:
        return self._folder / "server.properties"

    @property
    def _archive(self) -> Path:
        return self._home.folder / "classes.jsa"

    def _java(self, *arguments: str) -> list[str]:
        fast = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        return [str(self._home.java), *fast, "-cp", self._home.class_path, *arguments]

    def _choose_ports(self, port: int) -> tuple[int, int]:
        self._folder.mkdir(parents=True, exist_ok=True)
        remembered = self._folder / "ports.json"
        ports: list[int] = [0, 0]
        if remembered.exists():
            ports = json.loads(remembered.read_text(encoding="utf-8"))
        if port:
            ports[0] = port
        ports = [one or free_port() for one in ports]
        remembered.write_text(json.dumps(ports), encoding="utf-8")
        return ports[0], ports[1]


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with closing(socket.socket()) as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port


def _require_free(port: int) -> None:
    with closing(socket.socket()) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError as error:
            raise BrokerSetupError(
                f"port {port} of {HOST} is in use ({error.strerror}): stop what listens there,"
                " or choose another data folder"
            ) from error
