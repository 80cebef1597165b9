"""New credentials end a service in order; unusable ones do not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from imagelane.platform import rotation
from imagelane.platform.kafka_security import SecuritySettings

PATIENCE_SECONDS = 20.0


@pytest.fixture
def security(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecuritySettings:
    monkeypatch.setattr(rotation, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(rotation, "SPREAD_SECONDS", 0.02)
    (tmp_path / "password").write_text("the old one")
    return SecuritySettings(
        protocol="sasl_ssl", username="imagelane-intake", password_file=tmp_path / "password"
    )


async def test_a_new_password_ends_the_service_and_an_empty_file_only_warns(
    security: SecuritySettings,
) -> None:
    assert security.password_file is not None
    stop = asyncio.Event()
    with capture_logs() as said:
        watch = asyncio.create_task(rotation.end_when_changed(security, stop))
        await asyncio.sleep(0.1)
        security.password_file.write_text("")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(one["event"] == "credentials.unusable" for one in said):  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.01)
            assert not stop.is_set()
            security.password_file.write_text("the new one")
            await stop.wait()
        await watch
    assert "the new one" not in str(said)


async def test_files_that_stay_as_they_are_end_nothing(security: SecuritySettings) -> None:
    stop = asyncio.Event()
    watch = asyncio.create_task(rotation.end_when_changed(security, stop))
    await asyncio.sleep(0.2)
    assert not stop.is_set()
    assert not watch.done()
    watch.cancel()


async def test_plaintext_has_nothing_to_watch() -> None:
    await rotation.end_when_changed(SecuritySettings(), asyncio.Event())
