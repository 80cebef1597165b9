from __future__ import annotations

import random
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from imagelane.core.addresses import is_allowed
from imagelane.core.admission import (
    AdmissionPolicy,
    AdmittedUrl,
    UrlRefusedError,
    admit,
    admit_redirect,
)
from imagelane.core.failures import Code

STRICT = AdmissionPolicy()
LOOPBACK = AdmissionPolicy(allowed_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")))

REFUSED = {
    "U02 short": ["http://127.1/", "http://2130706433/", "http://0177.0.0.1/", "http://0/"],
    "U02 padded": ["http://00127.0.0.1/", "http://127.0.0.01/"],
    "U03 hexadecimal": ["http://0x7f000001/", "http://0x7f.0.0.1/", "http://0x/"],
    "U04 dot at the end": ["http://127.0.0.1./", "http://1.1.1.1./"],
    "U14 zone": ["http://[fe80::1%25eth0]/", "http://[::1%2525lo]/", "http://[fe80::1%eth0]/"],
    "U20 internal": [
        "http://localhost/",
        "http://LOCALHOST./",
        "http://foo.localhost/",
        "http://kafka/",
        "http://kafka.ns.svc.cluster.local/",
        "http://kafka.ns.svc/",
        "http://printer.local/",
        "http://metadata.google.internal/",
        "http://nas.home.arpa/",
        "http://abc.onion/",
    ],
    "U21 user": ["http://user:pass@example.com/", "http://user@example.com/", "http://@a.com/"],
    "U22 user": ["http://example.com@127.0.0.1/", "http://1.1.1.1 &@127.0.0.1/"],
    "U23 backslash": ["http://example.com\\@127.0.0.1/", "http:\\\\example.com/"],
    "U24 port": [
        "http://example.com:6379/",
        "http://example.com:9092/",
        "http://example.com:22/",
        "http://example.com:25/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://1.1.1.1:6379/",
    ],
    "U25 encoded host": ["http://127.0.0.1%00.example.com/", "http://exa%0d%0ample.com/"],
    "U26 raw controls": [
        "http://example.com/a\r\nX-Inj: 1",
        "http://example.com/a\tb",
        "http://example.com/a b",
        "http://example.com/a\x00",
    ],
    "U28 names": [
        "http://exa mple.com/",
        "http://xn--/",
        "http://xn--.com/",
        "http://-/",
        "http://-a.com/",
        "http://[v1.fe]/",
        "http://[1.1.1.1]/",
        "http://exa$mple.com/",
        f"http://{'a' * 64}.com/",
        f"http://{'a.' * 130}com/",
    ],
    "U29 empty labels": ["http://a..b/", "http://.example.com/", "http://example.com../"],
    "U30 no scheme": ["//127.0.0.1/a", "tcp://127.0.0.1/", "example.com/a.jpg", ""],
    "U31 no host": ["http:///a", "http:/127.0.0.1/a", "http://", "http://h:80:80/", "http://?a"],
    "U32 schemes": [
        f"{scheme}://example.com/a"
        for scheme in ("file", "gopher", "ftp", "data", "dict", "ldap", "ws", "wss", "s3", "httpx")
    ]
    + ["javascript:alert(1)", "data:image/png;base64,AAAA"],
    "U33 text": [
        "http://example.com/" + "a" * 2_030,
        "http://example.com/" + "a" * 100_000,
        "http://example.com/\x00",
        "http://example.com/\ud800",
        "\ufeffhttp://example.com/",
        "http://example.com/\u202egpj.exe",
        "http://exam\u200bple.com/",
        " http://example.com/",
    ],
    "brackets": ["http://[::1/", "http://::1/", "http://[]/", "http://]/", "http://a]b.com/"],
    "full-width": [
        "http://user\uff20example.com/",
        "http://example.com\uff0500/",
        "http://c℀.example.com/",
    ],
}

UNREACHABLE = [
    "http://127.0.0.1/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[0:0:0:0:0:ffff:7f00:1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "http://[fd00:ec2::254]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://127.0.0.1#@example.com/",
    "http://127.0.0.1:6379/",
]

# What was written, what is sent.
ADMITTED = {
    "http://example.com": "http://example.com/",
    "HTTPS://EXAMPLE.com/A?b=C": "https://example.com/A?b=C",
    "http://example.com:80/": "http://example.com/",
    "http://example.com:8080/": "http://example.com:8080/",
    "https://example.com:8443/a": "https://example.com:8443/a",
    "http://example.com./a": "http://example.com./a",
    "http://a_b.example.com/": "http://a_b.example.com/",
    "http://1.1.1.1/a": "http://1.1.1.1/a",
    "http://[2606:4700::1111]:8080/a": "http://[2606:4700::1111]:8080/a",
    "http://example.com/a%0d%0aX-Inj:1": "http://example.com/a%0d%0aX-Inj:1",  # U27
    "http://ⓔⓧⓐⓜⓟⓛⓔ.com/": "http://example.com/",  # U34
    "http://straße.de/": "http://xn--strae-oqa.de/",
    "http://example.com/a#fragment": "http://example.com/a",
    "http://example.com?a=1": "http://example.com/?a=1",
    # signatures may depend on every character
    "http://example.com/%41%2f../b?X=%2Fa&y=a+b%20c&z": (
        "http://example.com/%41%2f../b?X=%2Fa&y=a+b%20c&z"
    ),
    "http://example.com/a@b:c;d=1,2": "http://example.com/a@b:c;d=1,2",
    # but what no server could read is encoded
    "http://example.com/straße|1.jpg": "http://example.com/stra%C3%9Fe%7C1.jpg",
    "http://example.com/100%.jpg": "http://example.com/100%25.jpg",
}


def refusal(url: str, policy: AdmissionPolicy = STRICT) -> UrlRefusedError:
    with pytest.raises(UrlRefusedError) as refused:
        admit(url, policy)
    return refused.value


@pytest.mark.parametrize("url", [url for urls in REFUSED.values() for url in urls])
def test_a_url_that_may_not_be_fetched_is_refused_with_a_word_about_it(url: str) -> None:
    refused = refusal(url)
    assert refused.code is Code.URL_REFUSED
    assert refused.detail


@pytest.mark.parametrize("url", UNREACHABLE)
def test_an_address_that_may_not_be_reached_looks_like_a_name_that_does_not_resolve(
    url: str,
) -> None:
    refused = refusal(url)
    assert refused.code is Code.UNREACHABLE
    assert refused.detail == ""


@pytest.mark.parametrize(("written", "sent"), ADMITTED.items())
def test_a_public_url_is_admitted(written: str, sent: str) -> None:
    assert str(admit(written, STRICT).url) == sent


def test_a_host_in_an_allowed_network_may_use_any_port() -> None:
    assert admit("http://127.0.0.1:54321/a", LOOPBACK).port == 54321
    assert admit("http://[::1]:54321/a", LOOPBACK).host == "::1"
    assert admit("http://localhost:54321/a", LOOPBACK).server == "localhost:54321"
    assert refusal("http://127.0.0.1:0/", LOOPBACK).code is Code.URL_REFUSED
    assert refusal("http://1.1.1.1:54321/", LOOPBACK).code is Code.URL_REFUSED
    assert refusal("http://example.com:54321/", LOOPBACK).code is Code.URL_REFUSED


def test_an_allowed_network_opens_no_other_address() -> None:
    assert refusal("http://169.254.169.254/", LOOPBACK).code is Code.UNREACHABLE
    assert refusal("http://[::ffff:0:127.0.0.1]/", LOOPBACK).code is Code.UNREACHABLE


def test_an_internal_name_is_admitted_only_by_name() -> None:
    policy = AdmissionPolicy(allowed_hosts=frozenset({"images", "img.shop.internal"}))
    assert admit("http://images:9000/a", policy).host == "images"
    assert admit("http://img.shop.internal/a", policy).port == 80
    assert refusal("http://other/", policy).detail
    assert refusal("http://sub.img.shop.internal/", policy).detail


def test_our_own_hosts_are_nobody_s_source() -> None:
    policy = AdmissionPolicy(refused_hosts=frozenset({"cdn.example.com"}))
    assert refusal("https://CDN.example.com./a.jpg", policy).detail == "its host is one of ours"
    assert admit("https://other.example.com/a.jpg", policy).host == "other.example.com"


def test_two_ports_of_a_host_are_two_servers() -> None:
    assert admit("http://example.com/", STRICT).server == "example.com"
    assert admit("https://example.com:443/", STRICT).server == "example.com"
    assert admit("http://example.com:8080/", STRICT).server == "example.com:8080"


REDIRECTS = {
    "/b.jpg": "https://example.com/b.jpg",
    "../../x": "https://example.com/x",
    "?size=1": "https://example.com/a/b.jpg?size=1",
    "//cdn.example.com/b": "https://cdn.example.com/b",
    "https://other.example.com/%41?sig=%2F": "https://other.example.com/%41?sig=%2F",
    "/my image.jpg ": "https://example.com/my%20image.jpg",
    "/straße.jpg": "https://example.com/stra%C3%9Fe.jpg",
    "/stra\udcdfe.jpg": "https://example.com/stra%DFe.jpg",  # as aiohttp gives bytes of Latin-1
}

REFUSED_REDIRECTS = [
    "http://169.254.169.254/",
    "//169.254.169.254/x",
    "file:///etc/passwd",
    "gopher://example.com/",
    "https://u:p@example.com/",
    "https://example.com:6379/",
    "http://example.com/b.jpg",
    "https://localhost/",
    "https://example.com/" + "a" * 8_000,
    "https://[::1",
    "https://example.com\\@127.0.0.1/",
    "\ud800",
]


@pytest.mark.parametrize(("location", "followed"), REDIRECTS.items())
def test_a_redirect_is_joined_and_admitted(location: str, followed: str) -> None:
    base = admit("https://example.com/a/b.jpg", STRICT)
    assert str(admit_redirect(base, location, STRICT).url) == followed


@pytest.mark.parametrize("location", REFUSED_REDIRECTS)
def test_a_redirect_to_where_no_submission_may_lead_is_refused(location: str) -> None:
    base = admit("https://example.com/a/b.jpg", STRICT)
    with pytest.raises(UrlRefusedError):
        admit_redirect(base, location, STRICT)


def test_a_redirect_may_go_from_http_to_https() -> None:
    base = admit("http://example.com/a", STRICT)
    assert admit_redirect(base, "https://example.com/a", STRICT).url.scheme == "https"


def test_a_long_signed_redirect_is_followed() -> None:
    base = admit("https://example.com/a", STRICT)
    assert admit_redirect(base, "/b?token=" + "a" * 4_000, STRICT).url.path == "/b"


HOSTS = ("example.com", "127.0.0.1", "[::1]", "0x7f.1", "localhost", "①②⑦.0.0.1", "a..b", "xn--a")
PIECES = (
    *("http", "https", "ws", "://", ":/", "//", "/", "\\", "@", ":", "?", "#", "%00", "%2e", "%"),
    *(
        "80",
        "8080",
        "0",
        "\uff16\uff15",
        "user",
        "pa:ss",
        "[",
        "]",
        ".",
        "。",
        "\r\n",
        "\t",
        " ",
        "\ud800",
    ),
    *(
        "\u202e",
        "é",
        "℀",
        "\uff20",
        "\uff05",
        "a" * 70,
        "1.1.1.1",
        "2130706433",
        "::ffff:7f00:1",
        *HOSTS,
    ),
)


def check(url: str) -> None:
    """Nothing but its own error; and what aiohttp will connect to is what was checked."""
    try:
        admitted = admit(url, STRICT)
    except UrlRefusedError:
        return
    assert admitted.url.raw_host == admitted.host
    assert URL(str(admitted.url)).raw_host == admitted.host
    assert admitted.url.port == admitted.port
    assert admitted.url.scheme in ("http", "https")
    assert admitted.url.raw_user is None
    assert admitted.url.raw_password is None
    assert admitted.host.isascii()
    assert admitted.host == admitted.host.lower()
    try:
        assert is_allowed(ip_address(admitted.host))
    except ValueError:
        assert "." in admitted.host.removesuffix(".")
        assert not admitted.host.removesuffix(".").rpartition(".")[2].isdigit()


@settings(max_examples=300)
@example("http://example.com/")
@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_whatever_is_admitted_is_connected_to_as_it_was_checked(url: str) -> None:
    check(url)
    check("http://" + url)
    check("http://example.com" + url)


def test_twenty_thousand_generated_urls_raise_nothing_else() -> None:
    chance = random.Random(20_261_121)
    for _ in range(20_000):
        beginning = chance.choice(("http://", "https://", ""))
        check(beginning + "".join(chance.choices(PIECES, k=chance.randint(1, 8))))


@settings(max_examples=300)
@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_a_redirect_raises_nothing_but_a_refusal(location: str) -> None:
    base = admit("https://example.com/a/b", STRICT)
    try:
        admitted = admit_redirect(base, location, STRICT)
    except UrlRefusedError:
        return
    assert isinstance(admitted, AdmittedUrl)
    assert admitted.url.scheme == "https"
    check(str(admitted.url))
