from __future__ import annotations

import errno
import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from imagelane.core.failures import REASONS, Code
from imagelane.platform.fetch_errors import (
    FETCH_PROBLEMS,
    BlockedAddressError,
    OutOfResourcesError,
    fetch_error,
)

REQUEST = aiohttp.RequestInfo(URL("http://x/"), "GET", CIMultiDictProxy(CIMultiDict()))
KEY = ConnectionKey("example.com", 80, False, True, None, None, None)


def connector_error(error: OSError) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(KEY, error)


def lookup_error(error: OSError) -> aiohttp.ClientConnectorDNSError:
    return aiohttp.ClientConnectorDNSError(KEY, error)


PROBLEMS = [
    (AssertionError(), Code.URL_REFUSED, False),
    (UnicodeError("label empty"), Code.URL_REFUSED, False),
    (aiohttp.InvalidURL(URL("http://x/")), Code.URL_REFUSED, False),
    (aiohttp.NonHttpUrlClientError(URL("ftp://x/")), Code.URL_REFUSED, False),
    (ValueError("what"), Code.BAD_RESPONSE, False),
    (RuntimeError("Connection closed."), Code.BAD_RESPONSE, True),
    (TimeoutError(), Code.TIMEOUT, True),
    (aiohttp.ServerTimeoutError(), Code.TIMEOUT, True),
    (aiohttp.ConnectionTimeoutError(), Code.TIMEOUT, True),
    (aiohttp.SocketTimeoutError(), Code.TIMEOUT, True),
    (aiohttp.ServerDisconnectedError(), Code.BAD_RESPONSE, True),
    (aiohttp.ClientPayloadError(), Code.BAD_RESPONSE, True),
    (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), Code.BAD_RESPONSE, True),
    (ConnectionResetError(), Code.BAD_RESPONSE, True),
    (
        aiohttp.ClientResponseError(REQUEST, (), status=400, message="bad"),
        Code.BAD_RESPONSE,
        False,
    ),
    (connector_error(ConnectionRefusedError(errno.ECONNREFUSED, "no")), Code.UNREACHABLE, True),
    (connector_error(OSError(errno.ENETUNREACH, "no")), Code.UNREACHABLE, True),
    (connector_error(BlockedAddressError("no")), Code.UNREACHABLE, False),
    (lookup_error(BlockedAddressError("no")), Code.UNREACHABLE, False),
    (lookup_error(socket.gaierror(socket.EAI_NONAME, "no")), Code.UNREACHABLE, False),
    (lookup_error(socket.gaierror(socket.EAI_NODATA, "no")), Code.UNREACHABLE, False),
    (lookup_error(socket.gaierror(socket.EAI_AGAIN, "later")), Code.UNREACHABLE, True),
    (lookup_error(socket.gaierror(socket.EAI_FAIL, "broken")), Code.UNREACHABLE, True),
    (
        aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("old")),
        Code.TLS_ERROR,
        False,
    ),
    (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError("old")), Code.TLS_ERROR, False),
    (ssl.SSLError(1, "alert"), Code.TLS_ERROR, False),
]


@pytest.mark.parametrize(("error", "code", "transient"), PROBLEMS)
def test_every_problem_has_a_code(error: Exception, code: Code, transient: bool) -> None:
    assert isinstance(error, FETCH_PROBLEMS)
    failed = fetch_error(error)
    assert (failed.code, failed.transient) == (code, transient)


@pytest.mark.parametrize(("error", "_code", "_transient"), PROBLEMS)
def test_nothing_of_the_inside_is_told(error: Exception, _code: Code, _transient: bool) -> None:
    failed = fetch_error(error)
    assert failed.detail in {"", "the connection was cut"}
    assert failed.code in REASONS


@pytest.mark.parametrize("lack", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_what_this_process_lacks_is_no_server_s_fault(lack: int) -> None:
    with pytest.raises(OutOfResourcesError):
        fetch_error(connector_error(OSError(lack, "none left")))
