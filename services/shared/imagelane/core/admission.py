"""Admission: which URLs may be fetched on behalf of a customer. The first of two walls, and pure.

The second wall stands at the resolver and at the socket (`platform/guarded_http.py`), because a name
says nothing about where it leads. What is fetched is put together from the parts that were checked
here, so no second parser can read the text differently.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote

from yarl import URL

from imagelane.contracts.events import MAX_URL_CHARS
from imagelane.core.addresses import IpAddress, IpNetwork, is_allowed, is_within
from imagelane.core.failures import Code

MAX_REDIRECT_CHARS: Final = 8_000
MAX_HOST_CHARS: Final = 253
INTERNAL_SUFFIXES: Final = (
    ".local",
    ".localhost",
    ".internal",
    ".onion",
    ".svc",
    ".home.arpa",
    ".cluster.local",
)
NO_URL: Final = (ValueError, LookupError)
"""What yarl raises for text that it cannot read: an `IndexError`, too, for `//[]@`."""
LOOPBACK: Final = (ip_address("127.0.0.1"), ip_address("::1"))

# Controls, spaces and line separators, backslash, byte order mark, bidirectional controls, surrogates.
_REFUSED_CHARACTERS: Final = re.compile(
    r"[\x00-\x20\x7f-\xa0\\\u1680\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
    r"\ud800-\udfff\ufff0-\uffff]"
)
_BEGINNING: Final = re.compile(r"(https?)://([^/?#]+)", re.IGNORECASE)
_IPV6_AUTHORITY: Final = re.compile(r"\[[0-9A-Fa-f:.]+\](:[0-9]*)?")
_KEPT_EXACTLY: Final = re.compile(r"(?:[!#$&-;=?-\[\]_a-z~]|%[0-9A-Fa-f]{2})*")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_VISIBLE_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))


class UrlRefusedError(ValueError):
    """The URL may not be fetched. `detail` is safe to show to the customer.

    `code` is `url_refused`, or `unreachable` for an address that may not be reached: the same as for
    a name that does not resolve.
    """

    def __init__(self, detail: str, code: Code = Code.URL_REFUSED) -> None:
        super().__init__(detail or code.value)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What is admitted beyond public names and addresses on the usual ports.

    Hosts in `allowed_networks` (written as addresses) and `allowed_hosts` (names that would count as
    internal) may use any port; all others only `allowed_ports`. `refused_hosts` are our own.
    """

    allowed_networks: Sequence[IpNetwork] = ()
    allowed_ports: frozenset[int] = frozenset({80, 443, 8080, 8443})
    allowed_hosts: frozenset[str] = frozenset()
    refused_hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AdmittedUrl:
    """A URL as it will be requested: host in ASCII and lower case, no user, no fragment."""

    url: URL
    host: str
    port: int

    @property
    def server(self) -> str:
        """`host`, or `host:port` for a port that is not the scheme's own. A dot at the end is no other host."""
        return server_of(self.url, self.host)


def server_of(url: URL, host: str) -> str:
    """The server of the URL with this host: see `AdmittedUrl.server`."""
    return _authority(host.removesuffix("."), None if url.is_default_port() else url.port)


def canonical_host(text: str) -> str:
    """A host as admission knows it: ASCII, lower case, no dot at its end. Raises `ValueError` for anything else."""
    name = URL.build(scheme="http", host=text.strip("[]")).raw_host or ""
    name = name.removesuffix(".")
    if _address(name) is None:
        _check_name(name, internal_allowed=True)
    return name


