"""The wire has to trip: a harness that sees nothing would let every row pass."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from tests.hostile.servers import listening, response, says
from tests.hostile.tripwire import TrippedError, armed


def test_a_connection_that_is_not_the_test_s_own_is_stopped_and_fails_the_test() -> None:
    with (
        pytest.raises(AssertionError, match=r"127\.0\.0\.9"),
        armed(),
        socket.socket() as one,
        pytest.raises(TrippedError),
    ):
        one.connect(("127.0.0.9", 9))


def test_a_look_up_is_stopped_and_fails_the_test() -> None:
    with (
        pytest.raises(AssertionError, match="getaddrinfo 'localhost'"),
        armed(),
        pytest.raises(TrippedError),
    ):
        socket.getaddrinfo("localhost", 80)


async def test_a_bare_client_trips_over_a_server_that_is_not_its_own() -> None:
    async with listening(says(response())) as server, aiohttp.ClientSession() as session:
        with (
            pytest.raises(AssertionError, match=str(server.port)),
            armed(),
            pytest.raises(aiohttp.ClientError),
        ):
            await session.get(f"{server.base}/")
        with armed() as wire:
            wire.own.add(server.place)
            async with session.get(f"{server.base}/") as answer:
                assert answer.status == 200
        assert wire.dialled == [server.place]
    assert len(server.requests) == 1
