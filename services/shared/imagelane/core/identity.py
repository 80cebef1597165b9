"""Names that nobody can guess: of jobs, and of uploaded lists. Pure functions of the deployment secret.

Each is the lower-case base32 of the first 20 bytes of HMAC-SHA256(secret, identity). The identity is a
list of texts, each written as its length in UTF-8 bytes, a colon and itself, so that no two lists look
the same.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

ID_BYTES: Final = 20
UPLOADS: Final = "uploads"
"""The folder of the private store with lists that were uploaded."""


def secret_id(secret: bytes, *identity: str) -> str:
    """The identity under the secret, in 32 characters `a-z2-7`."""
    parts = [part.encode() for part in identity]
    message = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    digest = hmac.new(secret, message, hashlib.sha256).digest()[:ID_BYTES]
    return base64.b32encode(digest).decode().lower()


def job_id_of_key(secret: bytes, customer_id: str, idempotency_key: str) -> str:
    """The job of a submission with an idempotency key, whichever way it was handed in."""
    return secret_id(secret, "key", customer_id, idempotency_key)


def upload_key(secret: bytes, customer_id: str, idempotency_key: str, sha256: str) -> str:
    """Where the private part of the store keeps a list that was uploaded with a submission.

    The same submission has the same place, and no event can name another customer's: whoever writes
    to `urls` names content and key, and the place follows from them.
    """
    return f"{UPLOADS}/{secret_id(secret, 'upload', customer_id, idempotency_key, sha256)}"
