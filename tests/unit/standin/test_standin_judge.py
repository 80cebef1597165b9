"""The judge finds and names every kind of broken promise in histories made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagelane.standin import journal
from imagelane.standin.judge import Expected, judge, main, table


class Story:
    """Writes a journal's entries by hand, an hour apart: only their order may matter."""

    def __init__(self, *, fetch: str = "get") -> None:
        self.entries: list[journal.Entry] = []
        self._add("started", level="A", fetch=fetch)

    def _add(self, kind: str, **fields: Any) -> None:
        now = 3600.0 * len(self.entries)
        self.entries.append({"kind": kind, "wall": now, "monotonic": now, **fields})

    def attempt(self, status: int, *, key: str = "k", digest: str = "d") -> Story:
        number = len(self.entries)
        self._add("request", request=number, method="POST", path="/", key=key, digest=digest)
        self._add("answer", request=number, status=status)
        return self

    def begin(self, batch: str, customer: str, *urls: str) -> Story:
        self._add("accepted", batch=batch, customer=customer, key=batch, urls=list(urls))
        return self

    def end(self, batch: str, *failed: tuple[int, str], status: str = "", cause: str = "") -> Story:
        urls = next(one["urls"] for one in self.entries if one.get("batch") == batch)
        items = [
            {"place": place, "url": urls[place], "reason": reason, "cause": cause or "injected"}
            for place, reason in failed
        ]
        right = "partial" if items else "completed"
        right = "failed" if len(items) == len(urls) else right
        self._add("finished", batch=batch, status=status or right, failed=items, bytes=0)
        return self


def good() -> Story:
    """Two customers at the same time, a call after the other, a failed item that came again."""
    return (
        Story()
        .attempt(202, key="k-1", digest="d-1")
        .begin("b-1", "acme", "u-1", "u-2")
        .begin("b-2", "other", "u-9")
        .attempt(202, key="k-1", digest="d-1")
        .end("b-1", (1, "injected"))
        .begin("b-3", "acme", "u-2", "u-3")
        .end("b-3", (1, "injected"))
        .end("b-2")
    )


GOOD = Expected(
    expected={"acme": ["u-1", "u-2", "u-3", "u-4"], "other": ["u-9"]},
    failed={"acme": ["u-3", "u-4"]},
)


def test_a_good_history_is_kept_in_every_promise() -> None:
    verdict = judge(good().entries, GOOD)
    assert verdict.kept
    assert [one.word for one in verdict.promises] == ["kept"] * 5
    assert (verdict.calls, verdict.customers, verdict.delivered) == (3, 2, 3)
    assert (verdict.failed_items, verdict.unfinished, verdict.attempts) == (2, 0, 2)


BAD: dict[str, tuple[Callable[[], Story], Expected, set[str]]] = {
    "a second call while the first is active": (
        lambda: Story().begin("b-1", "acme", "u").begin("b-2", "acme", "v").end("b-1").end("b-2"),
        Expected(expected={"acme": ["u", "v"]}),
        {"overlap"},
    ),
    "a second call just before the first ends": (
        lambda: good().begin("b-4", "other", "w").begin("b-5", "other", "x").end("b-4").end("b-5"),
        Expected(
            expected={**GOOD.expected, "other": ["u-9", "w", "x"]},
            failed=GOOD.failed,
        ),
        {"overlap"},
    ),
    "a call behind one that never ends": (
        lambda: Story().begin("b-1", "acme", "u").begin("b-2", "acme", "v").end("b-2"),
        Expected(expected={"acme": ["u", "v"]}),
        {"overlap", "unfinished"},
    ),
    "an image in no call": (
        lambda: Story().begin("b-1", "acme", "u").end("b-1"),
        Expected(expected={"acme": ["u", "v"]}),
        {"lost"},
    ),
    "no call at all": (Story, Expected(expected={"acme": ["u"]}), {"lost"}),
    "an image that failed in its call and was never recorded": (
        lambda: Story().begin("b-1", "acme", "u", "v").end("b-1", (1, "no")),
        Expected(expected={"acme": ["u", "v"]}),
        {"lost"},
    ),
    "a call that failed as a whole and was forgotten": (
        lambda: Story().begin("b-1", "acme", "u", "v").end("b-1", (0, "no"), (1, "no")),
        Expected(expected={"acme": ["u", "v"]}),
        {"lost"},
    ),
    "an image both delivered and recorded as a failure": (
        lambda: Story().begin("b-1", "acme", "u").end("b-1"),
        Expected(expected={"acme": ["u"]}, failed={"acme": ["u"]}),
        {"delivered_and_failed"},
    ),
    "an image that nobody handed in": (
        lambda: Story().begin("b-1", "acme", "u", "stray").end("b-1"),
        Expected(expected={"acme": ["u"]}),
        {"unexpected"},
    ),
    "an image delivered for another customer": (
        lambda: Story().begin("b-1", "other", "u").end("b-1"),
        Expected(expected={"acme": ["u"]}),
        {"lost", "unexpected"},
    ),
    "a call that never ended": (
        lambda: Story().begin("b-1", "acme", "u"),
        Expected(expected={"acme": ["u"]}),
        {"unfinished"},
    ),
    "an image in two completed calls": (
        lambda: Story().begin("b-1", "acme", "u").end("b-1").begin("b-2", "acme", "u").end("b-2"),
        Expected(expected={"acme": ["u"]}),
        {"doubled"},
    ),
    "an image in a completed call and in the taken part of a partial one": (
        lambda: (
            Story()
            .begin("b-1", "acme", "u", "v")
            .end("b-1", (1, "no"))
            .begin("b-2", "acme", "u", "v")
            .end("b-2")
        ),
        Expected(expected={"acme": ["u", "v"]}),
        {"doubled"},
    ),
    "an image twice in one call": (
        lambda: Story().begin("b-1", "acme", "u", "u").end("b-1"),
        Expected(expected={"acme": ["u"]}),
        {"doubled"},
    ),
    "an image in a completed call and in one that still runs": (
        lambda: Story().begin("b-1", "acme", "u").end("b-1").begin("b-2", "acme", "u"),
        Expected(expected={"acme": ["u"]}),
        {"doubled"},
    ),
    "one key with two bodies": (
        lambda: good().attempt(202, key="k-7", digest="x").attempt(422, key="k-7", digest="y"),
        GOOD,
        {"key_reused"},
    ),
    "an image that could not be read while its call was active": (
        lambda: Story().begin("b-1", "acme", "u", "v").end("b-1", (1, "status 404"), cause="fetch"),
        Expected(expected={"acme": ["u", "v"]}, failed={"acme": ["v"]}),
        {"unreadable"},
    ),
    "a call that ended twice": (
        lambda: Story().begin("b-1", "acme", "u").end("b-1").end("b-1"),
        Expected(expected={"acme": ["u"]}),
        {"finished_twice"},
    ),
    "a call that ended without a beginning": (
        lambda: _without_beginning(good()),
        Expected(expected={"acme": ["u-2"]}, failed={"acme": ["u-1", "u-3"], "other": ["u-9"]}),
        {"finished_unknown"},
    ),
    "a call accepted twice": (
        lambda: Story().begin("b-1", "acme", "u").begin("b-1", "acme", "u").end("b-1"),
        Expected(expected={"acme": ["u"]}),
        {"accepted_twice"},
    ),
    "a call that says completed though an item failed": (
        lambda: Story().begin("b-1", "acme", "u", "v").end("b-1", (1, "no"), status="completed"),
        Expected(expected={"acme": ["u", "v"]}, failed={"acme": ["v"]}),
        {"status_contradicts"},
    ),
}


