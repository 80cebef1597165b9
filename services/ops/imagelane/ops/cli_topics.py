"""`imagelane topics …`."""

from __future__ import annotations

from typing import Annotated

import typer

from imagelane.contracts.parts import PartitionCounts
from imagelane.ops import acceptance, access_lists, topics
from imagelane.ops.command_line import CommandSettings, Yes, fail
from imagelane.ops.migration import Migration, NotReadyError
from imagelane.platform.settings import load_or_exit

app = typer.Typer(no_args_is_help=True, help="Topics as the files in schemas/topics say.")


@app.command()
def apply() -> None:
    """Makes and records what is missing. Never changes a topic that is there; exits 1 if any differs."""
    settings = load_or_exit(CommandSettings)
    try:
        differences = topics.apply(settings.kafka, typer.echo, deployment_id=settings.deployment_id)
    except topics.TopicsError as error:
        fail(str(error))
    _tell(differences)


@app.command()
def check() -> None:
    """Says how the broker's topics differ from files, settings and record; exits 1 if any does."""
    settings = load_or_exit(CommandSettings)
    try:
        differences = topics.check(settings.kafka, deployment_id=settings.deployment_id)
    except topics.TopicsError as error:
        fail(str(error))
    _tell(differences)


@app.command()
def accept(
    names: Annotated[list[str], typer.Argument(help="Topics, without the deployment's prefix.")],
    yes: Yes = False,
) -> None:
    """Takes topics that were deleted or made anew for ours again. Every service must be stopped.

    What the old ones held and nobody had read is lost. See docs/topics.md.
    """
    settings = load_or_exit(CommandSettings)
    if not yes:
        typer.confirm(f"what {', '.join(names)} held before is lost: go on?", abort=True)
    try:
        acceptance.accept(settings.kafka, settings.deployment_id, names, typer.echo)
    except topics.TopicsError as error:
        fail(str(error))


@app.command()
def migrate(
    strict_partitions: Annotated[
        int | None, typer.Option(min=1, help="The setting of this name, if it is not given.")
    ] = None,
    spread_partitions: Annotated[int | None, typer.Option(min=1, help="The same.")] = None,
    with_open_jobs: Annotated[
        bool, typer.Option(help="Moves what is under way, too. Only if it cannot be ended before.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Gives topics more partitions, once the road is drained and every service stopped.

    See docs/topics.md. May be called again whenever it was broken off.
    """
    settings = load_or_exit(CommandSettings)
    target = PartitionCounts(
        strict_partitions=strict_partitions or settings.kafka.strict_partitions,
        spread_partitions=spread_partitions or settings.kafka.spread_partitions,
    )
    if not yes:
        typer.confirm(
            f"{target.strict_partitions} strict and {target.spread_partitions} spread partitions,"
            " which nobody can take back: is every service stopped?",
            abort=True,
        )
    migration = Migration(settings.kafka, settings.deployment_id, target, typer.echo)
    try:
        migration.run(with_open_jobs=with_open_jobs)
    except (NotReadyError, topics.TopicsError) as error:
        fail(str(error))


@app.command()
def access(
    show: Annotated[
        bool, typer.Option("--show", help="Only print who may do what; no broker is asked.")
    ] = False,
    make_so: Annotated[
        bool, typer.Option("--apply", help="Add what is missing, take away what is too much.")
    ] = False,
    principals: Annotated[
        str, typer.Option(help="How the broker calls a service: `User:CN={service}` for example.")
    ] = access_lists.PRINCIPALS,
) -> None:
    """Compares the broker's access lists with what follows from the topic files; exits 1 if they differ.

    Of the deployment's principals alone: other people's entries are not looked at. See docs/kafka-security.md.
    """
    if "{service}" not in principals:
        fail("--principals needs {service} in it", code=2)
    lists = access_lists.AccessLists(load_or_exit(CommandSettings).kafka, principals)
    if show:
        typer.echo("\n".join(access_lists.shown(lists.wanted())))
        return
    try:
        difference = lists.apply() if make_so else lists.compare()
    except access_lists.AccessError as error:
        fail(str(error))
    for line in difference.lines():
        typer.echo(line)
    if make_so:
        typer.echo("the access lists are now as the topic files say")
    elif difference.missing or difference.too_much:
        raise typer.Exit(1)
    else:
        typer.echo("the access lists are as the topic files say")


def _tell(differences: list[topics.Difference]) -> None:
    for difference in differences:
        typer.echo(str(difference), err=True)
    if differences:
        raise typer.Exit(1)
    typer.echo("all topics are as their files and the record say")
