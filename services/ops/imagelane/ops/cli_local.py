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
from imagelane.ops import topics
from imagelane.ops.broker import BrokerSetupError
from imagelane.ops.command_line import fail
from imagelane.ops.local import LocalOptions, LocalStack, Standin, running
from imagelane.ops.progress import Progress
from imagelane.ops.submission import SubmissionError
from imagelane.ops.supervisor import ProgramError

CACHE: Final = Path.home() / ".cache" / "imagelane"
EXPECTED: Final = (BrokerSetupError, topics.TopicsError, ProgramError, SubmissionError, OSError)

DataFolder = Annotated[Path, typer.Option(help="Everything that lasts lies here.")]
CacheFolder = Annotated[Path, typer.Option(help="The broker's jars.")]


def local(
    data: DataFolder = Path("imagelane-data"),
    cache: CacheFolder = CACHE,
    kafka_port: Annotated[int, typer.Option(help="0 takes a free one, once.")] = 0,
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
    own_list: Annotated[
        Path | None,
        typer.Option("--list", exists=True, dir_okay=False, help="Your own list, one URL a line."),
    ] = None,
    customer: Annotated[str, typer.Option(help="Who hands in your own list.")] = "acme",
) -> None:
    """Lists of three customers travel the whole road; a judge has the last word."""
    _run(demo_run.run(folder.absolute(), cache, own_list=own_list, customer=customer))


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
    event = '{"customer_id": "acme", "urls": ["https://example.com/a.jpg"]}'
    show.say("kafka", f"export IMAGELANE_KAFKA__BOOTSTRAP_SERVERS={servers}")
    show.say("hand in", f"echo '{event}' | kcat -P -b {servers} -t urls")
    show.say(
        "or",
        "imagelane submit list.txt --customer acme --wait   # finds gateway and key in this folder",
    )
    show.say("look", f"kcat -C -b {servers} -t processed -f '%k %s\\n'")
    show.say("results", str(stack.results))
    for name, port in stack.health_ports.items():
        show.say("health", f"{name:10} http://127.0.0.1:{port}/readyz, /livez, /startupz, /metrics")


def _run(work: Coroutine[Any, Any, int]) -> NoReturn:
    try:
        code = asyncio.run(work)
    except EXPECTED as error:
        fail(str(error))
    raise typer.Exit(code)
