"""`imagelane doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from yarl import URL

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.ops.access import OPERATOR, principals
from imagelane.ops.client.connection import AsJson
from imagelane.ops.command_line import fail
from imagelane.ops.doctor import showing
from imagelane.ops.doctor.examination import NAMES, Look, examine, looks
from imagelane.ops.doctor.subject import Subject, subject
from imagelane.ops.local_environment import ENVIRONMENT_FILE
from imagelane.ops.wide import wide_console

WRONG_USAGE: Final = 2


def doctor(
    service: Annotated[
        list[str] | None,
        typer.Option(help="NAME=http://host:port of a service's probes; may be given again."),
    ] = None,
    login: Annotated[
        str, typer.Option("--as", help="Whose login to the broker this is: a service's, or `ops`.")
    ] = OPERATOR,
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this check; may be given again: {', '.join(NAMES)}."),
    ] = None,
    environment: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A file of NAME=value lines, below the environment. Nothing set: that of `imagelane local` here.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="For each check, at most.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Checks a deployment from the inside, and says what to do. Exits 1 where there is a finding.

    It reads the same variables as the services, and looks at whatever is set. It starts nothing and
    changes nothing, but for a probe object of 43 bytes in each place of the store, which it removes.
    """
    as_whom = _login(login)
    if environment is None and subject(None, services={}, login=as_whom).is_empty:
        environment = ENVIRONMENT_FILE if ENVIRONMENT_FILE.is_file() else None
    found = subject(environment, services=_services(service or []), login=as_whom)
    if found.is_empty:
        fail("nothing is set here that could be looked at: see docs/configuration.md", WRONG_USAGE)
    wanted = _wanted(only or [], found)
    checks = []
    for one in examine(wanted, limit_seconds=seconds):
        checks.append(one)
        if as_json:
            typer.echo(showing.line(one))
    if not as_json:
        console = wide_console()
        console.print(showing.table(checks))
        for text in showing.findings(checks):
            console.print(text)
    if any(one.report.findings for one in checks):
        raise typer.Exit(1)


def _services(given: list[str]) -> dict[str, str]:
    addresses = {}
    for one in given:
        name, _, address = one.partition("=")
        try:
            url = URL(address)
        except ValueError:
            url = URL()
        if not name or url.scheme not in {"http", "https"} or not url.host:
            fail(f"--service: {one!r} is not NAME=http://host:port", WRONG_USAGE)
        addresses[name] = address.rstrip("/")
    return addresses


def _login(login: str) -> str:
    files = read_topic_files(schemas_folder()).values()
    known = principals(files)
    if login not in known:
        fail(f"--as: there is no service {login!r}, only {', '.join(known)}", WRONG_USAGE)
    return login


def _wanted(only: list[str], found: Subject) -> dict[str, Look]:
    for name in only:
        if name not in NAMES:
            fail(f"--only: there is no check {name!r}, only {', '.join(NAMES)}", WRONG_USAGE)
    every = looks(found)
    # What is set wrong is always told: the checks that need it can only be skipped.
    always = {"settings"} if found.wrong else set()
    return {name: every[name] for name in NAMES if not only or name in {*only, *always}}
