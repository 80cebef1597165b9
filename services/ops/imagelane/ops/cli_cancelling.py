"""`imagelane cancel` and `imagelane delete`: a job, or everything of a customer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from confluent_kafka import KafkaException

from imagelane.contracts.commands import CancelCustomer, CancelJob, DeleteCustomer, DeleteJob
from imagelane.ops.command_line import By, CommandSettings, Yes, decider, fail, valid
from imagelane.ops.commanding import Command, command, customer_of
from imagelane.ops.delivery import DeliveryError
from imagelane.platform.latest_records import ReadingTooLongError
from imagelane.platform.settings import load_or_exit

WRONG_USAGE: Final = 2
NAMES: Final = {"customer_id": "--customer", "job_id": "JOB", "decided_by": "--by"}

Job = Annotated[str | None, typer.Argument(help="The job's id.")]
Customer = Annotated[
    str | None, typer.Option(help="With JOB: whose it is. Without: all jobs so far.")
]


def cancel(job: Job = None, customer: Customer = None, by: By = None, yes: Yes = False) -> None:
    """Cancels a job, or all jobs of a customer so far: images that are in no call yet will be in none.

    The call under way finishes. `finished` tells the end.
    """
    if job is None:
        _send(CancelCustomer, job, customer, by, None if yes else "cancel every job of {}?")
    else:
        _send(CancelJob, job, customer, by, None)


def delete(job: Job = None, customer: Customer = None, by: By = None, yes: Yes = False) -> None:
    """Deletes a job, or everything of a customer so far: cancels, and removes lists, originals, results."""
    if job is None:
        _send(DeleteCustomer, job, customer, by, None if yes else "delete all of {}?")
    else:
        _send(DeleteJob, job, customer, by, None if yes else f"delete the job {job} of {{}}?")


def _send(
    kind: type[Command], job: str | None, customer: str | None, by: str | None, question: str | None
) -> None:
    if job is None and customer is None:
        fail("JOB or --customer is needed", WRONG_USAGE)
    settings = load_or_exit(CommandSettings)
    try:
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
    except KafkaException as error:
        fail(error.args[0].str())
    except (DeliveryError, ReadingTooLongError) as error:
        fail(str(error))
    what = f"all jobs of {whose} so far" if job is None else f"the job {job} of {whose}"
    typer.echo(f"{event.__struct_config__.tag} is sent for {what}; watch the topic finished")


def _owner(settings: CommandSettings, job: str) -> str:
    owner = customer_of(settings.kafka, job)
    if owner is None:
        fail(
            f"JOB: {settings.kafka.topic('jobs')} knows no job {job}; if it is old, name --customer too"
        )
    return owner
