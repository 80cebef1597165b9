"""The proxy does to a connection what it is told, and nothing otherwise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from tests.chaos.proxy import HOST, Proxy, Weather, proxying

from imagelane.ops.broker.server import free_port


class Echo:
    """A server that answers each piece with `=` and the piece, and remembers what it has heard."""

    def __init__(self) -> None:
        self.heard = b""
        self.hearing = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1_000):
                async with self.hearing:
                    self.heard += data
                    self.hearing.notify_all()
                writer.write(b"=" + data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.serve, HOST, 0)
    upstream = server.sockets[0].getsockname()[1]
    port = free_port()
    async with server, proxying(upstream, port) as one:
        yield one


async def ask(proxy: Proxy, data: bytes, *, seconds: float = 5.0) -> bytes:
    """The answer; empty if the connection was reset."""
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(data)
    try:
        async with asyncio.timeout(seconds):
            return await reader.read(1_000)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def until_heard(echo: Echo, data: bytes) -> None:
    async with asyncio.timeout(30), echo.hearing:
        await echo.hearing.wait_for(lambda: echo.heard == data)


async def test_in_calm_weather_everything_passes(proxy: Proxy) -> None:
    assert await ask(proxy, b"hello") == b"=hello"


async def test_a_cut_answer_is_one_whose_request_arrived(proxy: Proxy, echo: Echo) -> None:
    await proxy.set(Weather(cut_answers=True))
    assert await ask(proxy, b"hello") == b""
    assert echo.heard == b"hello"
    assert proxy.cuts == 1


async def test_only_the_requests_that_are_named_are_cut(proxy: Proxy) -> None:
    await proxy.set(Weather(cut_answers=True, only=b"POST"))
    assert await ask(proxy, b"GET /") == b"=GET /"
    assert await ask(proxy, b"POST /") == b""


async def test_a_late_request_arrives_though_its_sender_has_gone(proxy: Proxy, echo: Echo) -> None:
    await proxy.set(Weather(late_seconds=0.5))
    with pytest.raises(TimeoutError):
        await ask(proxy, b"hello", seconds=0.1)
    assert echo.heard == b""
    await until_heard(echo, b"hello")


async def test_a_request_is_torn_after_so_many_bytes(proxy: Proxy, echo: Echo) -> None:
    await proxy.set(Weather(reset_after_bytes=4))
    assert await ask(proxy, b"good morning") == b""
    await asyncio.sleep(0.1)
    assert echo.heard in {b"good", b""}  # a reset may overtake what was sent


async def test_what_a_deaf_connection_holds_back_arrives_later(proxy: Proxy, echo: Echo) -> None:
    await proxy.set(Weather(deaf=True))
    asking = asyncio.create_task(ask(proxy, b"hello"))
    await asyncio.sleep(0.2)
    assert echo.heard == b""
    await proxy.calm()
    assert await asking == b"=hello"


async def test_a_mute_server_hears_and_is_not_heard(proxy: Proxy, echo: Echo) -> None:
    await proxy.set(Weather(mute=True))
    asking = asyncio.create_task(ask(proxy, b"hello"))
    await until_heard(echo, b"hello")
    assert not asking.done()
    await proxy.calm()
    assert await asking == b"=hello"


async def test_new_connections_are_refused_and_open_ones_reset(proxy: Proxy) -> None:
    await proxy.set(Weather(deaf=True))
    asking = asyncio.create_task(ask(proxy, b"hello"))
    await asyncio.sleep(0.1)
    await proxy.set(Weather(refuse=True))
    proxy.reset_all()
    assert await asking == b""
    assert await ask(proxy, b"hello") == b""


async def test_delay_and_bandwidth_cost_time_in_both_directions(proxy: Proxy) -> None:
    await proxy.set(Weather(delay_seconds=0.1, bytes_per_second=100.0))
    began = time.monotonic()
    assert await ask(proxy, b"0123456789") == b"=0123456789"
    assert time.monotonic() - began >= 0.4
