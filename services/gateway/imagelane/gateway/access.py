"""Who may do what: the API key of a request, and the scope that its route asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from imagelane.contracts.keys import Scope
from imagelane.core.api_keys import Caller, KeyRefusedError, KeyRing
from imagelane.gateway.problems import RETRY_SECONDS, Kind, Problem

Answer = Awaitable[web.StreamResponse]
Guarded = Callable[[web.Request, Caller], Answer]
SCHEME: Final = "bearer"


class Keys(Protocol):
    """What is known of the keys; `KeyLog` is one."""

    @property
    def ring(self) -> KeyRing:
        """All keys."""
        ...

    @property
    def complete(self) -> bool:
        """Whether all keys have been read."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the gateway's table. `scope` None: it asks for no API key."""

    method: str
    path: str
    scope: Scope | None
    handler: Handler | Guarded


class Access:
    """Turns guarded handlers into handlers."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def opened(self, route: Route) -> web.RouteDef:
        """The route as aiohttp takes it. `GET` routes answer `HEAD` too."""
        scope, handler = route.scope, route.handler
        if scope is None:
            return web.route(route.method, route.path, handler)  # type: ignore[arg-type] # open: a plain handler

        async def answer(request: web.Request) -> web.StreamResponse:
            caller = self._caller(request)
            if not caller.may(scope):
                raise Problem(Kind.FORBIDDEN, f"the scope `{scope}` is needed")
            guarded: Guarded = handler  # type: ignore[assignment] # guarded: one with a caller
            return await guarded(request, caller)

        return web.route(route.method, route.path, answer)

    def _caller(self, request: web.Request) -> Caller:
        given = request.headers.getall("Authorization", [])
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != SCHEME:
            raise Problem(
                Kind.UNAUTHENTICATED, "send one header `Authorization: Bearer il_<id>_<secret>`"
            )
        if not self._keys.complete:
            raise Problem(
                Kind.NOT_TAKEN, "the keys are not read yet", retry_after_seconds=RETRY_SECONDS
            )
        try:
            return self._keys.ring.caller(token.strip(), datetime.now(UTC))
        except KeyRefusedError as error:
            raise Problem(Kind.UNAUTHENTICATED, str(error)) from error
