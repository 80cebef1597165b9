"""What gateway, intake and notifier share about answers to requesters: which URLs, and whose secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from imagelane.core.admission import AdmissionPolicy, AdmittedUrl, UrlRefusedError, admit

SECRET_MARK: Final = "whsec_"  # noqa: S105 - what Standard Webhooks puts before every secret
PURPOSE: Final = b"imagelane notify secret\0"


def admit_notify_url(url: str, policy: AdmissionPolicy, *, allow_http: bool) -> AdmittedUrl:
    """The URL, ready to be posted to. Raises `UrlRefusedError` and nothing else, for any text."""
    admitted = admit(url, policy)
    if not allow_http and admitted.url.scheme != "https":
        raise UrlRefusedError("it does not begin with https://")
    return admitted


def notify_secret(master: bytes, customer_id: str) -> str:
    """The customer's secret for Standard Webhooks, which follows from the deployment's master secret.

    So none has to be stored, and nobody can tell another customer's from their own.
    """
    digest = hmac.new(master, PURPOSE + customer_id.encode(), hashlib.sha256).digest()
    return SECRET_MARK + base64.b64encode(digest).decode()
