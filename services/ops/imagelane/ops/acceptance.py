"""`imagelane topics accept`: a topic that was deleted, or made anew, becomes part of the deployment again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import KafkaException

from imagelane.contracts.topics import CALLS, TOPOLOGY
from imagelane.ops.consumer_groups import ConsumerGroups
from imagelane.ops.delivery import DeliveryError
from imagelane.ops.refusals import told
from imagelane.ops.topics import Deployment, TopicsError, look, make
from imagelane.ops.topology_record import record_of, write_record
from imagelane.platform.latest_records import start_offsets
from imagelane.platform.settings import KafkaSettings

NEVER: Final = {
    CALLS: "only it knows what became of every image: restore it from a backup, or begin a deployment"
    " of its own under another IMAGELANE_KAFKA__TOPIC_PREFIX",
    TOPOLOGY: "it holds the record itself, which `imagelane topics apply` writes",
}


def accept(
    settings: KafkaSettings, deployment_id: str, names: Sequence[str], say: Callable[[str], None]
) -> None:
    """Makes those of the topics that are missing, lets groups read them from the beginning, records them.

    What the old topics held and nobody had read is gone; jobs that miss something of it are mended
    by the sweep. No service may run. Raises `TopicsError`.
    """
    deployment = look(settings, deployment_id)
    try:
        _refuse(deployment, names)
        make(deployment, [name for name in names if name not in deployment.found], say)
        _read_from_the_beginning(deployment, names, say)
        deployment = look(settings, deployment_id)
        write_record(settings, record_of(deployment.expected, deployment.found))
    except (KafkaException, DeliveryError) as error:
        raise TopicsError(told(error)) from error
    say("recorded")


def _refuse(deployment: Deployment, names: Sequence[str]) -> None:
    if deployment.is_somebody_elses() or deployment.record is None:
        raise TopicsError(str(deployment.differences()[0]))
    differences = deployment.topic_differences()
    for name in names:
        if name not in deployment.files:
            raise TopicsError(f"{name} is none of the topics that Imagelane has")
        if name in NEVER:
            raise TopicsError(f"{name} cannot be accepted: {NEVER[name]}")
        if name not in differences:
            raise TopicsError(f"{name} is as it was made: there is nothing to accept")
    wanted = deployment.expected
    for name, what in differences.items():
        found = deployment.found.get(name)
        miscounted = found and found.partitions != wanted.partitions_of(deployment.files[name])
        if name not in names or miscounted:
            raise TopicsError(f"{deployment.settings.topic(name)} {what}")
    if running := ConsumerGroups(deployment.admin, deployment.settings).members():
        raise TopicsError(f"services are running; stop all of them: {', '.join(running)}")


def _read_from_the_beginning(
    deployment: Deployment, names: Sequence[str], say: Callable[[str], None]
) -> None:
    settings = deployment.settings
    groups = ConsumerGroups(deployment.admin, settings)
    for name in names:
        starts = start_offsets(deployment.admin, settings, name)
        for group in groups.names():
            if groups.commits(group, name, len(starts)):
                groups.set_offsets(group, name, starts)
                say(f"{group} reads {settings.topic(name)} from its beginning")
