"""URLs without number: a small grammar, and mutations of a corpus. The same ones every time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

CORPUS: Final = (
    "http://shop.example.com/a.jpg",
    "https://shop.example.com:8443/a/b.jpg?size=1&sig=%2Fa%2B#top",
    "http://cdn.example.com./%41%2f../b%0d%0aX:1",
    "http://1.1.1.1/a",
    "http://1.1.1.1:8080/",
    "https://[2606:4700::1111]/a",
    "https://[2606:4700:0:0:0:0:0:1111]:8443/a",
    "http://[::ffff:8.8.8.8]/",
    "http://127.0.0.1/",
    "http://[::1]/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://①②⑦.⓪.⓪.①/",
    "http://ⓔⓧⓐⓜⓟⓛⓔ.com/",
    "http://straße.example.com/straße.jpg",
    "http://xn--strae-oqa.de/",
    "http://例え.テスト/画像.png",
    "http://a_b.example.com/~c/;d=1,2/@e:f",
    "http://user:pass@shop.example.com/",
    "http://shop.example.com@127.0.0.1/",
    "http://shop.example.com\\@127.0.0.1/",
    "http://127.0.0.1#@shop.example.com/",
    "http://127.0.0.1%00.example.com/",
    "http://[fe80::1%25eth0]/",
    "http://localhost/",
    "//shop.example.com/a",
    "data:image/png;base64,AAAA",
)
NASTY: Final = (
    *("\\", "@", ":", "/", "//", "#", "?", "%", "%25", "%2e", "%40", "%00", ".", "..", "-", "_"),
    *("[", "]", "[::1]", "::", "&", ";", "=", "+", " ", "\t", "\r", "\n", "\0", "\x7f", "\x85"),
    *("\u200b", "\u202e", "\u2028", "\ufeff", "\uff0e", "\u3002", "\uff61", "\uff0f", "\uff20"),
    *("\uff1a", "\uff03", "\uff1f", "\uff05", "\u2044", "\u2215", "\u0130", "\u0131", "\u00df"),
    *("\u017f", "\u212a", "\u2100", "\u00ad", "\u0307", "\ud800", "\udfff", "\U0001f600", "\u0378"),
    *(
        "0",
        "0x",
        "00",
        "127.0.0.1",
        "localhost",
        "xn--",
        "xn--a",
        "a" * 64,
        ".com",
        "8080",
        "65616",
    ),
)
SCHEMES: Final = ("http", "https", "HTTP", "hTTps", "ws", "file", "http ", "ht\ntp", "")
HOSTS: Final = (
    *("shop.example.com", "EXAMPLE.com.", "a.b", "1.1.1.1", "[2606:4700::1111]", "8.8.8.8."),
    *("127.0.0.1", "[::1]", "xn--strae-oqa.de", "bücher.example", "a..b", "a_b.c", "0x7f.1", "1.1"),
)
PORTS: Final = ("", ":", ":80", ":443", ":8080", ":8443", ":0", ":99999", ":080", ":\uff18\uff10")
PATHS: Final = (
    "",
    "/",
    "/a b",
    "/%zz",
    "/ä|ö",
    "?a=1",
    "#f",
    "/..;/",
    "/%2e%2e/",
    "//b",
    "/a?b#c?d",
)


def generated(count: int, seed: int) -> Iterator[str]:
    chance = random.Random(seed)
    for _ in range(count):
        yield _composed(chance) if chance.random() < 0.3 else _mutated(chance)


def _composed(chance: random.Random) -> str:
    user = chance.choice(("", "", "", "", "u@", "u:p@", "@"))
    scheme, host = chance.choice(SCHEMES[: chance.choice((2, 9))]), chance.choice(HOSTS)
    return f"{scheme}://{user}{host}{chance.choice(PORTS)}{chance.choice(PATHS)}"


def _mutated(chance: random.Random) -> str:
    text = chance.choice(CORPUS)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(text) + 1)
        till = min(len(text), at + chance.choice((0, 0, 1, 1, 2, 5)))
        kind = chance.random()
        if kind < 0.5:
            new = chance.choice(NASTY)
        elif kind < 0.7:
            new = chr(chance.choice((chance.randrange(128), chance.randrange(0x3000))))
        elif kind < 0.85:
            new = text[at:till] * 2
        else:
            other = chance.choice(CORPUS)
            new = other[chance.randrange(len(other)) :][: chance.randrange(1, 12)]
        text = text[:at] + new + text[till:]
    return text
