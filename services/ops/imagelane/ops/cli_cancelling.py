"""`imagelane cancel` and `imagelane delete`: a job, or everything of a customer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from confluent_kafka import KafkaException

from imagelane.contracts.codec import encode
from imagelane.contracts.commands import CancelCustomer, CancelJob, DeleteCustomer, DeleteJob
from imagelane.ops.client.asking import ask, understood
from imagelane.ops.client.connection import (
    AsJson,
    Connection,
    GatewayUrl,
    KeyFile,
    connection,
    is_named,
)
from imagelane.ops.client.core.answers import Commanded
from imagelane.ops.client.gateway import quoted
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
from imagelane.ops.commanding import Command, command, customer_of
from imagelane.ops.delivery import DeliveryError
from imagelane.platform.latest_records import ReadingTooLongError

WRONG_USAGE: Final = 2
NAMES: Final = {"customer_id": "--customer", "job_id": "JOB", "decided_by": "--by"}

Job = Annotated[str | None, typer.Argument(help="The job's id.")]
Customer = Annotated[
    str | None,
    typer.Option(help="Over Kafka. With JOB: whose it is. Without: all jobs so far."),
]


def cancel(
    job: Job = None,
    *,
    customer: Customer = None,
    by: By = None,
    yes: Yes = False,
    over_kafka: OverKafka = False,
    gateway: GatewayUrl = None,
    api_key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Cancels a job, or all jobs of a customer so far: images that are in no call yet will be in none.

    The call under way finishes. `imagelane status JOB` tells the end.
    Asks the gateway where one is named; with --kafka, --customer or --by it goes over Kafka.
    """
    if job is not None and _by_gateway(customer, by, gateway, over_kafka=over_kafka):
        at = connection(gateway, api_key_file)
        path = f"/v1/jobs/{quoted(job)}/cancel"
        _tell(at, ask(at, lambda api: api.send("POST", path)), job, as_json=as_json)
    elif job is None:
        question = None if yes else "cancel every job of {}?"
        _send(CancelCustomer, job, customer, by, question, as_json=as_json)
    else:
        _send(CancelJob, job, customer, by, None, as_json=as_json)


def delete(
    job: Job = None,
    *,
    customer: Customer = None,
    by: By = None,
    yes: Yes = False,
    over_kafka: OverKafka = False,
    gateway: GatewayUrl = None,
    api_key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Deletes a job, or everything of a customer so far: cancels, and removes lists, originals, results.

    Asks the gateway where one is named; with --kafka, --customer or --by it goes over Kafka.
    """
    if job is not None and _by_gateway(customer, by, gateway, over_kafka=over_kafka):
        at = connection(gateway, api_key_file)
        if not yes:
            typer.confirm(f"delete the job {job}?", abort=True)
        path = f"/v1/jobs/{quoted(job)}"
        _tell(at, ask(at, lambda api: api.send("DELETE", path)), job, as_json=as_json)
    elif job is None:
        question = None if yes else "delete all of {}?"
        _send(DeleteCustomer, job, customer, by, question, as_json=as_json)
    else:
        question = None if yes else f"delete the job {job} of {{}}?"
        _send(DeleteJob, job, customer, by, question, as_json=as_json)


def _by_gateway(
    customer: str | None, by: str | None, gateway: str | None, *, over_kafka: bool
) -> bool:
    """The gateway knows whose a job is, and records the API key as the one who decided."""
    return not over_kafka and customer is None and by is None and is_named(gateway)


def _tell(at: Connection, answer: bytes, job: str, *, as_json: bool) -> None:
    told = understood(at, answer, Commanded)
    if as_json:
        typer.echo(answer)
        return
    typer.echo(
        f"{told.command} is sent for the job {job} of {told.customer_id};"
        f" look: imagelane status {job}"
    )


def _send(
    kind: type[Command],
    job: str | None,
    customer: str | None,
    by: str | None,
    question: str | None,
    *,
    as_json: bool,
) -> None:
    if job is None and customer is None:
        fail("JOB or --customer is needed", WRONG_USAGE)
    settings = broker_settings()
    with spoken(KafkaException, DeliveryError, ReadingTooLongError):
        whose = customer if customer is not None else _owner(settings, str(job))
        fields = {
            "customer_id": whose,
            "decided_by": decider(by),
            "occurred_at": datetime.now(UTC),
            **({} if job is None else {"job_id": job}),
        }
        event = valid(kind, fields, NAMES)
        if question is not None:
            typer.confirm(question.format(whose), abort=True)
        command(settings.kafka, event)
    if as_json:
        typer.echo(encode(event))
        return
    what = f"all jobs of {whose} so far" if job is None else f"the job {job} of {whose}"
    typer.echo(f"{event.__struct_config__.tag} is sent for {what}; watch the topic finished")


def _owner(settings: CommandSettings, job: str) -> str:
    owner = customer_of(settings.kafka, job)
    if owner is None:
        fail(
            f"JOB: {settings.kafka.topic('jobs')} knows no job {job}; if it is old, name --customer too"
        )
    return owner
