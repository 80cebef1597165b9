"""`imagelane jobs`, `images`, `results` and `trace`: what became of lists and images."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

import typer

from imagelane.ops.client.asking import ask, understood
from imagelane.ops.client.connection import AsJson, GatewayUrl, KeyFile, connection
from imagelane.ops.client.core.answers import Image, Job, Trail, read
from imagelane.ops.client.core.ids import is_image
from imagelane.ops.client.gateway import Gateway, quoted
from imagelane.ops.client.tables import image_line, job_table, step_table, trail_lines
from imagelane.ops.command_line import fail
from imagelane.ops.wide import wide_console

WRONG_USAGE: Final = 2

Limit = Annotated[int, typer.Option(min=1, help="So many at most.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


def jobs(
    *,
    customer: Annotated[
        str | None, typer.Option(help="For operators: only this customer's.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="accepted, running, finished or refused.")
    ] = None,
    limit: Limit = 20,
    every: All = False,
    gateway: GatewayUrl = None,
    api_key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Jobs, the newest first."""
    params = {"customer_id": customer, "status": status}

    async def work(api: Gateway) -> list[Job]:
        found = []
        async for one in api.items("/v1/jobs", params, limit=None if every else limit):
            if as_json:
                typer.echo(bytes(one))
            else:
                found.append(read(one, Job))
        return found

    found = ask(connection(gateway, api_key_file), work)
    if found:
        wide_console().print(job_table(found, datetime.now(UTC)))
    elif not as_json:
        typer.echo("no such job", err=True)


def images(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    *,
    status: Annotated[
        str | None,
        typer.Option(
            help="requested, downloaded, processed, in_call, delivered, failed or cancelled."
        ),
    ] = None,
    code: Annotated[str | None, typer.Option(help="Of a failure, such as not_found.")] = None,
    text: Annotated[str | None, typer.Option(help="Looked for in URLs and groups.")] = None,
    limit: Limit = 100,
    every: All = False,
    gateway: GatewayUrl = None,
    api_key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Images of a job, in the order of its list."""
    params = {"status": status, "code": code, "text": text}
    path = f"/v1/jobs/{quoted(job)}/images"

    async def work(api: Gateway) -> int:
        count = 0
        async for one in api.items(path, params, limit=None if every else limit):
            typer.echo(bytes(one) if as_json else image_line(read(one, Image)))
            count += 1
        return count

    shown = ask(connection(gateway, api_key_file), work)
    if not shown and not as_json:
        typer.echo("no such image in the job", err=True)
    if shown == limit and not every:
        typer.echo(
            f"the first {shown}; --all shows all, --status, --code and --text choose", err=True
        )


def results(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    *,
    form: Annotated[
        Literal["ndjson", "csv"],
        typer.Option("--format", help="A line an image, or a line a result URL."),
    ] = "ndjson",
    output: Annotated[
        Path | None, typer.Option(help="A file; it is there only when it is whole.")
    ] = None,
    gateway: GatewayUrl = None,
    api_key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """All result URLs of a job, as they come: to standard output, or into a file."""
    if as_json and form != "ndjson":
        fail("--json is --format ndjson; give one of the two", WRONG_USAGE)
    at = connection(gateway, api_key_file)
    path = f"/v1/jobs/{quoted(job)}/results"
    if output is None:
        ask(at, lambda api: _download(api, path, form, sys.stdout.buffer))
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            size_bytes = ask(at, lambda api: _download(api, path, form, file))
        part.replace(output)
    except OSError as error:
        fail(f"--output: {output}: {error.strerror}", WRONG_USAGE)
    finally:
        part.unlink(missing_ok=True)
    typer.echo(f"{output}: {size_bytes:,} bytes", err=True)


def trace(
    image: Annotated[str, typer.Argument(help="JOB:INDEX, the index counted from 0.")],
    *,
    gateway: GatewayUrl = None,
    api_key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Everything that happened to an image: when, by which service, and the record that tells of it."""
    if not is_image(image):
        fail(f"IMAGE: {image} is no image's id: a job's and the index, as in JOB:0", WRONG_USAGE)
    at = connection(gateway, api_key_file)
    answer = ask(at, lambda api: api.get(f"/v1/images/{quoted(image)}"))
    trail = understood(at, answer, Trail)
    if as_json:
        typer.echo(answer)
        return
    for line in trail_lines(trail):
        typer.echo(line)
    wide_console().print(step_table(trail.steps))


async def _download(api: Gateway, path: str, form: str, out: BinaryIO) -> int:
    size_bytes = 0
    async with api.answer("GET", path, params={"format": form}) as response:
        async for piece in response.content.iter_any():
            out.write(piece)
            size_bytes += len(piece)
    out.flush()
    return size_bytes
