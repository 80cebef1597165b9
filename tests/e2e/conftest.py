"""Servers of images, running stacks, and what is left of them when a test fails."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from tests.conftest import ARTIFACTS
from tests.e2e.images import TINY_IMAGES, Images, serving
from tests.e2e.road import CACHE, SETTINGS, Road, started

from imagelane.ops.local import LocalOptions, Standin
from imagelane.ops.photos import make_tiny

SLOW_SECONDS: Final = 0.2
SWEPT: Final = {
    "IMAGELANE_BATCHER__SWEEP_AFTER_SECONDS": "4",
    "IMAGELANE_BATCHER__RESEND_AFTER_SECONDS": "4",
    "IMAGELANE_INTAKE__SWEEP_CHECK_SECONDS": "0.2",
    "IMAGELANE_INTAKE__TIDY_EVERY_SECONDS": "6",
}
NOTES: Final = pytest.StashKey[list[str]]()
KEPT: Final = pytest.StashKey[set[Path]]()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    folder = tmp_path_factory.mktemp("images")
    make_tiny(folder, TINY_IMAGES)
    (folder / "lists").mkdir()
    with serving(folder, 0.0) as url, serving(folder, SLOW_SECONDS) as slow_url:
        yield Images(url, slow_url, folder)


@pytest.fixture
def data(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The data folder of a stack of one's own; it is kept if the test fails."""
    yield from _data_folder(request.node.name, request.config)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[Road]:
    """The stack of all tests that do not need one of their own, with the sweep switched off."""
    for folder in _data_folder("shared", request.config):
        environment = SETTINGS | {
            "IMAGELANE_DISPATCHER__ALLOW_FAILPOINTS": "true",
            "IMAGELANE_DISPATCHER__FAILPOINT": "after_resolve",
            "IMAGELANE_DISPATCHER__FAILPOINT_MARKER": str(folder / "failpoint"),
        }
        (folder / "failpoint").touch()  # as if it had worked already; a test takes it away
        async with started(options_at(folder, environment=environment)) as road:
            yield road


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def swept(request: pytest.FixtureRequest) -> AsyncIterator[Road]:
    """A stack on which records are dropped on purpose, with everything that brings them back."""
    for folder in _data_folder("swept", request.config):
        async with started(options_at(folder, environment=SETTINGS | SWEPT)) as road:
            yield road


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def secured(request: pytest.FixtureRequest) -> AsyncIterator[Road]:
    """A stack whose broker knows every service by a password, and lets it do what it is there for."""
    for folder in _data_folder("secured", request.config):
        async with started(options_at(folder, kafka_security="scram")) as road:
            yield road


@pytest_asyncio.fixture(loop_scope="session")
async def road(shared: Road) -> AsyncIterator[Road]:
    """The shared stack. Only what the test kills may have died when it ends."""
    before = Counter(shared.stack.supervisor.starts)
    shared.killed.clear()
    yield shared
    died = Counter(shared.stack.supervisor.starts) - before - shared.killed
    assert not died, f"{died} died by themselves\n{shared.state()}"


@pytest.fixture
def notes(request: pytest.FixtureRequest) -> list[str]:
    """Figures to be shown at the end of the session."""
    return request.config.stash.setdefault(NOTES, [])


def options_at(data: Path, **options: Any) -> LocalOptions:
    """A stack whose batch API answers quickly and is patient with a gateway that starts again."""
    patience = ("--fetch-patience-seconds", "60")
    return LocalOptions(
        data=data,
        cache=CACHE,
        loopback_sources=True,
        standin=Standin(base_seconds=0.8, per_url_seconds=0.0005, arguments=patience),
        **({"environment": SETTINGS} | options),
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stacks of one's own come first, so that the shared one does not stand beside them."""
    items.sort(key=lambda item: "shared" in getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        funcargs: dict[str, Any] = getattr(item, "funcargs", {})
        roads = [_data_of(funcargs.get(name)) for name in ("shared", "swept", "secured")]
        folders = [one for one in (funcargs.get("data"), *roads) if one]
        item.config.stash.setdefault(KEPT, set()).update(folders)
        for folder in folders:
            report.sections.append(("data, logs and journal", str(folder)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for note in terminalreporter.config.stash.get(NOTES, []):
        terminalreporter.write_line(note)


def _data_of(road: Road | None) -> Path | None:
    return None if road is None else road.stack.options.data


def _data_folder(name: str, config: pytest.Config) -> Iterator[Path]:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=ARTIFACTS))
    yield folder
    if folder not in config.stash.get(KEPT, set()):
        shutil.rmtree(folder)
