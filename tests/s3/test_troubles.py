"""F09 and F10 on a real S3 server: whatever happens on the way, an object is whole or it is said that it is not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import pytest
from tests.chaos.object_store import Mood, Store, front
from tests.chaos.proxy import Proxy, Weather, proxying

from imagelane.ops.broker.server import free_port
from imagelane.platform import s3_store
from imagelane.platform.s3_store import S3Store, open_s3_client
from imagelane.platform.s3_uploads import PART_BYTES
from imagelane.platform.store import PUBLIC_CACHE_CONTROL, ObjectHeaders, StoreUnavailableError
from imagelane.platform.store_settings import StoreSettings
from imagelane.processor.public_look import PublicLook

JPEG: Final = ObjectHeaders("image/jpeg", PUBLIC_CACHE_CONTROL)
DATA: Final = os.urandom(200_000)
KEY: Final = "open/job/0/image.jpg"


@dataclass(frozen=True, slots=True)
class Road:
    """A store whose requests pass through what can fail, and the same store without it."""

    through: S3Store
    beside: S3Store
    front: Store


@pytest.fixture
async def road(deployment: StoreSettings) -> AsyncIterator[Road]:
    endpoint = str(deployment.s3.endpoint_url)
    async with front(free_port(), endpoint, {}) as store:
        failing = deployment.s3.model_copy(update={"endpoint_url": store.url})
        async with open_s3_client(failing) as one, open_s3_client(deployment.s3) as other:
            yield Road(S3Store(one, "results"), S3Store(other, "results"), store)


@pytest.mark.parametrize("size", [200_000, PART_BYTES + 1])
async def test_what_arrives_damaged_is_refused_and_arrives_with_the_next_attempt(
    road: Road, size: int
) -> None:
    data = os.urandom(size)
    road.front.set(Mood(damages="puts"))
    with pytest.raises(StoreUnavailableError):
        await road.through.put(f"damaged/{size}", data, JPEG)
    assert road.front.struck["damaged"]
    assert not await road.beside.exists(f"damaged/{size}")
    road.front.set(Mood())
    assert await road.through.put(f"damaged/{size}", data, JPEG)
    assert await road.beside.get(f"damaged/{size}") == data


async def test_what_comes_back_damaged_is_noticed(road: Road) -> None:
    await road.beside.put("read", DATA, JPEG)
    road.front.set(Mood(damages="gets"))
    with pytest.raises(StoreUnavailableError, match="checksum"):
        await road.through.get("read")
    with pytest.raises(StoreUnavailableError, match="checksum"):
        async with road.through.reading("read"):
            pytest.fail("no child may see this")
    road.front.set(Mood())
    assert await road.through.get("read") == DATA


@pytest.mark.parametrize(
    "mood",
    [
        Mood(status=503),
        Mood(status=500, code="InternalError"),
        Mood(status=403, code="AccessDenied"),
    ],
    ids=["slow-down", "broken", "forbidden"],
)
async def test_a_store_that_refuses_is_unavailable_and_no_object_is_missing(
    road: Road, mood: Mood
) -> None:
    await road.beside.put("there", DATA, JPEG)
    road.front.set(mood)
    for attempt in (
        road.through.put("new", DATA, JPEG),
        road.through.get("there"),
        road.through.exists("not/there"),
        road.through.delete("there"),
    ):
        with pytest.raises(StoreUnavailableError):
            await attempt
    road.front.set(Mood())
    assert await road.through.get("there") == DATA
    assert not await road.through.exists("new")


async def test_every_second_request_that_fails_is_made_again_at_once(road: Road) -> None:
    road.front.set(Mood(status=503, every=2))
    for number in range(10):
        await road.through.put(f"often/{number}", DATA, JPEG)
    assert road.front.struck["refused"]
    assert await road.through.get("often/9") == DATA


async def test_a_lost_answer_leaves_one_whole_object(road: Road) -> None:
    road.front.set(Mood(loses_answers=True, every=2))
    for number in range(6):
        await road.through.put(f"lost/{number}", DATA, JPEG)
    road.front.set(Mood())
    assert road.front.struck["lost"]
    for number in range(6):
        assert await road.beside.get(f"lost/{number}") == DATA


async def test_a_lost_answer_to_a_conditional_put_never_makes_two_winners(road: Road) -> None:
    road.front.set(Mood(loses_answers=True, every=2))
    contents = [bytes([number]) * 1_000 for number in range(8)]
    won = await asyncio.gather(
        *(road.through.put("race", one, JPEG, if_absent=True) for one in contents)
    )
    assert won.count(True) <= 1  # who lost the answer of its own success is told that it is taken
    found = await road.beside.get("race")
    assert found in contents
    if True in won:
        assert found == contents[won.index(True)]


async def test_what_can_be_read_late_is_waited_for(road: Road) -> None:
    await road.through.put(KEY, DATA, JPEG)
    url = f"{road.front.url}/results/{KEY}"
    road.front.set(Mood(hidden_seconds=1.5))
    await road.through.put(KEY, DATA, JPEG)
    async with PublicLook() as look:
        assert await look.trouble_with(url, size_bytes=len(DATA)) == "it answers 404"
        deadline = asyncio.get_running_loop().time() + 30
        while await look.trouble_with(url, size_bytes=len(DATA)):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.1)


async def test_a_slow_or_silent_way_ends_with_the_object_or_says_so(
    deployment: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "READ_SECONDS", 1)
    monkeypatch.setattr(s3_store, "ATTEMPTS", 1)
    port = int(str(deployment.s3.endpoint_url).rpartition(":")[2])
    async with proxying(port, free_port()) as proxy:
        slow = deployment.s3.model_copy(update={"endpoint_url": f"http://127.0.0.1:{proxy.port}"})
        async with open_s3_client(slow) as client:
            await _through_weather(proxy, S3Store(client, "results"))


async def _through_weather(proxy: Proxy, store: S3Store) -> None:
    await proxy.set(Weather(delay_seconds=0.05, bytes_per_second=2_000_000))
    assert await store.put("slow", DATA, JPEG)
    await proxy.set(Weather(mute=True))
    with pytest.raises(StoreUnavailableError):
        await store.get("slow")
    await proxy.set(Weather(refuse=True))
    proxy.reset_all()
    with pytest.raises(StoreUnavailableError):
        await store.get("slow")
    await proxy.calm()
    assert await store.get("slow") == DATA
