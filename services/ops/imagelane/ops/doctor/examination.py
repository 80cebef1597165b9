"""All checks side by side: each in a thread of its own, with a limit, so that none hides another.

Threads, because a client may hang where nothing can interrupt it: it is left behind, and told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from imagelane.ops.doctor.addresses import (
    look_at_batch_api,
    look_at_callback,
    look_at_clocks,
    look_at_services,
)
from imagelane.ops.doctor.core.findings import Finding, Report
from imagelane.ops.doctor.files import look_at_database, look_at_secret_files
from imagelane.ops.doctor.kafka import (
    look_at_access,
    look_at_brokers,
    look_at_groups,
    look_at_topics,
)
from imagelane.ops.doctor.store import look_at_store
from imagelane.ops.doctor.subject import Subject

Look = Callable[[], Report]

NAMES: Final = (
    *("settings", "secrets", "brokers", "topics", "access", "groups"),
    *("store", "database", "batch-api", "callback", "services", "clocks"),
)
"""Every check, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A check and what it saw, after so long."""

    check: str
    report: Report
    seconds: float


def looks(subject: Subject) -> dict[str, Look]:
    """What each check does; one whose settings are not given says which they are."""
    kafka, store, api = subject.kafka, subject.store, subject.batch_api
    database, dispatcher = subject.database, subject.dispatcher
    callback = dispatcher.callback_url if dispatcher is not None else ""
    deployment = subject.deployment_id
    trackers = database is not None and not database.is_sqlite
    found: dict[str, Look | None] = {
        "settings": lambda: _settings(subject),
        "secrets": lambda: look_at_secret_files(subject.secret_files),
        "brokers": (lambda: look_at_brokers(kafka)) if kafka else None,
        "topics": (lambda: look_at_topics(kafka, deployment, subject.login)) if kafka else None,
        "access": (lambda: look_at_access(kafka, subject.login)) if kafka else None,
        "groups": (lambda: look_at_groups(kafka, subject.login, trackers=trackers))
        if kafka
        else None,
        "store": (lambda: look_at_store(store)) if store else None,
        "database": (lambda: look_at_database(database)) if database else None,
        "batch-api": (lambda: look_at_batch_api(api, dispatcher)) if api else None,
        "callback": (lambda: look_at_callback(callback)) if callback else None,
        "services": lambda: look_at_services(subject.services),
        "clocks": lambda: look_at_clocks(subject),
    }
    return {name: one or _unset(name) for name, one in found.items()}


UNSET: Final[Mapping[str, str]] = {
    "brokers": "IMAGELANE_KAFKA__…",
    "topics": "IMAGELANE_KAFKA__…",
    "access": "IMAGELANE_KAFKA__…",
    "groups": "IMAGELANE_KAFKA__…",
    "store": "IMAGELANE_STORE__…",
    "database": "IMAGELANE_DATABASE__…",
    "batch-api": "IMAGELANE_BATCH_API__…",
    "callback": "IMAGELANE_DISPATCHER__CALLBACK_URL",
}


def _unset(name: str) -> Look:
    return lambda: Report(skipped=f"{UNSET[name]} is not set here, or is wrong")


def _settings(subject: Subject) -> Report:
    return Report(("what is set here is in order",) * (not subject.wrong), subject.wrong)


def examine(wanted: Mapping[str, Look], *, limit_seconds: float) -> Iterator[Examined]:
    """Runs them side by side; what has not ended in time is a finding. In their order."""
    running = {name: _Running(name, look) for name, look in wanted.items()}
    deadline = time.monotonic() + limit_seconds
    for one in running.values():
        yield one.result(deadline, limit_seconds)


class _Running:
    def __init__(self, name: str, look: Look) -> None:
        self._name = name
        self._look = look
        self._report: Report | None = None
        self._began = time.monotonic()
        self._seconds = 0.0
        self._thread = threading.Thread(target=self._run, name=f"doctor-{name}", daemon=True)
        self._thread.start()

    def result(self, deadline: float, limit_seconds: float) -> Examined:
        self._thread.join(max(deadline - time.monotonic(), 0.0))
        if self._report is None:
            finding = Finding(
                self._name,
                f"this check had not ended after {limit_seconds:.0f} s",
                "something it asks hangs: see the other findings, or give it longer, --seconds",
            )
            return Examined(self._name, Report(findings=(finding,)), limit_seconds)
        return Examined(self._name, self._report, self._seconds)

    def _run(self) -> None:
        try:
            report = self._look()
        except Exception as error:  # noqa: BLE001 - the outermost shell of a check: its own end hides no other
            words = _words(error)
            step = "mend what it names; if `brokers` has a finding, that one first"
            report = Report(
                findings=(Finding(self._name, f"could not be looked at: {words}", step),)
            )
        self._seconds = time.monotonic() - self._began
        self._report = report


def _words(error: Exception) -> str:
    """Kafka's own are told in its client's words, which otherwise come with all that is around them."""
    if isinstance(error, KafkaException) and isinstance(error.args[0], KafkaError):
        return error.args[0].str()
    return ": ".join(filter(None, (type(error).__name__, str(error))))
