"""Rows U35 to U38: names, where they lead, and name servers that say nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from msgspec import UNSET
from tests.hostile.conftest import ShowRow
from tests.hostile.downloading import (
    code_of,
    downloading,
)
from tests.hostile.servers import Names, listening, redirect, response, says
from tests.hostile.tripwire import Tripwire

from imagelane.core.admission import AdmissionPolicy
from imagelane.core.failures import Code
from imagelane.platform.http_guards import GuardResolver

BLOCKED: Final = Code.UNREACHABLE
PUBLIC = "93.184.215.14"
SLOTS_OF_STRANGERS = 16
PATIENCES_OF_A_THREAD = 6  # half a minute, in look-ups of 5 s


@dataclass(frozen=True)
class Name:
    """A name and what its look-ups give, one after the other."""

    row: str
    answers: Sequence[Sequence[str] | OSError]
    code: Code
    tries: int = 1
    dialled: int = 0


def no_name(number: int) -> socket.gaierror:
    return socket.gaierror(number, "as told")


NAMES: Final = [
    Name("U35 any bad address", [["127.0.0.1", "10.0.0.1"]], BLOCKED),
    Name("U35 bad one last", [["127.0.0.1"] * 9 + ["169.254.169.254"]], BLOCKED),
    Name("U37 leads inside", [["10.0.0.1"]], BLOCKED),
    Name("U37 mapped", [["::ffff:10.0.0.1"]], BLOCKED),
    Name("U37 NAT64", [["64:ff9b::a00:1"]], BLOCKED),
    Name("U37 with a zone", [["fe80::1%eth0"]], BLOCKED),
    Name("U37 NXDOMAIN", [no_name(socket.EAI_NONAME)], BLOCKED),
    Name("U37 no address", [no_name(socket.EAI_NODATA)], BLOCKED),
    Name("U37 no answer at all", [[]], BLOCKED),
    Name("U37 SERVFAIL", [no_name(socket.EAI_AGAIN)], BLOCKED, tries=2),
]


@pytest.mark.parametrize("case", NAMES, ids=lambda case: case.row)
async def test_a_name_is_worth_what_all_its_addresses_are(
    case: Name, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    names = Names()
    names.lead("shop.example.com.", *case.answers)
    async with downloading(wire, tmp_path, names=names) as downloader:
        outcome = await downloader.outcome("http://shop.example.com/a.jpg")
    told = f"{names.asked.total()} look-ups, {len(wire.dialled)} sockets"
    show_row(case.row, str(case.answers[0])[:40], told, code_of(outcome))
    assert code_of(outcome) == case.code
    assert names.asked == {"shop.example.com.": case.tries}
    assert len(wire.dialled) == case.dialled
    assert outcome.failure is not UNSET
    assert outcome.failure.reason == "the server could not be reached"


async def test_u37_a_name_server_that_hangs_is_left(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    released = threading.Event()

    class Hanging(Names):
        def __call__(self, name: str) -> Sequence[str]:
            released.wait(20)
            return super().__call__(name)

    async with downloading(wire, tmp_path, names=Hanging(), retries=0) as downloader:
        outcome = await downloader.outcome("http://shop.example.com/a.jpg")
        released.set()
    show_row("U37 hangs", "a name server that says nothing", "left", code_of(outcome))
    assert code_of(outcome) == Code.TIMEOUT
    assert wire.dialled == []


async def test_u37_of_200_addresses_four_are_tried(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    names = Names()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        names.lead("shop.example.com.", [f"127.0.0.{at}" for at in range(1, 201)])
        wire.own |= {(f"127.0.0.{at}", port) for at in range(1, 201)}
        http = {"allowed_networks": ("127.0.0.0/8",), "allowed_ports": {port}}
        async with downloading(wire, tmp_path, names=names, http=http, retries=0) as downloader:
            outcome = await downloader.outcome(f"http://shop.example.com:{port}/")
    tried = len(set(wire.dialled))
    told = f"{tried} tried, {len(wire.dialled)} sockets"
    show_row("U37 200 A", "200 addresses", told, code_of(outcome))
    assert code_of(outcome) == Code.UNREACHABLE
    assert tried == 4
    assert len(wire.dialled) <= 10


async def test_u36_one_look_up_for_a_connection_and_none_between_check_and_connect(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    names = Names()
    names.lead("shop.example.com.", ["127.0.0.1"], ["10.0.0.1"])
    async with (
        listening(says(response())) as server,
        downloading(wire, tmp_path, server, names=names) as downloader,
    ):
        url = f"http://shop.example.com:{server.port}/a.jpg"
        outcome = await downloader.outcome(url)
    show_row("U36 rebinding", "public, then 10.0.0.1", "one look-up", code_of(outcome))
    assert code_of(outcome) == "ok"
    assert names.asked.total() == 1
    assert wire.dialled == [server.place]


async def test_u36_a_name_that_moves_inside_between_two_hops_is_blocked(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    names = Names()
    names.lead("a.example.com.", ["127.0.0.1"])
    names.lead("b.example.com.", ["192.168.0.1"])
    async with (
        listening(says(redirect("http://b.example.com/"))) as server,
        downloading(wire, tmp_path, server, names=names) as downloader,
    ):
        outcome = await downloader.outcome(f"http://a.example.com:{server.port}/")
    show_row("U36 hops", "a hop to a name inside", "blocked", code_of(outcome))
    assert code_of(outcome) == BLOCKED
    assert wire.dialled == [server.place]


async def test_u36_a_name_that_moves_inside_before_the_next_try_is_blocked(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    names = Names()
    names.lead("a.example.com.", no_name(socket.EAI_AGAIN), ["127.0.0.2"])
    async with downloading(wire, tmp_path, names=names) as downloader:
        outcome = await downloader.outcome("http://a.example.com/")
    show_row("U36 retry", "no answer, then 127.0.0.2", "blocked", code_of(outcome))
    assert code_of(outcome) == BLOCKED
    assert names.asked == {"a.example.com.": 2}
    assert wire.dialled == []


async def test_u38_a_kept_connection_goes_on_and_a_new_one_is_checked(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    names = Names()
    names.lead("shop.example.com.", ["127.0.0.1"], ["127.0.0.2"])
    async with listening(says(response())) as server:
        url = f"http://shop.example.com:{server.port}/a.jpg"
        async with downloading(wire, tmp_path, server, names=names) as downloader:
            kept = [code_of(await downloader.outcome(url)) for _ in range(3)]
        async with downloading(wire, tmp_path, server, names=names) as downloader:
            outcome = await downloader.outcome(url)
    show_row("U38", "a kept connection, then a new one", f"{kept[-1]}, blocked", code_of(outcome))
    assert kept == ["ok"] * 3
    assert server.connections == 1
    assert code_of(outcome) == BLOCKED


async def test_blocked_and_missing_names_cannot_be_told_apart(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    names = Names()
    names.lead("inside.example.com.", ["10.0.0.1"])
    async with downloading(wire, tmp_path, names=names) as downloader:
        blocked = await downloader.outcome("http://inside.example.com/")
        missing = await downloader.outcome("http://missing.example.com/")
        address = await downloader.outcome("http://10.0.0.1/")
    show_row("U37 oracle", "a name inside, one that is not there", "the same", code_of(blocked))
    assert blocked.failure == missing.failure == address.failure
    assert names.asked == {"inside.example.com.": 1, "missing.example.com.": 1}


@pytest.fixture
async def resolver() -> AsyncIterator[GuardResolver]:
    over = threading.Event()

    def lookup(name: str) -> Sequence[str]:
        if name.startswith("dead"):
            over.wait(30)
        return [PUBLIC]

    made = GuardResolver(AdmissionPolicy(), lookup, 0.3)
    yield made
    over.set()
    await made.close()


async def all_dead(resolver: GuardResolver, count: int) -> None:
    async def one(at: int) -> None:
        with pytest.raises(TimeoutError):
            await resolver.resolve(f"dead-{at}.example.net", 80)

    await asyncio.gather(*(one(at) for at in range(count)))


async def test_dead_names_do_not_keep_known_ones_from_being_found(
    resolver: GuardResolver, show_row: ShowRow
) -> None:
    await resolver.resolve("shop.example.com", 80)
    await all_dead(resolver, 500)
    (found, *_) = await resolver.resolve("shop.example.com", 80)
    show_row("U37 dead", "500 names hang, a known one", "found at once", "-")
    assert found["host"] == PUBLIC


async def test_as_many_dead_names_as_there_can_be_at_a_time_leave_room_for_new_ones(
    resolver: GuardResolver, show_row: ShowRow
) -> None:
    await all_dead(resolver, SLOTS_OF_STRANGERS * PATIENCES_OF_A_THREAD)
    (found, *_) = await resolver.resolve("new.example.com", 80)
    show_row("U37 dead", "96 names hang, a new one", "found at once", "-")
    assert found["host"] == PUBLIC


async def test_a_known_name_that_hangs_loses_its_place(resolver: GuardResolver) -> None:
    resolver._known["dead.example.com"] = None
    with pytest.raises(TimeoutError):
        await resolver.resolve("dead.example.com", 80)
    assert "dead.example.com" not in resolver._known
