"""Who may do what: every route of the table against every kind of key."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.gateway.conftest import Answer, Gateway, Start

from imagelane.gateway.access import Route
from imagelane.gateway.app import Parts, routes
from imagelane.tracking.views import CallStatus

JOB = "a" * 32
UNKNOWN_JOB = "b" * 32
IMAGE = f"{JOB}:0"


@dataclass(frozen=True)
class Use:
    """How a route is asked for `acme`'s things. `alone`: it shows everybody its own, so there is no 404."""

    path: str
    ok: int
    body: Any = None
    alone: bool = False


USES: dict[tuple[str, str], Use] = {
    ("POST", "/v1/jobs"): Use("/v1/jobs", 202, {"urls": ["https://a.example/1"]}, alone=True),
    ("GET", "/v1/jobs"): Use("/v1/jobs", 200, alone=True),
    ("GET", "/v1/jobs/{job_id}"): Use(f"/v1/jobs/{JOB}", 200),
    ("DELETE", "/v1/jobs/{job_id}"): Use(f"/v1/jobs/{JOB}", 202),
    ("POST", "/v1/jobs/{job_id}/cancel"): Use(f"/v1/jobs/{JOB}/cancel", 202),
    ("GET", "/v1/jobs/{job_id}/trail"): Use(f"/v1/jobs/{JOB}/trail", 200),
    ("GET", "/v1/jobs/{job_id}/images"): Use(f"/v1/jobs/{JOB}/images", 200),
    ("GET", "/v1/jobs/{job_id}/results"): Use(f"/v1/jobs/{JOB}/results", 200),
    ("GET", "/v1/jobs/{job_id}/events"): Use(f"/v1/jobs/{JOB}/events", 200),
    ("GET", "/v1/events"): Use("/v1/events", 200, alone=True),
    ("GET", "/v1/images/{image_id}"): Use(f"/v1/images/{IMAGE}", 200),
    ("GET", "/v1/failures"): Use("/v1/failures", 200, alone=True),
    ("GET", "/v1/freshness"): Use("/v1/freshness", 200, alone=True),
    ("GET", "/v1/notify-secret"): Use("/v1/notify-secret?customer_id=acme", 200, alone=True),
    ("GET", "/v1/lanes"): Use("/v1/lanes", 200, alone=True),
    ("GET", "/v1/lanes/{customer_id}"): Use("/v1/lanes/acme", 200),
    ("GET", "/v1/lanes/{customer_id}/calls"): Use("/v1/lanes/acme/calls", 200),
    ("POST", "/v1/lanes/{customer_id}/release"): Use(
        "/v1/lanes/acme/release", 202, {"seq": 7, "decision": "retry"}
    ),
    ("GET", "/v1/dead-letters"): Use("/v1/dead-letters", 200),
}
OPEN = {
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/public/{destination}/{key:.+}"),
    ("POST", "/v1/callbacks/batch"),
}


def table() -> list[Route]:
    """The gateway's own, without anything behind it."""

    class Anything:
        def __getattr__(self, _name: str) -> Any:
            return Anything()

    return routes(Parts(*[Anything()] * len(Parts.__dataclass_fields__)))  # type: ignore[arg-type] # a table needs no more


GUARDED = [route for route in table() if route.scope is not None]
each_route = pytest.mark.parametrize(
    "route", GUARDED, ids=[f"{one.method} {one.path}" for one in GUARDED]
)


def fill(gateway: Gateway) -> None:
    """`acme` has a job that is over and a held lane."""
    gateway.tracker.jobs.put(JOB, "acme", status="finished")
    held = CallStatus(customer_id="acme", seq=7, status="held", images=1, jobs=[])
    gateway.tracker.jobs.put_lane("acme", state="held", call=held)


async def use(gateway: Gateway, route: Route, token: str, path: str | None = None) -> Answer:
    known = USES[route.method, route.path]
    more = {} if known.body is None else {"json": known.body}
    if known.ok == 202 and "cancel" in route.path:  # what is over cannot be cancelled
        gateway.tracker.jobs.put(JOB, "acme")
    if route.path == "/v1/events":
        more["allow_redirects"] = False
        return await head(gateway, known.path, token)
    return await gateway.ask(route.method, path or known.path, token=token, **more)