def admit(url: str, policy: AdmissionPolicy, *, max_chars: int = MAX_URL_CHARS) -> AdmittedUrl:
    """The URL, ready to be requested. Raises `UrlRefusedError` and nothing else, for any text.

    A path and query in plain ASCII are sent exactly as written, since signatures may depend on them.
    """
    if len(url) > max_chars:
        raise UrlRefusedError(f"it has more than {max_chars} characters")
    if _REFUSED_CHARACTERS.search(url):
        raise UrlRefusedError("it has spaces, control characters or backslashes")
    _check_authority(url)
    try:
        parsed = URL(url)
        host, port = parsed.raw_host, parsed.port
        target = URL(url, encoded=True) if _KEPT_EXACTLY.fullmatch(url) else parsed
    except NO_URL as error:
        raise UrlRefusedError("it cannot be read as a URL") from error
    if not host or port is None:
        raise UrlRefusedError("it has no host")
    _check_host(host, port, policy)
    return AdmittedUrl(
        URL.build(
            scheme=parsed.scheme,
            authority=_authority(host, None if parsed.is_default_port() else port),
            path=target.raw_path,
            query_string=target.raw_query_string,
            encoded=True,
        ),
        host,
        port,
    )


def admit_redirect(base: AdmittedUrl, location: str, policy: AdmissionPolicy) -> AdmittedUrl:
    """The next hop. Raises `UrlRefusedError`, also for a step from https to http."""
    text = location.strip(" \t")
    try:
        if not text.isprintable() or " " in text:
            # Bytes that were not UTF-8, and spaces, which many servers forget to encode.
            text = quote(text.encode("utf-8", "surrogateescape"), safe=_VISIBLE_ASCII)
        joined = str(base.url.join(URL(text, encoded=True)))
    except NO_URL as error:
        raise UrlRefusedError("a redirect leads to what is no URL") from error
    admitted = admit(joined, policy, max_chars=MAX_REDIRECT_CHARS)
    if base.url.scheme == "https" and admitted.url.scheme != "https":
        raise UrlRefusedError("a redirect leads from https to http")
    return admitted


def _check_authority(url: str) -> None:
    beginning = _BEGINNING.match(url)
    if beginning is None:
        raise UrlRefusedError("it does not begin with http:// or https:// and a host")
    authority = beginning[2]
    if "@" in authority:
        raise UrlRefusedError("it has a user name or password")
    if "%" in authority:
        raise UrlRefusedError("its host has encoded characters or a zone")
    if authority[0] == "[" and not _IPV6_AUTHORITY.fullmatch(authority):
        raise UrlRefusedError("its IPv6 address cannot be read")


def _check_host(host: str, port: int, policy: AdmissionPolicy) -> None:
    name = host.removesuffix(".")
    if name in policy.refused_hosts:
        raise UrlRefusedError("its host is one of ours")
    address = _address(host)
    if address is not None:
        if not is_allowed(address, policy.allowed_networks):
            raise UrlRefusedError("", Code.UNREACHABLE)
        any_port = is_within(address, policy.allowed_networks)
    elif name == "localhost":
        any_port = any(is_within(one, policy.allowed_networks) for one in LOOPBACK)
        if not any_port:
            raise UrlRefusedError("its host is internal")
    else:
        any_port = name in policy.allowed_hosts
        _check_name(name, internal_allowed=any_port)
    if port == 0 or not (any_port or port in policy.allowed_ports):
        raise UrlRefusedError(f"port {port} is not allowed")


def _address(host: str) -> IpAddress | None:
    """The host as an IP address. Raises for what looks like one in a notation of its own.

    `127.1`, `0x7f.0.0.1` or `127.0.0.1.` are addresses to some libraries and names to others.
    """
    try:
        return ip_address(host)
    except ValueError:
        last_label = host.removesuffix(".").rpartition(".")[2]
        if ":" in host or _NUMBER_LABEL.fullmatch(last_label):
            raise UrlRefusedError("its IP address is not in the usual notation") from None
        return None


def _check_name(name: str, *, internal_allowed: bool) -> None:
    if len(name) > MAX_HOST_CHARS or not all(map(_LABEL.fullmatch, name.split("."))):
        raise UrlRefusedError("its host is not a valid name")
    if not internal_allowed and ("." not in name or name.endswith(INTERNAL_SUFFIXES)):
        raise UrlRefusedError("its host is internal")


def _authority(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"