def _without_beginning(story: Story) -> Story:
    story.entries = [
        one
        for one in story.entries
        if not (one["kind"] == "accepted" and one["batch"] in {"b-1", "b-2"})
    ]
    return story


@pytest.mark.parametrize("case", BAD)
def test_a_bad_history_is_found_and_named(case: str) -> None:
    story, expected, names = BAD[case]
    verdict = judge(story().entries, expected)
    assert not verdict.kept
    assert verdict.broken() == names


def test_an_overlap_is_found_without_knowing_what_was_expected() -> None:
    story, _, _ = BAD["a second call while the first is active"]
    assert judge(story().entries).broken() == {"overlap"}


def test_clocks_do_not_matter_only_the_order_of_the_entries() -> None:
    entries = good().entries
    for entry in entries:
        entry["monotonic"] = entry["wall"] = 0.0
    assert judge(entries, GOOD).kept


def test_promises_that_cannot_be_checked_are_not_called_kept() -> None:
    verdict = judge(Story(fetch="none").begin("b-1", "acme", "u").end("b-1").entries)
    words = {one.name: one.word for one in verdict.promises}
    assert (words["I2"], words["I5"]) == ("not checked", "not checked")
    assert words["I1"] == "kept"


def test_answers_of_409_are_counted() -> None:
    assert judge(good().attempt(409).attempt(409).entries, GOOD).conflicts == 2


def test_examples_are_few_and_counts_are_whole() -> None:
    urls = [f"u-{number}" for number in range(1_000)]
    verdict = judge(Story().entries, Expected(expected={"acme": urls}))
    [lost] = [one for one in verdict.promises if one.broken]
    assert lost.broken == {"lost": 1_000}
    assert len(lost.examples) == 10
    assert len(table(verdict).splitlines()) < 30


def _write(path: Path, entries: list[journal.Entry]) -> str:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return str(path)


def test_the_command_exits_with_0_when_all_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = tmp_path / "expected.json"
    expected.write_text(json.dumps({"expected": GOOD.expected, "failed": GOOD.failed}))
    assert main([_write(tmp_path / "j", good().entries), "--expected", str(expected)]) == 0
    out = capsys.readouterr().out
    assert "I1      kept" in out
    assert "3 calls of 2 customers" in out


def test_the_command_exits_with_1_and_names_what_was_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story, _, _ = BAD["an image in two completed calls"]
    path = _write(tmp_path / "j", story().entries)
    assert main([path]) == 1
    assert "I3      BROKEN" in capsys.readouterr().out
    assert main([path, "--json"]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["kept"] is False


@pytest.mark.parametrize("content", [None, "", "nonsense\n"])
def test_the_command_exits_with_2_when_there_is_nothing_to_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    path = tmp_path / "j"
    if content is not None:
        path.write_text(content)
    assert main([str(path)]) == 2
    assert "nothing to judge" in capsys.readouterr().err
