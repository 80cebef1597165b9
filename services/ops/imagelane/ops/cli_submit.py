"""`imagelane submit` and `imagelane status`: a list goes in, and is waited for."""

from __future__ import annotations

import re
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, BinaryIO, Final, NoReturn

import typer

from imagelane.ops.client.asking import ask, understood
from imagelane.ops.client.connection import AsJson, Connection, GatewayUrl, KeyFile, connection
from imagelane.ops.client.core.answers import Job, Submitted
from imagelane.ops.client.core.progress import exit_code, summary_lines
from imagelane.ops.client.following import Follower
from imagelane.ops.client.gateway import Gateway, GatewayError, PassingError, quoted
from imagelane.ops.client.patience import patiently
from imagelane.ops.client.submitting import Submitter, Wish, format_of, opened
from imagelane.ops.client.tables import job_lines
from imagelane.ops.client.waiting import Waiting
from imagelane.ops.command_line import fail

WRONG_USAGE: Final = 2
STANDARD_INPUT: Final = "-"
LAST_LOOK_SECONDS: Final = 60.0
_is_key: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?").fullmatch
_is_address: Final = re.compile(r"https?://", re.IGNORECASE).match

Source = Annotated[
    str, typer.Argument(help="A file, an http(s) address of a list, or - for standard input.")
]
Customer = Annotated[
    str | None, typer.Option(help="Whose list it is; only an operator's key needs it.")
]
Recipe = Annotated[str | None, typer.Option(help="What is made of each image.")]
Destination = Annotated[str | None, typer.Option(help="Where the results go.")]
Deadline = Annotated[
    str | None, typer.Option(help="Such as 2026-12-24T18:00:00Z; what is not done then is left.")
]
NotifyUrl = Annotated[
    str | None, typer.Option(help="Where a signed webhook goes when the job is over.")
]
ListFormat = Annotated[
    str | None, typer.Option(help="text, csv or json; else the name or the first character tells.")
]
ListColumn = Annotated[
    str | None, typer.Option(help="The CSV's column with the URLs; `url` without it.")
]
IdempotencyKey = Annotated[
    str | None, typer.Option(help="The same key and list are the same job, however often.")
]
Patience = Annotated[
    float,
    typer.Option(min=0, help="So many seconds a gateway that is away or busy is asked again."),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait", help="Until the job is over. Exits 0: all delivered, 3: some were, 1: none was."
    ),
]


def submit(
    source: Source,
    *,
    customer: Customer = None,
    recipe: Recipe = None,
    destination: Destination = None,
    deadline: Deadline = None,
    notify_url: NotifyUrl = None,
    list_format: ListFormat = None,
    list_column: ListColumn = None,
    idempotency_key: IdempotencyKey = None,
    patience: Patience = 60.0,
    wait: Wait = False,
    gateway: GatewayUrl = None,
    api_key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Hands in a list of image URLs. Prints the job's id, or waits for the end of the job."""
    key = idempotency_key or secrets.token_hex(16)
    if not _is_key(key):
        fail("--idempotency-key: it must have 1 to 255 characters of printable ASCII", WRONG_USAGE)
    at = connection(gateway, api_key_file)
    wish = Wish(
        customer_id=customer,
        recipe=recipe,
        destination=destination,
        deadline=deadline,
        notify_url=notify_url,
        list_format=list_format,
        list_column=list_column,
    )
    answer = _handed_in(at, source, wish, key, patience)
    job = understood(at, answer, Submitted)
    if wait:
        _tell(f"job {job.job_id} of {job.customer_id}, under the key {key}")
        _wait_and_exit(at, job.job_id, as_json=as_json)
    typer.echo(answer if as_json else job.job_id)
    look = f"imagelane status {job.job_id} --wait"
    _tell(f"handed in for {job.customer_id} under the key {key}; look: {look}")


def status(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    *,
    wait: Wait = False,
    gateway: GatewayUrl = None,
    api_key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Where a job stands: images by step, failures by code."""
    at = connection(gateway, api_key_file)
    answer = ask(at, lambda api: api.get(f"/v1/jobs/{quoted(job)}"))
    if wait:
        _wait_and_exit(at, job, as_json=as_json)
    shown = understood(at, answer, Job)
    if as_json:
        typer.echo(answer)
        return
    for line in job_lines(shown):
        typer.echo(line)


def _handed_in(at: Connection, source: str, wish: Wish, key: str, patience: float) -> bytes:
    """The gateway's answer, when it has the list."""

    async def hand_in(api: Gateway, file: BinaryIO | None) -> bytes:
        submitter = Submitter(api, key, _tell, patience)
        try:
            if file is None:
                return await submitter.list_at(source, wish)
            return await submitter.list_in(file, wish)
        except PassingError as error:
            raise GatewayError(f"{error}\n{again}") from error

    again = f"whether it has the list is not known: the same with --idempotency-key {key} is the same job"
    if _is_address(source):
        return ask(at, lambda api: hand_in(api, None), interrupted=again)
    path = None if source == STANDARD_INPUT else Path(source)
    wish = replace(wish, list_format=wish.list_format or format_of(path))
    try:
        with opened(path, sys.stdin.buffer) as file:
            return ask(at, lambda api: hand_in(api, file), interrupted=again)
    except OSError as error:
        fail(f"SOURCE: {source}: {error.strerror}", WRONG_USAGE)


def _wait_and_exit(at: Connection, job_id: str, *, as_json: bool) -> NoReturn:
    async def wait(api: Gateway) -> bytes:
        with Waiting() as waiting:
            async for job in Follower(api, job_id, waiting.say).statuses():
                waiting.show(job)
            return await patiently(
                lambda: api.get(f"/v1/jobs/{job_id}"), seconds=LAST_LOOK_SECONDS, tell=waiting.say
            )

    answer = ask(
        at, wait, interrupted=f"job {job_id} goes on; look: imagelane status {job_id} --wait"
    )
    job = understood(at, answer, Job)
    if as_json:
        typer.echo(answer)
    else:
        for line in summary_lines(job):
            typer.echo(line)
    raise typer.Exit(exit_code(job))


def _tell(text: str) -> None:
    typer.echo(text, err=True)
