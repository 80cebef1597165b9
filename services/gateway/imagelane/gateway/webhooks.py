"""What a webhook of the batch API must be before anything in it is believed: pure, no I/O.

The signature covers the raw bytes, so they are verified before they are parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from multidict import CIMultiDictProxy
from standardwebhooks import Webhook, WebhookVerificationError

from imagelane.contracts.events import CallHinted
from imagelane.contracts.fields import CustomerId

MAX_REFERENCE_CHARS: Final = 255
SIGNED_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


class WebhookRefusedError(Exception):
    """The webhook is answered with `status`, and nothing else happens."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Batch(msgspec.Struct, frozen=True):
    id: Annotated[str, msgspec.Meta(min_length=1)]
    customer: CustomerId
    reference: str = ""


class _Event(msgspec.Struct, frozen=True):
    data: _Batch


_decoder: Final = msgspec.json.Decoder(_Event)


def check_headers(headers: CIMultiDictProxy[str], content_type: str) -> None:
    """Raises `WebhookRefusedError` unless each signed header is there once, and the body is JSON."""
    if content_type != "application/json":
        raise WebhookRefusedError(400, "the content type must be application/json")
    if headers.get("content-encoding", "identity") != "identity":
        raise WebhookRefusedError(400, "the body must not be compressed")
    for name in SIGNED_HEADERS:
        found = len(headers.getall(name, []))
        if found != 1:
            raise WebhookRefusedError(400 if found else 401, f"{name} must be given once")


def verify(body: bytes, headers: CIMultiDictProxy[str], secrets: Sequence[Webhook]) -> None:
    """Raises `WebhookRefusedError` unless one of the secrets signed these bytes within 300 s of now."""
    signed = {name: headers[name] for name in SIGNED_HEADERS}
    for secret in secrets:
        try:
            secret.verify(body, signed, json_parse=False)
        # ValueError: the library splits and decodes signatures without a look.
        except (WebhookVerificationError, ValueError):
            continue
        return
    raise WebhookRefusedError(401, "the signature is not valid, or its time is too far from ours")


def hint_in(body: bytes, now: datetime) -> CallHinted:
    """The look at a call that a verified body asks for. Raises `WebhookRefusedError`.

    Its `type` and what it says about the call do not matter: only the API's own answer is believed.
    """
    try:
        batch = _decoder.decode(body).data
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WebhookRefusedError(400, f"the body does not fit: {error}") from error
    known = 0 < len(batch.reference) <= MAX_REFERENCE_CHARS
    return CallHinted(
        customer_id=batch.customer,
        call_id=batch.id,
        occurred_at=now,
        reference=batch.reference if known else msgspec.UNSET,
    )
