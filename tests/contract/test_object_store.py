"""One suite for every kind of object store: a directory, and S3 (moto's server, or a real one: `--s3-server`)."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.s3 import servers
from tests.s3.servers import required_versitygw

from imagelane.platform import s3_store, s3_uploads
from imagelane.platform.s3_store import open_s3_client
from imagelane.platform.store import (
    PUBLIC_CACHE_CONTROL,
    ObjectHeaders,
    ObjectMissingError,
    ObjectStore,
    StoreUnavailableError,
)
from imagelane.platform.store_settings import DestinationSettings, S3Settings, StoreSettings
from imagelane.platform.stores import DirectoryStore, Stores

JPEG = ObjectHeaders("image/jpeg", PUBLIC_CACHE_CONTROL)
PART_BYTES = s3_uploads.PART_BYTES
BUCKET = "results"
PRIVATE_BUCKET = "private"


@pytest.fixture(scope="module")
def s3_settings(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[S3Settings]:
    folder = tmp_path_factory.mktemp("s3")
    if pytestconfig.getoption("--s3-server", "moto") == "moto":
        server = servers.moto(folder)
    else:
        server = servers.real(required_versitygw(), folder)
    with server as settings:
        asyncio.run(_make_buckets(settings))
        yield settings


async def _make_buckets(settings: S3Settings) -> None:
    async with open_s3_client(settings) as client:
        await client.create_bucket(Bucket=BUCKET)
        await client.create_bucket(Bucket=PRIVATE_BUCKET)


@pytest.fixture
async def s3_client(s3_settings: S3Settings) -> AsyncIterator[Any]:
    async with open_s3_client(s3_settings) as client:
        yield client


@pytest.fixture(params=["directory", "s3"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, s3_settings: S3Settings
) -> AsyncIterator[ObjectStore]:
    base = "http://127.0.0.1/results"
    if request.param == "directory":
        settings = StoreSettings(
            private_directory=tmp_path / "private",
            destinations={
                "main": DestinationSettings(directory=tmp_path / "public", public_base_url=base)
            },
        )
    else:
        settings = StoreSettings(
            private_kind="s3",
            private_bucket=PRIVATE_BUCKET,
            private_prefix=f"{tmp_path.name}/",
            destinations={
                "main": DestinationSettings(kind="s3", bucket=BUCKET, public_base_url=base)
            },
            s3=s3_settings,
        )
    stores = await Stores.open(settings)
    yield stores.private
    await stores.close()


async def chunks_of(store: ObjectStore, key: str) -> list[bytes]:
    return [chunk async for chunk in store.stream(key)]


async def test_what_was_put_is_got_back(store: ObjectStore) -> None:
    assert await store.put("a/b/c.jpg", b"pixels", JPEG)
    assert await store.get("a/b/c.jpg") == b"pixels"
    assert await store.exists("a/b/c.jpg")


async def test_putting_again_replaces_the_object(store: ObjectStore) -> None:
    await store.put("a", b"one", JPEG)
    assert await store.put("a", b"two", JPEG)
    assert await store.get("a") == b"two"


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    await store.put("empty", b"", JPEG)
    assert await store.get("empty") == b""
    assert await chunks_of(store, "empty") == []
    async with store.reading("empty") as descriptor:
        assert os.read(descriptor, 1) == b""


async def test_a_conditional_put_leaves_the_first_object_alone(store: ObjectStore) -> None:
    assert await store.put("list", b"first", JPEG, if_absent=True)
    assert not await store.put("list", b"second", JPEG, if_absent=True)
    assert await store.get("list") == b"first"


async def test_a_race_of_conditional_puts_has_one_winner(store: ObjectStore) -> None:
    contents = [str(number).encode() for number in range(16)]
    won = await asyncio.gather(
        *(store.put("race", content, JPEG, if_absent=True) for content in contents)
    )
    assert won.count(True) == 1
    assert await store.get("race") == contents[won.index(True)]


async def test_a_missing_key_is_told_from_a_failing_store(store: ObjectStore) -> None:
    assert not await store.exists("nowhere/at/all")
    with pytest.raises(ObjectMissingError):
        await store.get("nowhere/at/all")
    with pytest.raises(ObjectMissingError):
        await chunks_of(store, "nowhere/at/all")
    with pytest.raises(ObjectMissingError):
        async with store.reading("nowhere/at/all"):
            pytest.fail("there is nothing to read")


async def test_deleting_is_done_once_and_harmless_twice(store: ObjectStore) -> None:
    await store.put("a/b", b"x", JPEG)
    await store.delete("a/b")
    await store.delete("a/b")
    assert not await store.exists("a/b")


async def keys_of(store: ObjectStore, prefix: str) -> list[str]:
    return [one.key async for one in store.list(prefix)]


async def test_a_listing_has_every_key_that_begins_so_in_their_order(store: ObjectStore) -> None:
    keys = ["a/b", "a/b-1", "a/b.c", "a/b/", "a/b/c/d", "a/b/c.e", "a/b0", "a/c", "ab", "b/a"]
    objects = [key for key in keys if not key.endswith(("a/b", "a/b/"))]
    for key in reversed(objects):
        await store.put(key, b"x", JPEG)
    assert await keys_of(store, "") == sorted(objects)
    assert await keys_of(store, "a/") == sorted(key for key in objects if key.startswith("a/"))
    for prefix in ("a/b", "a/b/", "a/b/c", "a", "b/a", "ab"):
        assert await keys_of(store, prefix) == sorted(
            key for key in objects if key.startswith(prefix)
        )


async def test_a_listing_of_nothing_is_empty(store: ObjectStore) -> None:
    await store.put("a/b", b"x", JPEG)
    assert await keys_of(store, "a/c") == []
    assert await keys_of(store, "nowhere/at/all/") == []
    assert await keys_of(store, "a/b/") == []


async def test_a_listing_tells_when_an_object_was_put(store: ObjectStore) -> None:
    await store.put("old", b"x", JPEG)
    (one,) = [one async for one in store.list("old")]
    age = datetime.now(UTC) - one.modified_at
    assert timedelta(seconds=-5) < age < timedelta(seconds=60)


@pytest.mark.parametrize("prefix", ["/", "..", "a/../b", "a//", "/a", ".partial"])
async def test_a_listing_below_no_key_is_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        await keys_of(store, prefix)


async def test_a_listing_and_a_deletion_may_have_several_pages(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "PAGE_OBJECTS", 10)
    keys = [f"many/{number:04}" for number in range(35)]
    await asyncio.gather(*(store.put(key, b"", JPEG) for key in keys))
    assert await keys_of(store, "many/") == keys
    await store.delete_folder("many")
    assert await keys_of(store, "") == []


async def test_a_folder_is_deleted_with_all_that_is_below_and_nothing_beside(
    store: ObjectStore,
) -> None:
    for key in ("job/1/a.jpg", "job/2/a.jpg", "job/list", "job-2/1/a.jpg", "jo", "job.mark"):
        await store.put(key, b"x", JPEG)
    await store.delete_folder("job")
    await store.delete_folder("job")
    assert await keys_of(store, "") == ["jo", "job-2/1/a.jpg", "job.mark"]
    await store.put("job/1/a.jpg", b"again", JPEG)
    assert await store.get("job/1/a.jpg") == b"again"


async def test_a_deleted_folder_leaves_no_empty_ones_behind(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    await store.put("results/job/1/a.jpg", b"x", JPEG)
    await store.delete_folder("results/job")
    assert [one.name for one in (tmp_path / "results").iterdir()] == []


async def test_a_directory_that_is_gone_is_no_empty_store(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "unmounted")
    with pytest.raises(StoreUnavailableError):
        await keys_of(store, "a/")
    with pytest.raises(StoreUnavailableError):
        await store.delete_folder("a")


async def test_a_neighbour_survives_a_deletion(store: ObjectStore) -> None:
    await store.put("job/1", b"one", JPEG)
    await store.put("job/2", b"two", JPEG)
    await store.delete("job/1")
    assert await store.get("job/2") == b"two"


async def test_writers_and_deleters_of_one_folder_do_not_meet(store: ObjectStore) -> None:
    async def come_and_go(number: int) -> None:
        for _ in range(5):
            await store.put(f"job/{number}", b"x", JPEG)
            await store.delete(f"job/{number}")

    await asyncio.gather(*(come_and_go(number) for number in range(8)))
    assert not await store.exists("job/0")


async def test_a_large_object_streams_in_chunks_of_at_most_a_mebibyte(store: ObjectStore) -> None:
    data = os.urandom(2_500_000)
    await store.put("large", data, JPEG)
    chunks = await chunks_of(store, "large")
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) <= 1 << 20
    assert await store.get("large") == data


@pytest.mark.parametrize("size", [PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 5_000])
async def test_an_object_of_any_size_is_whole_whichever_way_it_came(
    store: ObjectStore, size: int
) -> None:
    data = os.urandom(size)
    await store.put("put", data, JPEG)
    async with store.writing("written", JPEG) as descriptor:
        os.write(descriptor, data)
    assert await store.get("put") == data
    assert await store.get("written") == data


async def test_a_large_object_leaves_the_first_one_alone_as_well(store: ObjectStore) -> None:
    first, second = os.urandom(PART_BYTES + 1), os.urandom(PART_BYTES + 1)
    assert await store.put("list", first, JPEG, if_absent=True)
    assert not await store.put("list", second, JPEG, if_absent=True)
    assert await store.get("list") == first


async def test_reading_gives_a_descriptor_at_the_start(store: ObjectStore) -> None:
    await store.put("original", b"0123456789", JPEG)
    async with store.reading("original") as descriptor:
        before = os.fstat(descriptor)
        assert before.st_size == 10
        assert os.read(descriptor, 100) == b"0123456789"
    with suppress(OSError):  # it is closed; or its number is another file's by now
        assert not os.path.samestat(os.fstat(descriptor), before)


async def test_what_was_written_appears_only_at_the_end(store: ObjectStore) -> None:
    async with store.writing("job/0/image.jpg", JPEG) as descriptor:
        os.write(descriptor, b"pix")
        assert not await store.exists("job/0/image.jpg")
        os.write(descriptor, b"els")
    assert await store.get("job/0/image.jpg") == b"pixels"


async def write_and_fail(store: ObjectStore, key: str) -> None:
    async with store.writing(key, JPEG) as descriptor:
        os.write(descriptor, b"half an image")
        raise ZeroDivisionError


async def test_a_block_that_raises_stores_nothing(store: ObjectStore) -> None:
    with pytest.raises(ZeroDivisionError):
        await write_and_fail(store, "half")
    assert not await store.exists("half")


BAD_KEYS = (
    *("", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", ".hidden", "a/.b"),
    *("a b", "ä", "a\n", "a\\b", "a\0", "x" * 256, "a/" * 600 + "a"),
)


async def test_a_bad_key_is_refused_by_every_call(store: ObjectStore) -> None:
    for key in BAD_KEYS:
        with pytest.raises(ValueError, match="not a key"):
            await store.put(key, b"", JPEG)
        with pytest.raises(ValueError, match="not a key"):
            await store.get(key)
        with pytest.raises(ValueError, match="not a key"):
            await store.exists(key)
        with pytest.raises(ValueError, match="not a key"):
            await store.delete(key)
        with pytest.raises(ValueError, match="not a key"):
            await chunks_of(store, key)
        with pytest.raises(ValueError, match="not a key"):
            async with store.writing(key, JPEG):
                pytest.fail("nothing may be written there")


async def test_s3_keeps_content_type_and_cache_header(
    s3_settings: S3Settings, s3_client: Any
) -> None:
    stores = await Stores.open(
        StoreSettings(
            private_kind="s3",
            private_bucket=BUCKET,
            private_prefix="private/",
            destinations={
                "main": DestinationSettings(
                    kind="s3", bucket=BUCKET, prefix="out/", public_base_url="http://127.0.0.1/out"
                )
            },
            s3=s3_settings,
        )
    )
    async with stores.destination("main").writing("out/j/0/image.jpg", JPEG) as descriptor:
        os.write(descriptor, b"pixels")
    await stores.private.put("list", b"urls", ObjectHeaders("text/plain", "no-store"))
    await stores.close()
    head = await s3_client.head_object(Bucket=BUCKET, Key="out/j/0/image.jpg")
    assert (head["ContentType"], head["CacheControl"]) == ("image/jpeg", PUBLIC_CACHE_CONTROL)
    head = await s3_client.head_object(Bucket=BUCKET, Key="private/list")
    assert (head["ContentType"], head["CacheControl"]) == ("text/plain", "no-store")


async def test_a_bucket_that_is_not_there_is_named_at_the_start(
    s3_settings: S3Settings, tmp_path: Path
) -> None:
    settings = StoreSettings(
        private_kind="s3",
        private_bucket="never-made",
        destinations={
            "main": DestinationSettings(directory=tmp_path, public_base_url="http://127.0.0.1")
        },
        s3=s3_settings,
    )
    with pytest.raises(StoreUnavailableError, match=r"STORE__PRIVATE_BUCKET: .*never-made.* exist"):
        await Stores.open(settings)


async def test_an_s3_that_does_not_answer_is_unavailable(
    s3_settings: S3Settings, tmp_path: Path
) -> None:
    silent = s3_settings.model_copy(update={"endpoint_url": "http://127.0.0.1:9"})
    settings = StoreSettings(
        private_kind="s3",
        private_bucket=BUCKET,
        destinations={
            "main": DestinationSettings(directory=tmp_path, public_base_url="http://127.0.0.1")
        },
        s3=silent,
    )
    with pytest.raises(StoreUnavailableError, match="STORE__S3__ENDPOINT_URL"):
        await Stores.open(settings)


async def test_a_directory_that_vanished_is_unavailable_and_not_empty(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "unmounted")
    with pytest.raises(StoreUnavailableError):
        await store.get("a")
    with pytest.raises(StoreUnavailableError):
        await store.exists("a")
    with pytest.raises(StoreUnavailableError):
        await store.put("a", b"x", JPEG)


async def test_a_directory_store_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    store = DirectoryStore(root)
    assert not await store.exists("link")
    with pytest.raises(StoreUnavailableError):
        await store.get("link")


async def test_a_directory_store_that_waits_for_the_disk_stores_the_same(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path, fsync=True)
    await store.put("a/b", b"one", JPEG)
    async with store.writing("a/c", JPEG) as descriptor:
        os.write(descriptor, b"two")
    assert [await store.get(key) for key in ("a/b", "a/c")] == [b"one", b"two"]


async def test_a_directory_store_leaves_nothing_but_objects(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    await store.put("originals/job/1", b"x", JPEG)
    await store.put("originals/job/1", b"y", JPEG, if_absent=True)
    await store.put("originals/other/1", b"y", JPEG)
    with pytest.raises(ZeroDivisionError):
        await write_and_fail(store, "originals/job/2")
    await store.delete("originals/job/1")
    assert names_below(tmp_path) == {".partial", "originals", "job", "other", "1"}
    store.remove_empty_folders(before=0)
    assert "job" in names_below(tmp_path)
    store.remove_empty_folders(before=time.time() + 1)
    assert names_below(tmp_path) == {".partial", "originals", "other", "1"}
    await store.put("originals/job/3", b"z", JPEG)
    assert await store.get("originals/job/3") == b"z"


def names_below(folder: Path) -> set[str]:
    return {name for _, folders, files in os.walk(folder) for name in (*folders, *files)}


async def test_what_a_killed_writer_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    async with store.writing("slow", JPEG) as descriptor:
        os.write(descriptor, b"x")
        store.remove_leftovers(before=0)
    assert await store.exists("slow")
    await asyncio.to_thread((tmp_path / ".partial" / "left").touch)
    store.remove_leftovers(before=time.time() + 1)
    assert not await asyncio.to_thread((tmp_path / ".partial" / "left").exists)
