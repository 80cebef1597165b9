"""Real decode children: what hits one costs exactly the image in its hands, and they hold no more than that."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image, ImageCms
from tests.waiting import eventually

from imagelane.core.failures import Code
from imagelane.core.image_formats import ImageFormat
from imagelane.core.recipes import RECIPES
from imagelane.processor import messages
from imagelane.processor.decode_process import (
    ChildFailedError,
    ChildStartError,
    ChildTimedOutError,
    DecodeProcess,
)
from imagelane.processor.decoders import DecoderPolicy, Decoders
from imagelane.processor.settings import ProcessorSettings

SETTINGS = ProcessorSettings(
    children=1, max_scans=10_000, wall_seconds=20, formats=frozenset(ImageFormat)
)
POLICY = SETTINGS.decoders()
REQUEST = messages.encode(messages.Request(RECIPES["default"].outputs, SETTINGS.limits()))
MADE = messages.Made([(64, 48)])


def saved(image: Image.Image, image_format: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


PHOTO = saved(Image.effect_noise((64, 48), 80).convert("RGB"), "JPEG")


@asynccontextmanager
async def running(policy: DecoderPolicy) -> AsyncIterator[Decoders]:
    decoders = Decoders(policy)
    task = asyncio.create_task(decoders.run())
    try:
        await eventually(lambda: len(decoders.running) == policy.children)
        yield decoders
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def decode(
    decoders: Decoders, data: bytes = PHOTO, *, fresh: bool = False
) -> messages.Answer:
    source, target = os.memfd_create("source"), os.memfd_create("target")
    try:
        os.write(source, data)
        answer = await decoders.decode(REQUEST, [source, target], fresh=fresh)
        assert isinstance(answer, messages.Made) == (os.fstat(target).st_size > 0)
        return answer
    finally:
        os.close(source)
        os.close(target)


def pids(decoders: Decoders) -> set[int]:
    return {child.process.pid for child in decoders.running}


def is_stopped(pid: int) -> bool:
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "T"


async def hold(pid: int) -> None:
    """Stops the child, so that what it is handed next stays in its hands."""
    os.kill(pid, signal.SIGSTOP)
    await eventually(lambda: is_stopped(pid))


async def test_an_image_is_made() -> None:
    async with running(POLICY) as decoders:
        assert await decode(decoders) == MADE


async def test_an_image_at_fault_costs_no_child() -> None:
    async with running(POLICY) as decoders:
        before = pids(decoders)
        assert await decode(decoders, b"no image") == messages.Refused(Code.NOT_AN_IMAGE)
        assert await decode(decoders, PHOTO[:1000]) == messages.Refused(Code.CORRUPT)
        assert pids(decoders) == before


def lab_with_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    return saved(Image.new("LAB", (64, 48)), "TIFF", icc_profile=profile)


async def test_a_child_that_may_open_no_file_decodes_everything() -> None:
    plain = Image.new("RGB", (64, 48))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    other = srgb.replace("sRGB".encode("utf-16be"), "Test".encode("utf-16be"))
    images = [
        *(saved(plain, name.value) for name in ImageFormat),
        *(saved(plain, name, icc_profile=other) for name in ("JPEG", "PNG", "WEBP", "AVIF")),
        saved(plain, "MPO", save_all=True, append_images=[plain]),
        saved(plain, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\x01\x02", comment=b"x"),
        saved(Image.new("CMYK", (64, 48)), "JPEG"),
        saved(Image.new("I;16", (64, 48)), "PNG"),
        saved(Image.new("F", (64, 48)), "TIFF"),
        saved(Image.new("P", (64, 48)), "PNG", transparency=b"\0\x80"),
        lab_with_profile(),
    ]
    async with running(POLICY) as decoders:
        before = pids(decoders)
        assert [await decode(decoders, image) for image in images] == [MADE] * len(images)
        assert pids(decoders) == before


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_a_crash_costs_exactly_the_image_in_its_hands(ending: signal.Signals) -> None:
    async with running(replace(POLICY, children=2)) as decoders:
        victim, survivor = pids(decoders)
        await hold(victim)
        await hold(survivor)
        tries = [asyncio.create_task(decode(decoders)) for _ in range(10)]
        await eventually(lambda: all(child.images for child in decoders.running))
        os.kill(victim, ending)
        for pid in (victim, survivor):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert results.count(MADE) == 9
        (failed,) = (one for one in results if isinstance(one, BaseException))
        assert isinstance(failed, ChildFailedError)
        assert failed.code == Code.PROCESSING_CRASH
        await eventually(lambda: len(pids(decoders)) == 2)
        assert survivor in pids(decoders)


async def test_a_hang_ends_by_the_clock() -> None:
    async with running(replace(POLICY, wall_seconds=0.3)) as decoders:
        (pid,) = pids(decoders)
        await hold(pid)
        with pytest.raises(ChildTimedOutError):
            await decode(decoders)
        assert not (Path("/proc") / str(pid)).exists()
    async with running(POLICY) as decoders:
        assert await decode(decoders) == MADE


@pytest.mark.slow
async def test_a_bomb_of_scans_that_was_let_through_ends_by_cpu_time() -> None:
    data = saved(Image.new("RGB", (4000, 4000), (9, 99, 200)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    bomb = data[:-2] + last * 9_000 + data[-2:]
    confinement = msgspec.structs.replace(POLICY.confinement, cpu_seconds=1)
    async with running(replace(POLICY, confinement=confinement)) as decoders:
        with pytest.raises(ChildTimedOutError) as failed:
            await decode(decoders, bomb)
        assert failed.value.code == Code.PROCESSING_TIMEOUT
        assert await decode(decoders) == MADE


async def test_a_child_that_died_idle_costs_no_image() -> None:
    async with running(POLICY) as decoders:
        (child,) = decoders.running
        os.kill(child.process.pid, signal.SIGKILL)
        await child.process.wait()
        assert await decode(decoders) == MADE


async def test_a_child_is_replaced_after_its_number_of_images() -> None:
    async with running(replace(POLICY, images_per_child=3)) as decoders:
        seen: list[int] = []
        for _ in range(7):
            await eventually(lambda: any(child.images < 3 for child in decoders.running))
            seen.append(*pids(decoders))
            assert await decode(decoders) == MADE
        assert [seen.count(pid) for pid in dict.fromkeys(seen)] == [3, 3, 1]


async def test_a_second_try_gets_a_child_that_has_done_nothing_yet() -> None:
    async with running(replace(POLICY, children=2)) as decoders:
        used = pids(decoders)
        await asyncio.gather(*(decode(decoders) for _ in range(20)))
        assert all(child.images for child in decoders.running)
        assert await decode(decoders, fresh=True) == MADE
        await eventually(lambda: len(decoders.running) == 2)
        assert len(pids(decoders) - used) == 1


async def test_second_tries_and_first_ones_do_not_block_each_other() -> None:
    async with running(replace(POLICY, children=2)) as decoders:
        results = await asyncio.gather(
            *(decode(decoders, fresh=number % 5 == 0) for number in range(25))
        )
        assert results == [MADE] * 25


async def test_an_image_that_was_given_up_while_it_waited_is_left_out() -> None:
    async with running(POLICY) as decoders:
        (child,) = decoders.running
        await hold(child.process.pid)
        first = asyncio.create_task(decode(decoders))
        second = asyncio.create_task(decode(decoders))
        await eventually(lambda: child.images == 1)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        os.kill(child.process.pid, signal.SIGCONT)
        assert await first == MADE
        assert await decode(decoders) == MADE
        assert child.images == 2


async def test_a_full_disk_is_told_as_the_stores_fault() -> None:
    source, full = os.memfd_create("source"), os.open("/dev/full", os.O_RDWR)
    os.write(source, PHOTO)
    async with running(POLICY) as decoders:
        answer = await decoders.decode(REQUEST, [source, full])
    os.close(source)
    os.close(full)
    assert isinstance(answer, messages.Unwritable)
    assert "No space left" in answer.reason


async def test_nonsense_is_the_end_of_the_child_and_its_last_words_are_kept() -> None:
    async with running(POLICY) as decoders:
        before = pids(decoders)
        with pytest.raises(ChildFailedError, match="msgspec"):
            await decoders.decode(b"\xc1", [])
        assert await decode(decoders) == MADE
        assert not pids(decoders) & before


async def test_a_child_holds_no_secret_no_file_and_no_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMAGELANE_STORE__S3__ACCESS_KEY_ID", "secret")
    async with running(POLICY) as decoders:
        await decode(decoders)
        (child,) = decoders.running
        proc = Path("/proc") / str(child.process.pid)
        environment = (proc / "environ").read_text()  # glibc splits its own variable in place
        assert "secret" not in environment
        assert all(
            one.startswith(("GLIBC_TUNABLES=", "glibc.malloc.", "OMP_NUM_THREADS=", "LC_CTYPE="))
            for one in environment.split("\0")
            if one
        )
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
        assert status["NoNewPrivs"] == "1"
        limits = (proc / "limits").read_text()
        for name, limit in (
            ("Max address space", SETTINGS.memory_bytes),
            ("Max file size", SETTINGS.max_output_bytes),
            ("Max core file size", 0),
            ("Max processes", 0),
            ("Max open files", 32),
        ):
            (line,) = (one for one in limits.splitlines() if one.startswith(name))
            assert line.removeprefix(name).split()[:2] == [str(limit)] * 2
        held = sorted(str(one.readlink()) for one in (proc / "fd").iterdir())
        assert held[:2] == ["/dev/null"] * 2
        assert [one.partition(":")[0] for one in held[2:]] == ["socket"]
        if "network namespace" in child.walls:
            devices = (proc / "net" / "dev").read_text().splitlines()[2:]
            assert [line.partition(":")[0].strip() for line in devices] == ["lo"]


async def test_a_child_ends_when_its_parent_hangs_up() -> None:
    child = await DecodeProcess.start(POLICY.confinement)
    child.channel.close()
    async with asyncio.timeout(30):
        assert await child.process.wait() == 0


async def test_a_child_that_cannot_start_is_told_from_one_that_crashed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    confinement = msgspec.structs.replace(POLICY.confinement, output_bytes="much")
    with pytest.raises(ExceptionGroup) as group:
        await Decoders(replace(POLICY, confinement=confinement)).run()
    assert group.group_contains(ChildStartError, match="did not become ready")
    capfd.readouterr()
