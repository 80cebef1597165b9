"""`imagelane local` and `imagelane demo`: all parts on this machine."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from imagelane.ops import demo as demo_run
from imagelane.ops import local_kafka, topics
from imagelane.ops.access import OPERATOR
from imagelane.ops.access_lists import AccessError
from imagelane.ops.broker import BrokerSetupError
from imagelane.ops.command_line import fail
from imagelane.ops.local import LocalOptions, LocalSetupError, LocalStack, Standin, running
from imagelane.ops.local_stack import DatabaseKind, KafkaSecurityKind, ObjectStoreKind, ResultAccess
from imagelane.ops.progress import Progress
from imagelane.ops.submission import SubmissionError
from imagelane.ops.supervisor import ProgramError

CACHE: Final = Path.home() / ".cache" / "imagelane"
EXPECTED: Final = (
    *(BrokerSetupError, AccessError, LocalSetupError, topics.TopicsError),
    *(ProgramError, SubmissionError, OSError),
)

DataFolder = Annotated[Path, typer.Option(help="Everything that lasts lies here.")]
CacheFolder = Annotated[Path, typer.Option(help="The broker's jars, and what Go builds.")]
ObjectStore = Annotated[
    ObjectStoreKind, typer.Option(help="Folders, or a real S3 server (versitygw).")
]
Access = Annotated[
    ResultAccess,
    typer.Option(help="Who may read results on S3: everybody, or who has a signed URL."),
]
KafkaSecurity = Annotated[
    KafkaSecurityKind,
    typer.Option(help="For everybody here, or TLS and a password and an access list per service."),
]
Database = Annotated[DatabaseKind, typer.Option(help="A file, or a real PostgreSQL server.")]


def local(
    data: DataFolder = Path("imagelane-data"),
    cache: CacheFolder = CACHE,
    *,
    kafka_port: Annotated[int, typer.Option(help="0 takes a free one, once.")] = 0,
    object_store: ObjectStore = "directory",
    result_access: Access = "public",
    database: Database = "sqlite",
    kafka_security: KafkaSecurity = "plaintext",
    batch_api: Annotated[
        str | None, typer.Option(help="Base URL of a batch API; without it a stand-in is started.")
    ] = None,
    capabilities: Annotated[str, typer.Option(help="What that API offers: A, B, C or D.")] = "A",
    allow_loopback: Annotated[
        bool, typer.Option(help="Images and lists may lie on this machine.")
    ] = False,
) -> None:
    """Runs a real Apache Kafka and every service on this machine, until Ctrl-C."""
    options = LocalOptions(
        data=data,
        cache=cache,
        kafka_port=kafka_port,
        object_store=object_store,
        result_access=result_access,
        database=database,
        kafka_security=kafka_security,
        batch_api_url=batch_api,
        standin=Standin(level=capabilities),
        loopback_sources=allow_loopback,
    )
    _run(_local(options))


def demo(
    folder: Annotated[Path, typer.Option(help="Photos, data and results lie here.")] = Path(
        "build/demo"
    ),
    cache: CacheFolder = CACHE,
    *,
    own_list: Annotated[
        Path | None,
        typer.Option("--list", exists=True, dir_okay=False, help="Your own list, one URL a line."),
    ] = None,
    customer: Annotated[str, typer.Option(help="Who hands in your own list.")] = "acme",
    object_store: ObjectStore = "directory",
    result_access: Access = "public",
    database: Database = "sqlite",
    kafka_security: KafkaSecurity = "plaintext",
) -> None:
    """Lists of three customers travel the whole road; a judge has the last word."""
    folder = folder.absolute()
    options = LocalOptions(
        data=folder / "data",
        cache=cache,
        object_store=object_store,
        result_access=result_access,
        database=database,
        kafka_security=kafka_security,
    )
    _run(demo_run.run(folder, options, own_list=own_list, customer=customer))


async def _local(options: LocalOptions) -> int:
    show = Progress()
    stop = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)

    def print_line(name: str, line: str) -> None:
        sys.stdout.write(f"{name:10} | {line}\n")
        sys.stdout.flush()

    async with running(options, tell=show.say, output=print_line) as stack:
        _print_hints(show, stack)
        waited: set[asyncio.Future[Any]] = {
            asyncio.ensure_future(stop.wait()),
            stack.supervisor.refused,
        }
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if stack.supervisor.refused.done():
            stack.supervisor.refused.result()
        show.say("local", "stopping …")
    return 0


def _print_hints(show: Progress, stack: LocalStack) -> None:
    servers = stack.kafka.bootstrap_servers
    kcat = local_kafka.kcat(stack.kafka, stack.logs.parent / "secrets")
    event = '{"customer_id": "acme", "urls": ["https://example.com/a.jpg"]}'
    show.say("kafka", f"export IMAGELANE_KAFKA__BOOTSTRAP_SERVERS={servers}")
    for name, value in local_kafka.environment_for(stack.kafka, OPERATOR).items():
        show.say("kafka", f"export {name}={value}")
    show.say("hand in", f"echo '{event}' | {kcat} -P -t urls")
    show.say(
        "or",
        "imagelane submit list.txt --customer acme --wait   # finds gateway and key in this folder",
    )
    if stack.kafka.security.secures:
        show.say(
            "kcat", "needs librdkafka 2.6.1 to log in: docs/kafka-security.md if yours is older"
        )
    show.say("look", f"{kcat} -C -t processed -f '%k %s\\n'")
    show.say("results", str(stack.results))
    for name, port in stack.health_ports.items():
        show.say("health", f"{name:10} http://127.0.0.1:{port}/readyz, /livez, /startupz, /metrics")


def _run(work: Coroutine[Any, Any, int]) -> NoReturn:
    try:
        code = asyncio.run(work)
    except EXPECTED as error:
        fail(str(error))
    raise typer.Exit(code)