async def head(gateway: Gateway, path: str, token: str) -> Answer:
    """The beginning of an endless answer, or the whole refusal."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with gateway.session.get(f"{gateway.url}{path}", headers=headers) as answer:
        body = await answer.read() if answer.status != 200 else b""
        return Answer(answer.status, answer.headers, body)


def test_every_route_has_its_line_here_and_every_line_its_route() -> None:
    found = {(route.method, route.path): route.scope for route in table()}
    assert {key for key, scope in found.items() if scope is None} == OPEN
    assert {key for key, scope in found.items() if scope is not None} == set(USES)


BAD: dict[str, Callable[[Gateway], str]] = {
    "none": lambda _gateway: "",
    "a word": lambda _gateway: "hello",
    "another secret": lambda gateway: (
        gateway.token[:-1] + ("a" if gateway.token[-1] != "a" else "b")
    ),
    "an unknown id": lambda gateway: gateway.token.replace("il_", "il_7")[: len(gateway.token)],
    "an expired key": lambda gateway: gateway.keys.token(
        "acme", "submit", "read", expires_in=timedelta(seconds=-1)
    ),
    "a revoked key": lambda gateway: gateway.keys.token("acme", "submit", "read", revoked=True),
    "a revoked operator": lambda gateway: gateway.keys.token(None, "operate", revoked=True),
    "an operator's scope with a customer": lambda gateway: gateway.keys.token("acme", "operate"),
    "a customer's scope without one": lambda gateway: gateway.keys.token(None, "submit", "read"),
}
LESS = {"an operator's scope with a customer", "a customer's scope without one"}


@each_route
async def test_a_key_that_opens_nothing_opens_no_route(start: Start, route: Route) -> None:
    async with start() as gateway:
        fill(gateway)
        for kind, make in BAD.items():
            answer = await use(gateway, route, make(gateway))
            assert answer.status == (403 if kind in LESS else 401), kind
            assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert gateway.kafka.sent == []


@each_route
async def test_a_key_with_the_scope_opens_it_and_one_with_the_other_does_not(
    start: Start, route: Route
) -> None:
    known = USES[route.method, route.path]
    async with start() as gateway:
        fill(gateway)
        for scope in ("submit", "read", "operate"):
            token = gateway.keys.token(None if scope == "operate" else "acme", scope)
            if known.body is not None and scope == "operate" and route.path == "/v1/jobs":
                continue  # an operator has to name the customer: told elsewhere
            answer = await use(gateway, route, token)
            allowed = scope in {"operate", route.scope}
            assert answer.status == (known.ok if allowed else 403), scope


NAMING = [
    route
    for route in GUARDED
    if route.scope != "operate" and not USES[route.method, route.path].alone
]


@pytest.mark.parametrize("route", NAMING, ids=[f"{one.method} {one.path}" for one in NAMING])
async def test_what_is_another_customers_is_answered_like_what_is_not_there(
    start: Start, route: Route
) -> None:
    known = USES[route.method, route.path]
    async with start() as gateway:
        fill(gateway)
        other = gateway.keys.token("umbra", "submit", "read")
        theirs = await use(gateway, route, other)
        unknown_path = known.path.replace(JOB, UNKNOWN_JOB).replace("acme", "nobody")
        nobodys = await use(gateway, route, other, unknown_path)
        assert theirs.status == nobodys.status == 404
        assert theirs.body == nobodys.body
        assert dict(theirs.headers) | {"Date": ""} == dict(nobodys.headers) | {"Date": ""}
        assert gateway.kafka.sent == []


async def test_lists_hold_only_what_is_the_customers(start: Start) -> None:
    async with start() as gateway:
        fill(gateway)
        other = gateway.keys.token("umbra", "read")
        operator = gateway.keys.token(None, "operate")
        for path in ("/v1/jobs", "/v1/lanes"):
            assert (await gateway.ask("GET", path, token=other)).json["items"] == []
            assert len((await gateway.ask("GET", path)).json["items"]) == 1
            assert len((await gateway.ask("GET", path, token=operator)).json["items"]) == 1


async def test_only_who_has_the_secret_hears_that_a_key_is_revoked(start: Start) -> None:
    async with start() as gateway:
        revoked = gateway.keys.token("acme", "read", revoked=True)
        guessed = revoked[:-1] + ("a" if revoked[-1] != "a" else "b")
        told = (await gateway.ask("GET", "/v1/jobs", token=revoked)).json["detail"]
        not_told = (await gateway.ask("GET", "/v1/jobs", token=guessed)).json["detail"]
    assert "revoked" in told
    assert "revoked" not in not_told


async def test_a_key_that_is_revoked_meanwhile_opens_nothing_any_more(start: Start) -> None:
    async with start() as gateway:
        assert (await gateway.ask("GET", "/v1/jobs")).status == 200
        gateway.keys.ring.forget(gateway.token.split("_")[1])
        assert (await gateway.ask("GET", "/v1/jobs")).status == 401


async def test_before_all_keys_are_read_nobody_is_a_stranger(start: Start) -> None:
    async with start() as gateway:
        gateway.keys.complete = False
        answer = await gateway.ask("GET", "/v1/jobs")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    "value", ["Basic YTpi", "Bearer", "", "Bearer  ", "il_a_b", "Bearer il_a_b il_a_b"]
)
async def test_other_authorizations_are_none(start: Start, value: str) -> None:
    async with (
        start() as gateway,
        gateway.session.get(f"{gateway.url}/v1/jobs", headers={"Authorization": value}) as answer,
    ):
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="imagelane"'


async def test_a_scheme_is_read_in_any_case(start: Start) -> None:
    async with (
        start() as gateway,
        gateway.session.get(
            f"{gateway.url}/v1/jobs", headers={"Authorization": f"bearer {gateway.token}"}
        ) as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE"])
async def test_other_methods_and_paths_are_problems_too(start: Start, method: str) -> None:
    async with start() as gateway:
        async with gateway.session.request(method, f"{gateway.url}/v1/jobs") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, POST")
            assert json.loads(await answer.read())["type"].endswith(":method-not-allowed")
        async with gateway.session.request(method, f"{gateway.url}/v2/jobs") as answer:
            assert answer.status == 404
            assert json.loads(await answer.read())["status"] == 404
