"""`GET /v1/notify-secret`: what a customer's receiver verifies notices with."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from aiohttp import web

from imagelane.contracts.fields import CustomerId
from imagelane.core.api_keys import Caller
from imagelane.gateway.answers import NotifySecrets, json_answer
from imagelane.gateway.parameters import from_query
from imagelane.gateway.problems import Kind, Problem, invalid, not_found
from imagelane.platform.notify_settings import secrets_of


class SecretWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose. An operator has to say it; a customer may."""

    customer_id: CustomerId | None = None


class Notifying:
    """The secrets follow from the master secrets, so nothing is looked up."""

    def __init__(self, masters: Sequence[bytes]) -> None:
        self._masters = masters

    async def secret(self, request: web.Request, caller: Caller) -> web.Response:
        """`GET /v1/notify-secret`."""
        wanted = from_query(request.query, SecretWanted).customer_id
        customer_id = caller.customer_id or wanted
        if customer_id is None:
            raise invalid("customer_id", "an operator's key needs it")
        if wanted not in (None, customer_id):
            detail = "the API key is another customer's; leave it out"
            raise Problem(Kind.FORBIDDEN, detail, field="customer_id")
        if not self._masters:
            raise not_found("notify secret")
        return json_answer(NotifySecrets(customer_id, secrets_of(self._masters, customer_id)))
