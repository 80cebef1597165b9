"""The HTTP side of the stand-in: the contract's three routes, and the control of its faults."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from imagelane.standin import contract, faults
from imagelane.standin.contract import (
    Batch,
    FailedUrl,
    InvalidRequestError,
    NewBatch,
)
from imagelane.standin.registry import Accepted, Conflict, KeyReused, Repeated
from imagelane.standin.running import Runner, World, now_text

MAX_BODY_BYTES: Final = 64 * 1024**2
NO_ANSWER: Final = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A readable attempt to start a batch."""

    request: web.Request
    number: int
    new: NewBatch
    key: str | None
    digest: str


class Api:
    """The handlers. `token` is asked of every caller of `/v1`; `max_urls` is the limit behind 413."""

    def __init__(self, world: World, runner: Runner, *, token: str | None, max_urls: int) -> None:
        self._world = world
        self._runner = runner
        self._token = token
        self._max_urls = max_urls
        self._numbers = count(1)
        self._keys_in_progress: set[str] = set()

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            [
                web.post("/v1/batches", self._authorized(self._post)),
                web.get("/v1/batches", self._authorized(self._list)),
                web.get("/v1/batches/{id}", self._authorized(self._get)),
                web.get("/control/faults", self._show_faults),
                web.post("/control/faults", self._change_faults),
            ]
        )
        return app

    def _authorized(
        self, handler: Callable[[web.Request, int], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def checked(request: web.Request) -> web.Response:
            number = next(self._numbers)
            given = request.headers.get("Authorization", "")
            if self._token is not None and not hmac.compare_digest(
                given.encode(), f"Bearer {self._token}".encode()
            ):
                self._journal_request(number, request)
                return self._problem(number, 401, "the bearer token is missing or wrong")
            return await handler(request, number)

        return checked

    async def _post(self, request: web.Request, number: int) -> web.Response:
        key = request.headers.get("Idempotency-Key")
        try:
            new = contract.parse(await request.read())
            contract.check_key(key)
        except InvalidRequestError as error:
            self._journal_request(number, request, key=key)
            return self._invalid(number, str(error), error.invalid)
        except web.HTTPRequestEntityTooLarge:
            self._journal_request(number, request, key=key)
            return self._problem(number, 413, f"a body has at most {MAX_BODY_BYTES} bytes")
        attempt = Attempt(request, number, new, key, new.digest())
        self._journal_attempt(attempt)
        refusal = self._refused(attempt)
        return await self._unless_in_progress(attempt) if refusal is None else refusal

    def _refused(self, attempt: Attempt) -> web.Response | None:
        bad = faults.matching(self._world.faults.refuse_urls, attempt.new.urls)
        if bad:
            invalid = [FailedUrl(url=url, reason="refused on order of the test") for url in bad]
            return self._invalid(attempt.number, f"{len(bad)} of the URLs are invalid", invalid)
        if len(attempt.new.urls) > self._max_urls:
            return self._problem(attempt.number, 413, f"a batch has at most {self._max_urls} URLs")
        if self._world.faults.take("refuse_times"):
            return self._refusal(attempt.number)
        return None

    async def _unless_in_progress(self, attempt: Attempt) -> web.Response:
        if attempt.key is None or not self._world.registry.capabilities.honours_keys:
            return await self._decide(attempt)
        if attempt.key in self._keys_in_progress:
            error = "a request with this key is still being handled"
            return self._problem(attempt.number, 409, error)
        self._keys_in_progress.add(attempt.key)
        try:
            return await self._decide(attempt)
        finally:
            self._keys_in_progress.discard(attempt.key)

    async def _decide(self, attempt: Attempt) -> web.Response:
        await asyncio.sleep(self._world.faults.delay_request_seconds)
        decision = self._world.registry.request(
            attempt.new,
            key=attempt.key,
            digest=attempt.digest,
            batch_id=f"b-{uuid.uuid4().hex}",
            now=now_text(),
        )
        match decision:
            case KeyReused():
                return self._problem(attempt.number, 422, "the key was used with another body")
            case Conflict(active=active):
                body = {"error": "the customer has an active batch", "active": active.shown()}
                return self._answer(attempt.number, 409, body)
            case Repeated(first_answer=batch):
                return await self._accepted_answer(attempt, batch)
            case Accepted(batch=batch):
                self._journal_accepted(attempt, batch)
                self._runner.start(batch, attempt.new)
                if self._world.faults.webhooks == "early":
                    await self._runner.send_early(batch, attempt.new)
                return await self._accepted_answer(attempt, batch)

    async def _accepted_answer(self, attempt: Attempt, batch: Batch) -> web.Response:
        await asyncio.sleep(self._world.faults.delay_answer_seconds)
        if self._world.faults.take("drop_answers_times"):
            self._world.journal.write("answer", request=attempt.number, status=NO_ANSWER)
            if attempt.request.transport is not None:
                attempt.request.transport.abort()
            return web.Response(status=500)
        if self._world.faults.take("empty_answers_times"):
            self._world.journal.write("answer", request=attempt.number, status=202)
            return web.Response(status=202)
        return self._answer(attempt.number, 202, batch.shown())

    async def _list(self, request: web.Request, number: int) -> web.Response:
        customer = request.query.get("customer")
        reference = request.query.get("reference")
        self._journal_request(number, request, customer=customer, reference=reference)
        if self._world.faults.take("refuse_gets_times"):
            return self._refusal(number)
        if not self._world.registry.capabilities.lists:
            return self._problem(number, 404, "this API does not list batches")
        if not customer:
            return self._problem(number, 422, "customer is required")
        found = self._world.registry.find(
            customer, reference=reference, status=request.query.get("status")
        )
        shown = [] if self._world.faults.forget else [self._shown(batch) for batch in found]
        return self._answer(number, 200, {"batches": shown})

    async def _get(self, request: web.Request, number: int) -> web.Response:
        self._journal_request(number, request)
        if self._world.faults.take("refuse_gets_times"):
            return self._refusal(number)
        batch = self._world.registry.get(request.match_info["id"])
        if batch is None or self._world.faults.forget:
            return self._problem(number, 404, "there is no such batch")
        return self._answer(number, 200, self._shown(batch))

    def _shown(self, batch: Batch) -> dict[str, object]:
        return batch.shown(self._world.faults.status_word)

    async def _show_faults(self, request: web.Request) -> web.Response:
        check_loopback(request)
        return _json(200, self._world.faults)

    async def _change_faults(self, request: web.Request) -> web.Response:
        check_loopback(request)
        try:
            self._world.faults = faults.changed(self._world.faults, await request.read())
        except ValueError as error:
            return _json(422, {"error": str(error)})
        self._world.journal.write("faults", faults=msgspec.to_builtins(self._world.faults))
        return _json(200, self._world.faults)

    def _journal_request(self, number: int, request: web.Request, **told: str | int | None) -> None:
        self._world.journal.write(
            "request", request=number, method=request.method, path=request.path, **told
        )

    def _journal_attempt(self, attempt: Attempt) -> None:
        self._journal_request(
            attempt.number,
            attempt.request,
            key=attempt.key,
            customer=attempt.new.customer,
            reference=_or_none(attempt.new.reference),
            count=len(attempt.new.urls),
            digest=attempt.digest,
        )

    def _journal_accepted(self, attempt: Attempt, batch: Batch) -> None:
        self._world.journal.write(
            "accepted",
            request=attempt.number,
            batch=batch.id,
            customer=batch.customer,
            key=attempt.key,
            digest=attempt.digest,
            reference=_or_none(attempt.new.reference),
            callback_url=_or_none(attempt.new.callback_url),
            at=batch.created_at,
            urls=attempt.new.urls,
        )

    def _answer(self, number: int, status: int, body: object) -> web.Response:
        self._world.journal.write("answer", request=number, status=status)
        return _json(status, body)

    def _problem(self, number: int, status: int, error: str) -> web.Response:
        return self._answer(number, status, {"error": error})

    def _invalid(self, number: int, error: str, invalid: list[FailedUrl]) -> web.Response:
        body: dict[str, object] = {"error": error}
        if invalid:
            body["invalid"] = invalid
        return self._answer(number, 422, body)

    def _refusal(self, number: int) -> web.Response:
        response = self._problem(number, self._world.faults.refuse_status, "not now")
        if self._world.faults.refuse_retry_after is not None:
            response.headers["Retry-After"] = self._world.faults.refuse_retry_after
        return response


def check_loopback(request: web.Request) -> None:
    """Raises `HTTPForbidden` for a caller on another machine."""
    if request.remote is None or not ipaddress.ip_address(request.remote).is_loopback:
        raise web.HTTPForbidden(text="only from this machine")


def _or_none(text: str | UnsetType) -> str | None:
    return None if text is UNSET else text


def _json(status: int, body: object) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/json"
    )
