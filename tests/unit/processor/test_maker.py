"""One image between the store and a decode child, on a directory and on S3 (moto's server on loopback)."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import cast

import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from imagelane.contracts.parts import Failure
from imagelane.core.destinations import Destination
from imagelane.core.failures import Code
from imagelane.core.recipes import RECIPES
from imagelane.platform.s3_store import S3Store, open_s3_client
from imagelane.platform.store import (
    ObjectHeaders,
    ObjectMissingError,
    ObjectStore,
    StoreUnavailableError,
)
from imagelane.platform.store_settings import S3Settings
from imagelane.platform.stores import DirectoryStore, Stores
from imagelane.processor import maker, messages
from imagelane.processor.core.work import ImageWork
from imagelane.processor.decode_process import ChildFailedError, ChildTimedOutError
from imagelane.processor.decoders import Decoders
from imagelane.processor.maker import ImageMaker
from imagelane.processor.settings import ProcessorSettings

JOB = "a" * 32
KEY = f"originals/{JOB}/0"
RESULT = f"{JOB}/0/image.jpg"
HEADERS = ObjectHeaders("application/octet-stream", "no-store")
DESTINATION = Destination("main", "", "https://cdn.example")
WORK = ImageWork(JOB, 0, KEY, RECIPES["default"], DESTINATION)
SETTINGS = ProcessorSettings(children=1)
BUCKET = "bucket"


def photo() -> bytes:
    file = BytesIO()
    Image.effect_noise((64, 48), 80).convert("RGB").save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Settings]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    secret = tmp_path_factory.mktemp("secret") / "secret"
    secret.write_text("made-up")
    yield S3Settings(
        endpoint_url=f"http://{host}:{port}",
        access_key_id="made-up",
        secret_access_key_file=secret,
        path_style=True,
    )
    server.stop()


@pytest.fixture(params=["directory", "s3"])
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path, s3: S3Settings
) -> AsyncIterator[Stores]:
    if request.param == "directory":
        private, public = tmp_path / "private", tmp_path / "public"
        private.mkdir()
        public.mkdir()
        yield Stores(DirectoryStore(private), {"main": DirectoryStore(public)})
        return
    async with open_s3_client(s3) as client:
        await client.create_bucket(Bucket=BUCKET)
        yield Stores(
            S3Store(client, BUCKET, prefix=f"{tmp_path.name}/private/"),
            {"main": S3Store(client, BUCKET, prefix=f"{tmp_path.name}/public/")},
        )


@dataclass
class FakeDecoders:
    """Answers as it is told, one try after the other."""

    answers: list[messages.Answer | Exception]
    fresh: list[bool] = field(default_factory=list)

    async def decode(
        self, request: bytes, descriptors: Sequence[int], *, fresh: bool = False
    ) -> messages.Answer:
        assert messages.decode_request(request).outputs == WORK.recipe.outputs
        self.fresh.append(fresh)
        os.write(descriptors[1], b"half a result")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class FailingStore:
    """A store that is away for its first `failures` writes."""

    store: ObjectStore
    failures: int

    def writing(self, key: str, headers: ObjectHeaders) -> object:
        self.failures -= 1
        if self.failures >= 0:
            raise StoreUnavailableError("away")
        return self.store.writing(key, headers)


def image_maker(stores: Stores, decoders: FakeDecoders | Decoders) -> ImageMaker:
    return ImageMaker(stores, cast(Decoders, decoders), SETTINGS.limits())


def code_of(outcome: object) -> str:
    assert isinstance(outcome, Failure)
    return outcome.code


async def test_a_real_child_makes_what_the_store_then_holds(stores: Stores) -> None:
    decoders = Decoders(SETTINGS.decoders())
    running = asyncio.create_task(decoders.run())
    await stores.private.put(KEY, photo(), HEADERS)
    outputs = await image_maker(stores, decoders).make(WORK)
    assert not isinstance(outputs, Failure)
    data = await stores.destination("main").get(RESULT)
    assert [(one.width, one.height, one.size_bytes) for one in outputs] == [(64, 48, len(data))]
    assert Image.open(BytesIO(data)).size == (64, 48)

    await stores.destination("main").delete(RESULT)
    await stores.private.put(KEY, photo()[:1000], HEADERS)
    assert code_of(await image_maker(stores, decoders).make(WORK)) == Code.CORRUPT
    assert not await stores.destination("main").exists(RESULT)

    await stores.private.delete(KEY)
    with pytest.raises(ObjectMissingError):
        await image_maker(stores, decoders).make(WORK)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_crash_is_tried_once_more_in_a_fresh_child(stores: Stores) -> None:
    await stores.private.put(KEY, photo(), HEADERS)
    decoders = FakeDecoders([ChildFailedError("SIGSEGV"), messages.Made([(1, 1)])])
    outcome = await image_maker(stores, decoders).make(WORK)
    assert not isinstance(outcome, Failure)
    assert decoders.fresh == [False, True]
    assert await stores.destination("main").get(RESULT) == b"half a result"


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (ChildFailedError("SIGSEGV"), Code.PROCESSING_CRASH),
        (ChildTimedOutError("no answer"), Code.PROCESSING_TIMEOUT),
    ],
)
async def test_two_crashes_fail_the_image_and_store_nothing(
    stores: Stores, second: Exception, code: Code
) -> None:
    await stores.private.put(KEY, photo(), HEADERS)
    decoders = FakeDecoders([ChildFailedError("SIGSEGV"), second])
    assert code_of(await image_maker(stores, decoders).make(WORK)) == code
    assert not await stores.destination("main").exists(RESULT)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker, "STORE_WAITS_SECONDS", (0.01, 0.01))


def away(stores: Stores, failures: int) -> Stores:
    public = FailingStore(stores.destination("main"), failures)
    return Stores(stores.private, {"main": cast(ObjectStore, public)})


@pytest.mark.usefixtures("short_waits")
async def test_a_store_that_is_away_for_a_while_is_waited_for(stores: Stores) -> None:
    await stores.private.put(KEY, photo(), HEADERS)
    decoders = FakeDecoders([messages.Unwritable("disk full"), messages.Made([(1, 1)])])
    outcome = await image_maker(away(stores, 1), decoders).make(WORK)
    assert not isinstance(outcome, Failure)


@pytest.mark.usefixtures("short_waits")
async def test_a_store_that_stays_away_is_no_images_fault(stores: Stores) -> None:
    await stores.private.put(KEY, photo(), HEADERS)
    with pytest.raises(StoreUnavailableError):
        await image_maker(away(stores, 99), FakeDecoders([])).make(WORK)
