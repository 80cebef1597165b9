"""Every way in which a fetch can fail, as one exception with a public code.

aiohttp does not keep to `ClientError`: hostile URLs and servers also cause `AssertionError`,
`UnicodeError`, `ValueError`, `RuntimeError` and bare time-outs, so the mapping is broad on purpose.
"""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Final

import aiohttp

from imagelane.core.failures import Code

FETCH_PROBLEMS: Final = (
    aiohttp.ClientError,
    AssertionError,
    OSError,  # with it TimeoutError, ssl.SSLError, socket.gaierror
    RuntimeError,
    ValueError,  # with it UnicodeError
)
"""What may come out of aiohttp through a URL's or a server's fault."""

NO_URL: Final = (
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    AssertionError,
    UnicodeError,
)
"""What aiohttp makes of text that admission should not have let through."""

_OUR_LACK: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_NO_SUCH_NAME: Final = frozenset(
    {socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY, socket.EAI_FAMILY}
)


class FetchError(Exception):
    """The file was not fetched. `transient`: another try may succeed; `detail` may be shown.

    `retry_after_seconds` is what the server asked for, at most ten minutes.
    """

    def __init__(
        self,
        code: Code,
        *,
        transient: bool = False,
        retry_after_seconds: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(f"{code.value}: {detail}" if detail else code.value)
        self.code = code
        self.transient = transient
        self.retry_after_seconds = retry_after_seconds
        self.detail = detail


class BlockedAddressError(OSError):
    """An address that may not be reached. Shown as if its name did not resolve."""


class OutOfResourcesError(Exception):
    """Our own process has no file descriptors or memory left: no server is at fault, leave it."""


def fetch_error(error: BaseException) -> FetchError:
    """The failure behind one of `FETCH_PROBLEMS`. Raises `OutOfResourcesError` for what is our fault."""
    if isinstance(error, OSError) and error.errno in _OUR_LACK:
        raise OutOfResourcesError(str(error)) from error
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return FetchError(Code.TLS_ERROR)
    if isinstance(error, TimeoutError):
        return FetchError(Code.TIMEOUT, transient=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return FetchError(Code.UNREACHABLE, transient=_may_appear(error.os_error))
    if isinstance(error, aiohttp.ClientPayloadError | OSError | aiohttp.ServerDisconnectedError):
        return FetchError(Code.BAD_RESPONSE, transient=True, detail="the connection was cut")
    if isinstance(error, NO_URL):
        return FetchError(Code.URL_REFUSED)
    return FetchError(Code.BAD_RESPONSE, transient=isinstance(error, RuntimeError))


def _may_appear(error: OSError) -> bool:
    if isinstance(error, socket.gaierror):
        return error.errno not in _NO_SUCH_NAME
    return not isinstance(error, BlockedAddressError)
