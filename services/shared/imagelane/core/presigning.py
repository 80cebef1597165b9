"""URLs that carry the right to read one object for a while: AWS's signature version 4, in the query.

The same address, time and key give the same URL, so one that was frozen by its hash can be made again.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlsplit

MAX_SECONDS: Final = 604_800
"""Seven days: no server takes a longer one."""
ALGORITHM: Final = "AWS4-HMAC-SHA256"
SERVICE: Final = "s3"


@dataclass(frozen=True, slots=True)
class Presigner:
    """Signs with one access key, for so many seconds after the time that it is told."""

    access_key_id: str
    secret: str = field(repr=False)
    region: str
    seconds: int

    def signed(self, address: str, at: datetime) -> str:
        """The address with a signature of that time, which is taken in whole seconds."""
        stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/{SERVICE}/aws4_request"
        parts = urlsplit(address)
        query = (
            f"X-Amz-Algorithm={ALGORITHM}"
            f"&X-Amz-Credential={quote(f'{self.access_key_id}/{scope}', safe='')}"
            f"&X-Amz-Date={stamp}&X-Amz-Expires={self.seconds}&X-Amz-SignedHeaders=host"
        )
        request = f"GET\n{parts.path}\n{query}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"
        key = _signing_key(self.secret, stamp[:8], self.region)
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        return f"{address}?{query}&X-Amz-Signature={signature}"


@lru_cache(maxsize=16)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for word in (day, region, SERVICE, "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key
