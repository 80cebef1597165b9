"""`imagelane lanes`: how the customers' lanes stand, and what a person decides about a held one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
import typer
from confluent_kafka import KafkaException
from typer.core import TyperGroup

from imagelane.contracts.commands import ReleaseLane
from imagelane.contracts.events import LaneRecorded
from imagelane.contracts.topics import COMMANDS
from imagelane.ops import commanding, topics
from imagelane.ops.client import releasing
from imagelane.ops.client.asking import ask, run
from imagelane.ops.client.connection import GatewayUrl, KeyFile, connection, is_named
from imagelane.ops.client.gateway import GatewayError
from imagelane.ops.client.lanes import lanes_of
from imagelane.ops.client.lanes import view_of as view_of_answer
from imagelane.ops.command_line import (
    By,
    CommandSettings,
    OverKafka,
    Yes,
    broker_settings,
    decider,
    fail,
    spoken,
    valid,
)
from imagelane.ops.delivery import DeliveryError
from imagelane.ops.lane_table import lane_table, standstill_of
from imagelane.ops.lane_watching import watch
from imagelane.ops.lanes import LaneFollower, LaneView, effect_of, lane_of, lanes, view_of
from imagelane.ops.wide import wide_console
from imagelane.platform.latest_records import ReadingTooLongError

SHOW: Final = "show"
WAIT_SECONDS: Final = 30.0
WRONG_USAGE: Final = 2
SPOKEN: Final = (
    *(KafkaException, topics.TopicsError, DeliveryError),
    *(ReadingTooLongError, GatewayError),
)
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
    *,
    watching: Annotated[
        bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")
    ] = False,
    with_idle: Annotated[bool, typer.Option("--all", help="Idle ones, too.")] = False,
    over_kafka: OverKafka = False,
    gateway: GatewayUrl = None,
    api_key_file: KeyFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, of all lanes.")] = False,
) -> None:
    """How the lanes stand, held ones first. What is shown by default.

    Asks the gateway where one is named; else, or with --kafka, it reads the dispatcher's log itself.
    """
    if over_kafka or not is_named(gateway):
        settings = broker_settings()
        look = partial(_from_log, settings, customer)
        with _spoken_errors():
            if not as_json:
                _warn_of_topics(settings)
            found = look()
    else:
        at = connection(gateway, api_key_file)
        look = partial(run, at, lambda api: lanes_of(api, customer))
        found = ask(at, lambda api: lanes_of(api, customer))
    if watching:
        with _spoken_errors():
            watch(look, as_json=as_json, with_idle=with_idle or customer is not None)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        _print(found, with_idle=with_idle or customer is not None)


def _print(found: Sequence[LaneView], *, with_idle: bool) -> None:
    busy = [one for one in found if with_idle or one.state != "idle"]
    if busy:
        wide_console().print(lane_table(busy, datetime.now(UTC)))
    elif standstill := standstill_of(found):
        typer.echo(standstill)
    if len(busy) < len(found):
        idle = len(found) - len(busy)
        told = (
            "1 lane is idle; --all shows it"
            if idle == 1
            else f"{idle:,} lanes are idle; --all shows them"
        )
        typer.echo(told)
    if not found:
        typer.echo("no customer has had a call yet")


def _from_log(settings: CommandSettings, customer: str | None) -> Sequence[LaneView]:
    return lanes(settings.kafka) if customer is None else [view_of(_existing(settings, customer))]


Customer = Annotated[str, typer.Argument(help="Whose lane is held.")]
Retry = Annotated[bool, typer.Option("--retry", help="Send the same call again.")]
Done = Annotated[bool, typer.Option("--treat-as-done", help="Its images count as delivered.")]
Failed = Annotated[bool, typer.Option("--treat-as-failed", help="Its images count as failed.")]
Note = Annotated[str | None, typer.Option(help="Why; it is kept with the decision.")]


@app.command()
def release(
    customer: Customer,
    *,
    retry: Retry = False,
    done: Done = False,
    failed: Failed = False,
    note: Note = None,
    by: By = None,
    yes: Yes = False,
    over_kafka: OverKafka = False,
    gateway: GatewayUrl = None,
    api_key_file: KeyFile = None,
) -> None:
    """Releases a held lane by a person's decision, and waits for what comes of it.

    Asks the gateway where one is named, with an operator's key; with --kafka or --by it goes over Kafka.
    """
    decision = _the_one({"retry": retry, "treat_as_done": done, "treat_as_failed": failed})
    if over_kafka or by is not None or not is_named(gateway):
        effect = _release_over_kafka(customer, decision, note, by, yes=yes)
    else:
        at = connection(gateway, api_key_file)
        lane = ask(at, lambda api: releasing.lane_of(api, customer))
        _confirm(view_of_answer(lane), decision, yes=yes)
        effect = ask(
            at, lambda api: releasing.release(api, lane, decision, note, seconds=WAIT_SECONDS)
        )
    if effect is None:
        fail(
            f"the decision is on the topic {COMMANDS}, and within {WAIT_SECONDS:.0f} s"
            " no dispatcher has carried it out: is one running? It will when one does"
        )
    typer.echo(effect)


def _release_over_kafka(
    customer: str, decision: Decision, note: str | None, by: str | None, *, yes: bool
) -> str | None:
    settings = broker_settings()
    with _spoken_errors():
        lane = _existing(settings, customer)
        _confirm(view_of(lane), decision, yes=yes)
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
        return _effect(settings, event)


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


def _confirm(lane: LaneView, decision: Decision, *, yes: bool) -> None:
    if lane.state != "held":
        fail(f"the lane of {lane.customer_id} is not held: it is {lane.state}, call {lane.seq}")
    typer.echo(f"the lane of {lane.customer_id} is held: {lane.hold_reason}")
    typer.echo(CONSEQUENCES[decision].format(seq=lane.seq, images=lane.images))
    if not yes:
        typer.confirm("is this your decision?", abort=True)


def _warn_of_topics(settings: CommandSettings) -> None:
    deployment = topics.look(settings.kafka, settings.deployment_id)
    for difference in deployment.differences():
        typer.echo(f"all lanes stand still: {difference}", err=True)


@contextmanager
def _spoken_errors() -> Iterator[None]:
    with spoken(*SPOKEN):
        try:
            yield
        except KeyboardInterrupt:
            raise typer.Exit from None
