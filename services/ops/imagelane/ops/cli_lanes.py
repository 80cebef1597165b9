"""`imagelane lanes`: how the customers' lanes stand, and what a person decides about a held one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
import typer
from confluent_kafka import KafkaException
from rich.console import Console
from typer.core import TyperGroup

from imagelane.contracts.commands import ReleaseLane
from imagelane.contracts.events import LaneRecorded
from imagelane.contracts.topics import COMMANDS
from imagelane.ops import commanding, topics
from imagelane.ops.command_line import By, CommandSettings, Yes, decider, fail, valid
from imagelane.ops.delivery import DeliveryError
from imagelane.ops.lane_table import lane_table
from imagelane.ops.lanes import LaneFollower, LaneView, effect_of, lane_of, lanes, view_of
from imagelane.platform.latest_records import ReadingTooLongError
from imagelane.platform.settings import load_or_exit

SHOW: Final = "show"
WAIT_SECONDS: Final = 30.0
WRONG_USAGE: Final = 2
CONSEQUENCES: Final = {
    "retry": "call {seq} with its {images} images is sent again, under the same key and reference",
    "treat_as_done": "the {images} images of call {seq} count as delivered; nobody asks the API",
    "treat_as_failed": "the {images} images of call {seq} count as failed; nobody asks the API",
}

Decision = Literal["retry", "treat_as_done", "treat_as_failed"]


class ShowByDefault(TyperGroup):
    """`lanes acme` is `lanes show acme`: a customer comes where else a command stands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the command in where there is none."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [SHOW, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ShowByDefault, help="The customers' lanes: `imagelane lanes`, or `imagelane lanes acme`."
)


@app.command(SHOW)
def show(
    customer: Annotated[str | None, typer.Argument(help="Only this customer's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, of all lanes.")] = False,
    with_idle: Annotated[bool, typer.Option("--all", help="Idle ones, too.")] = False,
) -> None:
    """How the lanes stand, held ones first. What is shown by default."""
    settings = load_or_exit(CommandSettings)
    with _spoken_errors():
        if not as_json:
            _warn_of_topics(settings)
        if customer is None:
            found: Sequence[LaneView] = lanes(settings.kafka)
        else:
            found = [view_of(_existing(settings, customer))]
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    busy = [one for one in found if with_idle or customer or one.state != "idle"]
    if busy:
        Console(highlight=False).print(lane_table(busy, datetime.now(UTC)))
    if len(busy) < len(found):
        typer.echo(f"{len(found) - len(busy)} lanes are idle; --all shows them")
    if not found:
        typer.echo("no customer has had a call yet")


@app.command()
def release(
    customer: Annotated[str, typer.Argument(help="Whose lane is held.")],
    *,
    retry: Annotated[bool, typer.Option("--retry", help="Send the same call again.")] = False,
    done: Annotated[
        bool, typer.Option("--treat-as-done", help="Its images count as delivered.")
    ] = False,
    failed: Annotated[
        bool, typer.Option("--treat-as-failed", help="Its images count as failed.")
    ] = False,
    note: Annotated[str | None, typer.Option(help="Why; it is kept with the decision.")] = None,
    by: By = None,
    yes: Yes = False,
) -> None:
    """Releases a held lane by a person's decision, and waits for what comes of it."""
    decision = _the_one({"retry": retry, "treat_as_done": done, "treat_as_failed": failed})
    settings = load_or_exit(CommandSettings)
    with _spoken_errors():
        lane = _existing(settings, customer)
        if lane.state != "held":
            fail(f"the lane of {customer} is not held: it is {lane.state}, call {lane.last_seq}")
        _confirm(lane, decision, yes=yes)
        fields = {
            "customer_id": customer,
            "seq": lane.last_seq,
            "decision": decision,
            "decided_by": decider(by),
            "occurred_at": commanding.moment_to_release(lane, datetime.now(UTC)),
            **({} if note is None else {"note": note}),
        }
        event = valid(ReleaseLane, fields, {"note": "--note", "decided_by": "--by"})
        _warn_of_topics(settings)
        effect = _effect(settings, event)
    if effect is None:
        fail(
            f"the decision is on {settings.kafka.topic(COMMANDS)}, and within {WAIT_SECONDS:.0f} s"
            " no dispatcher has carried it out: is one running? It will when one does"
        )
    typer.echo(effect)


def _effect(settings: CommandSettings, event: ReleaseLane) -> str | None:
    """What came of it; None if nothing does in time."""
    follower = LaneFollower(settings.kafka, event.customer_id)
    try:
        commanding.command(settings.kafka, event)
        for lane in follower.changes(WAIT_SECONDS):
            effect = effect_of(event, lane)
            if effect is not None:
                return effect
        return None
    finally:
        follower.close()


def _the_one(flags: dict[Decision, bool]) -> Decision:
    given = [decision for decision, is_given in flags.items() if is_given]
    if len(given) != 1:
        fail("one of --retry, --treat-as-done and --treat-as-failed is needed", WRONG_USAGE)
    return given[0]


def _existing(settings: CommandSettings, customer: str) -> LaneRecorded:
    lane = lane_of(settings.kafka, customer)
    if lane is None:
        fail(f"{customer} has no lane: no call was ever asked for")
    return lane


def _confirm(lane: LaneRecorded, decision: Decision, *, yes: bool) -> None:
    view = view_of(lane)
    typer.echo(f"the lane of {lane.customer_id} is held: {lane.hold_reason}")
    typer.echo(CONSEQUENCES[decision].format(seq=view.seq, images=view.images))
    if not yes:
        typer.confirm("is this your decision?", abort=True)


def _warn_of_topics(settings: CommandSettings) -> None:
    deployment = topics.look(settings.kafka, settings.deployment_id)
    for difference in deployment.differences():
        typer.echo(f"all lanes stand still: {difference}", err=True)


@contextmanager
def _spoken_errors() -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        fail(error.args[0].str())
    except (topics.TopicsError, DeliveryError, ReadingTooLongError) as error:
        fail(str(error))
