"""The journal, and a stand-in that starts again from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.standin.conftest import Start

from imagelane.standin.journal import BrokenJournalError, Journal, read
from imagelane.standin.timeline import timeline

BODY = {"customer": "acme", "urls": ["http://127.0.0.1/1.jpg"], "reference": "r-1"}


async def test_the_journal_tells_a_calls_whole_story(start: Start) -> None:
    async with start() as api:
        _, batch = await api.post(BODY, key="k")
        await api.ended(batch["id"])
        entries = read(api.journal_path)
        story = [one["kind"] for one in entries if one.get("method") != "GET"]
        assert story[:4] == ["started", "request", "accepted", "answer"]
        [request] = [one for one in entries if one.get("method") == "POST"]
        [accepted], [finished] = api.entries("accepted"), api.entries("finished")
        assert (request["key"], request["customer"], request["count"]) == ("k", "acme", 1)
        assert request["digest"] == accepted["digest"]
        assert accepted["urls"] == BODY["urls"]
        assert (finished["batch"], finished["status"]) == (batch["id"], "completed")
        assert finished["monotonic"] > accepted["monotonic"]


async def test_urls_are_written_once(start: Start) -> None:
    async with start() as api:
        for _ in range(3):
            await api.post(BODY, key="k")
        assert api.journal_path.read_text().count("http://127.0.0.1/1.jpg") == 1


async def test_after_a_restart_finished_batches_are_known_and_active_ones_go_on(
    start: Start,
) -> None:
    async with start() as api:
        _, done = await api.post(BODY, key="k-1")
        done = await api.ended(done["id"])
        await api.order(never_end=True)
        _, active = await api.post({**BODY, "reference": "r-2"}, key="k-2")
    async with start() as api:
        assert (await api.get(f"/{done['id']}"))[1] == done
        assert (await api.post({**BODY, "reference": "r-2"}, key="k-2"))[1] == active
        assert (await api.ended(active["id"]))["status"] == "completed"
        _, listed = await api.get("", customer="acme")
        assert [one["id"] for one in listed["batches"]] == [active["id"], done["id"]]
        assert len(api.entries("finished")) == 2


def test_a_line_that_a_kill_cut_off_never_happened(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.write("started", level="A", fetch="get")
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"kind": "accep')
    assert [one["kind"] for one in read(path)] == ["started"]
    journal = Journal(path)
    journal.write("started", level="B", fetch="get")
    journal.close()
    assert [one["level"] for one in read(path)] == ["A", "B"]


def test_a_broken_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"kind": "started"}\nnonsense\n{"kind": "started"}\n')
    with pytest.raises(BrokenJournalError, match="line 2"):
        read(path)


async def test_the_timeline_gives_each_customers_calls_with_the_idle_time_before(
    start: Start,
) -> None:
    async with start() as api:
        for _ in range(2):
            _, batch = await api.post(BODY)
            await api.ended(batch["id"])
        await api.order(never_end=True)
        await api.post({**BODY, "customer": "other"})
        spans = timeline(read(api.journal_path))
    first, second = spans["acme"]
    assert first.end_seconds is not None
    assert second.end_seconds is not None
    assert first.end_seconds - first.start_seconds >= 0.02
    assert first.idle_seconds is None
    assert second.idle_seconds == pytest.approx(second.start_seconds - first.end_seconds)
    assert (second.images, second.failed, second.status) == (1, 0, "completed")
    [open_call] = spans["other"]
    assert (open_call.end_seconds, open_call.status) == (None, "active")


def test_an_empty_journal_has_an_empty_timeline() -> None:
    assert timeline([]) == {}
