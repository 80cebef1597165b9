"""`POST /v1/jobs`: a list comes in, lies safely, is in Kafka, and only then answered 202."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import BinaryIO, Final

import msgspec
import structlog
from aiohttp import web
from msgspec import UNSET

from imagelane.contracts.codec import Headers
from imagelane.contracts.events import ListSubmitted
from imagelane.core.api_keys import Caller
from imagelane.core.identity import job_id_of_key, upload_key
from imagelane.gateway.answers import json_answer, submitted_of
from imagelane.gateway.bodies import BodySlots, Spool, spooled
from imagelane.gateway.core.submission import (
    LineCount,
    RefusedWishError,
    Rules,
    Submission,
    Wish,
    check_wish,
    event_of,
    fits_inline,
)
from imagelane.gateway.deliveries import Deliveries
from imagelane.gateway.incoming import Incoming, incoming
from imagelane.gateway.limits import Limits
from imagelane.gateway.problems import Kind, Problem, invalid, not_taken
from imagelane.gateway.repeats import Repeats
from imagelane.gateway.settings import GatewaySettings
from imagelane.gateway.spans import cause_of
from imagelane.platform.store import (
    PRIVATE_CACHE_CONTROL,
    ObjectHeaders,
    ObjectStore,
    StoreUnavailableError,
)

HEADER: Final = "Idempotency-Key"
COPY_BYTES: Final = 1 << 20
UPLOAD_HEADERS: Final = ObjectHeaders("application/octet-stream", PRIVATE_CACHE_CONTROL)

_is_key: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?").fullmatch


class Submissions:
    """Takes submissions, each as a whole or not at all.

    What is refused, cut off or not taken by Kafka has left nothing behind but, at worst, an upload that
    no event names, under the name that the same submission will have again.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        store: ObjectStore,
        deliveries: Deliveries,
        repeats: Repeats,
        limits: Limits,
        *,
        rules: Rules,
    ) -> None:
        self._settings = settings
        self._secret = settings.secret()
        self._store = store
        self._deliveries = deliveries
        self._repeats = repeats
        self._limits = limits
        self._rules = rules
        self._slots = BodySlots(settings)
        self._log = structlog.get_logger("imagelane.gateway")

    async def submit(self, request: web.Request, caller: Caller) -> web.Response:
        """`POST /v1/jobs`."""
        key = _idempotency_key(request)
        if caller.customer_id is not None:
            await self._limits.check(caller.customer_id)
        with self._slots.slot(caller.customer_id or caller.key_id):
            try:
                async with incoming(request, self._settings) as taken:
                    submission = await self._take(taken, caller, key, cause_of(request))
            except RefusedWishError as error:
                raise invalid(error.field, error.detail, code=error.code) from error
        headers = {"Location": f"/v1/jobs/{submission.job_id}", HEADER: key}
        return json_answer(submitted_of(submission), status=202, headers=headers)

    async def _take(self, taken: Incoming, caller: Caller, key: str, cause: Headers) -> Submission:
        now = datetime.now(UTC)
        customer_id = _customer_of(taken.wish, caller)
        check_wish(taken.wish, self._rules, now=now)
        with ExitStack() as resources:
            event, spool = _event_and_upload(taken, customer_id, key, resources)
            job_id = job_id_of_key(self._secret, customer_id, key)
            submission = Submission(
                job_id=job_id, idempotency_key=key, event=event, submitted_at=now
            )
            await self._repeats.check(submission)
            if spool is not None:
                place = upload_key(self._secret, customer_id, key, spool.sha256)
                await self._keep(spool, place)
            await self._deliveries.submission(submission, cause)
        self._repeats.remember(submission)
        return submission

    async def _keep(self, spool: Spool, place: str) -> None:
        try:
            async with self._store.writing(place, UPLOAD_HEADERS) as descriptor:
                await asyncio.to_thread(_copy, spool.file, descriptor)
        except StoreUnavailableError as error:
            self._log.warning("upload.not_kept", reason=str(error))
            raise not_taken() from error


def _idempotency_key(request: web.Request) -> str:
    given = request.headers.getall(HEADER, [])
    if len(given) > 1:
        raise invalid(HEADER, "it is given more than once")
    if not given:
        return secrets.token_hex(16)
    if not _is_key(given[0]):
        raise invalid(HEADER, "it must have 1 to 255 characters of printable ASCII")
    return given[0]


def _customer_of(wish: Wish, caller: Caller) -> str:
    """A customer's key says whose list it is; an operator has to."""
    if caller.customer_id is None:
        if wish.customer_id is UNSET:
            raise invalid("customer_id", "an operator's key needs it")
        return wish.customer_id
    if wish.customer_id not in (UNSET, caller.customer_id):
        raise Problem(
            Kind.FORBIDDEN, "the API key is another customer's; leave it out", field="customer_id"
        )
    return caller.customer_id


def _event_and_upload(
    taken: Incoming, customer_id: str, key: str, resources: ExitStack
) -> tuple[ListSubmitted, Spool | None]:
    """The event, and what must lie in the store first: a list that the event cannot carry itself."""
    wish, spool = taken.wish, taken.spool
    if spool is None:
        event = event_of(wish, customer_id=customer_id, key=key, urls=taken.urls)
        if fits_inline(event):
            return event, None
        spool = resources.enter_context(spooled(LineCount("json")))
        spool.write(taken.raw_urls)
        wish = msgspec.structs.replace(wish, list_format="json", list_column=UNSET)
    sha256 = spool.sha256
    return event_of(wish, customer_id=customer_id, key=key, upload_sha256=sha256), spool


def _copy(file: BinaryIO, descriptor: int) -> None:
    file.seek(0)
    with open(descriptor, "wb", closefd=False) as kept:
        shutil.copyfileobj(file, kept, COPY_BYTES)
