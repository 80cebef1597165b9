"""Looks at what answers over HTTP: the batch API, the callback's address, services' probes; and at clocks."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    OffsetSpec,
)

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.dispatcher.settings import BatchApiSettings, DispatcherSettings
from imagelane.ops.doctor.core.access import visible_topics
from imagelane.ops.doctor.core.batch_api import Answer, ApiSeen, judge_batch_api
from imagelane.ops.doctor.core.clocks import ClockSeen, judge_clocks
from imagelane.ops.doctor.core.findings import Report
from imagelane.ops.doctor.core.services import ServiceSeen, judge_callback, judge_services
from imagelane.ops.doctor.subject import Subject
from imagelane.platform.broker_topics import found_topics
from imagelane.platform.groups import admin_client
from imagelane.platform.secret_files import read_secret
from imagelane.platform.settings import KafkaSettings

ANSWER_SECONDS: Final = 5.0
MAX_ANSWER_BYTES: Final = 1 << 20
CUSTOMER: Final = "imagelane-doctor"
HTTP: Final = "http"
HALF_A_SECOND: Final = timedelta(seconds=0.5)
"""A Date header leaves out the fraction of its second: half of one, on average."""
NEWEST: Final = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call] # the client's own lack
CALL_ERRORS: Final = (aiohttp.ClientError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class _Got:
    """`status` 0: nothing came, and `error` says why. `ahead`: of the answerer's clock, if it told."""

    status: int
    error: str = ""
    body: bytes = b""
    ahead: timedelta | None = None

    @property
    def value(self) -> Any:
        """The body as JSON, or None."""
        with suppress(ValueError):
            return json.loads(self.body)
        return None


async def _get(
    url: str, headers: Mapping[str, str] | None = None, params: Mapping[str, str] | None = None
) -> _Got:
    """One request that changes nothing; redirects are not followed."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    began = datetime.now(UTC)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, headers=headers, params=params, allow_redirects=False) as answer,
        ):
            midst = began + (datetime.now(UTC) - began) / 2
            body = await answer.content.read(MAX_ANSWER_BYTES)
            return _Got(answer.status, "", body, _ahead(answer.headers.get("Date"), midst))
    except CALL_ERRORS as error:  # with it TimeoutError
        return _Got(0, str(error) or f"no answer within {ANSWER_SECONDS:.0f} s")


def _ahead(date: str | None, ours: datetime) -> timedelta | None:
    try:
        told = parsedate_to_datetime(date) if date else None
    except ValueError:
        return None
    if told is None or told.tzinfo is None:
        return None
    return told + HALF_A_SECOND - ours


def look_at_batch_api(settings: BatchApiSettings, dispatcher: DispatcherSettings | None) -> Report:
    """Two requests that start nothing: a listing, and a look at a call that does not exist."""
    if settings.adapter != HTTP:
        return Report(skipped=f"only the adapter `http` is known here, not {settings.adapter!r}")
    level = dispatcher.capabilities if dispatcher is not None else None
    return judge_batch_api(asyncio.run(_ask_batch_api(settings)), level)


async def _ask_batch_api(settings: BatchApiSettings) -> ApiSeen:
    token = settings.token.get_secret_value() if settings.token else ""
    if settings.token_file is not None:
        token = read_secret(settings.token_file)
    own = {"Authorization": f"Bearer {token}"} if token else {}
    nobodys = f"imagelane-doctor-{secrets.token_hex(16)}"
    path = settings.batch_path.replace("{id}", nobodys)
    listing_url = settings.base_url + settings.batches_path
    query = {"customer": CUSTOMER, "reference": nobodys}
    listing, unknown = await asyncio.gather(
        _get(listing_url, own, query), _get(settings.base_url + path, own)
    )
    without = await _get(listing_url, params=query) if token else None
    return ApiSeen(
        settings.base_url,
        _listing(listing),
        Answer(unknown.status, unknown.error),
        None if without is None else _listing(without),
    )


def _listing(got: _Got) -> Answer:
    value = got.value
    calls = value.get("batches") if isinstance(value, dict) else None
    return Answer(got.status, got.error, len(calls) if isinstance(calls, list) else None)


def look_at_callback(url: str) -> Report:
    """A GET, which our receiver refuses: it causes nothing."""
    got = asyncio.run(_get(url))
    return judge_callback(url, got.status, got.error)


def look_at_services(addresses: Mapping[str, str]) -> Report:
    """`/readyz` of each."""
    return judge_services(asyncio.run(_ask_services(addresses)))


async def _ask_services(addresses: Mapping[str, str]) -> list[ServiceSeen]:
    answers = await asyncio.gather(*(_get(f"{one}/readyz") for one in addresses.values()))
    return [
        ServiceSeen(name, address, got.status, got.error, _reasons(got.value))
        for (name, address), got in zip(addresses.items(), answers, strict=True)
    ]


def _reasons(value: Any) -> dict[str, str] | None:
    reasons = value.get("reasons") if isinstance(value, dict) else None
    return {str(k): str(v) for k, v in reasons.items()} if isinstance(reasons, dict) else None


def look_at_clocks(subject: Subject) -> Report:
    """The Date headers of whoever answers over HTTP, and the times of the newest records."""
    seen = asyncio.run(_http_clocks(_tellers(subject)))
    if subject.kafka is not None:
        with suppress(KafkaException):  # the other checks say that the broker does not answer
            seen += _record_clocks(subject.kafka, subject.login)
    return judge_clocks(seen)


def _tellers(subject: Subject) -> dict[str, str]:
    tellers = {}
    if subject.store is not None:
        for name, one in subject.store.destinations.items():
            tellers[f"{one.public_base_url}, destination {name!r}"] = f"{one.public_base_url}/"
        if subject.store.s3.endpoint_url is not None:
            tellers[f"the store at {subject.store.s3.endpoint_url}"] = subject.store.s3.endpoint_url
    if subject.batch_api is not None and subject.batch_api.base_url:
        tellers[f"the batch API at {subject.batch_api.base_url}"] = subject.batch_api.base_url
    return tellers | {name: f"{one}/livez" for name, one in subject.services.items()}


async def _http_clocks(tellers: Mapping[str, str]) -> list[ClockSeen]:
    answers = await asyncio.gather(*map(_get, tellers.values()))
    return [
        ClockSeen(whose, got.ahead)
        for whose, got in zip(tellers, answers, strict=True)
        if got.ahead is not None
    ]


def _record_clocks(settings: KafkaSettings, login: str) -> list[ClockSeen]:
    """Records from the future: their producer's clock is ahead, or the broker's where that stamps them."""
    admin = admin_client(settings)
    files = read_topic_files(schemas_folder()).values()
    found = found_topics(admin, settings, visible_topics(login, files))
    wanted = {
        TopicPartition(settings.topic(name), number): NEWEST
        for name, topic in found.items()
        for number in range(topic.partitions)
    }
    now = datetime.now(UTC)
    newest: dict[str, int] = {}
    answers = admin.list_offsets(wanted, request_timeout=ANSWER_SECONDS) if wanted else {}
    for place, answer in answers.items():
        newest[place.topic] = max(newest.get(place.topic, -1), answer.result().timestamp)
    return [
        ClockSeen(
            f"who writes to {name}", datetime.fromtimestamp(ms / 1_000, UTC) - now, only_ahead=True
        )
        for name, ms in newest.items()
        if ms >= 0
    ]
