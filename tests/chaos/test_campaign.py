"""A campaign goes on where it was, and tries most often what matters most."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from tests.chaos import campaign
from tests.chaos.campaign import OFTEN, OFTEN_RUNS, RUNS, Scope, runs_of
from tests.chaos.catalogue import ALL, BY_NAME, chosen
from tests.chaos.ledger import Ledger
from tests.chaos.sabotage import SABOTAGES
from tests.chaos.starting import Setup
from tests.chaos.table import table
from tests.chaos.trial import Outcome
from tests.mutants.patches import FOLDER


def outcome(name: str, seed: int, *violations: str) -> Outcome:
    return Outcome(name, seed, 10.0, None if violations else 2.0, [*violations])


def test_what_was_tried_with_the_same_code_is_known_after_an_interruption(tmp_path: Path) -> None:
    path = tmp_path / "build" / "campaign.jsonl"
    before = Ledger(path, "code-1")
    before.add(outcome("F13", 1), None)
    before.add(outcome("F13", 2, "I1 overlap"), tmp_path / "f13-x")
    with path.open("a") as file:
        file.write('{"name": "F13", "seed": 3, "cut off by a ki')
    after, other = Ledger(path, "code-1"), Ledger(path, "code-2")
    assert [after.has("F13", seed) for seed in (1, 2, 3)] == [True, True, False]
    assert after.outcomes() == before.outcomes()
    assert not other.has("F13", 1)
    after.add(outcome("F13", 3), None)
    assert Ledger(path, "code-1").has("F13", 3)


def test_a_later_run_counts_instead_of_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    for one in (outcome("F13", 1, "I1 overlap"), outcome("F13", 1)):
        Ledger(path, "code-1").add(one, None)
    assert Ledger(path, "code-1").outcomes() == [outcome("F13", 1)]
    assert len(path.read_text().splitlines()) == 2


def test_what_matters_most_is_tried_twenty_times() -> None:
    runs: Counter[str] = Counter()
    for fault in ALL:
        assert len(Scope(60.0).seeds(fault)) == runs_of(fault) >= RUNS
        runs[fault.id] += runs_of(fault)
    assert all(runs[one] >= OFTEN_RUNS for one in OFTEN)
    assert [*Scope(60.0, runs=2, first_seed=5).seeds(BY_NAME["F33"])] == [5, 6]


def test_faults_are_chosen_by_name_or_number() -> None:
    assert chosen("") == ALL
    assert {fault.id for fault in chosen("F12,F33")} == {"F12", "F33"}
    assert chosen("F12:cut") == [BY_NAME["F12:cut"]]
    with pytest.raises(ValueError, match="F99: there is no such fault"):
        chosen("F99")


def test_the_table_shows_what_ran_and_what_broke() -> None:
    rows = table(ALL, [outcome("F33", 1), outcome("F33", 2), outcome("F40", 1, "I9 unfinished")])
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows.splitlines()]
    assert [(row[0], *row[2:]) for row in cells[2:]] == [
        ("F33", "2", "0", "2 s, at most 2 s"),
        ("F40", "1", "1", "never"),
    ]


def test_every_sabotage_is_a_mutant_and_a_fault_that_there_is() -> None:
    for one in SABOTAGES:
        assert (FOLDER / f"{one.mutant}.patch").exists(), one.mutant
        assert one.fault in BY_NAME


async def test_a_stacks_folder_goes_beside_the_next_stack_unless_it_is_to_be_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders: list[Path] = []

    @asynccontextmanager
    async def started(_setup: Setup, folder: Path, _images: object) -> AsyncIterator[object]:
        folders.append(folder)
        yield object()

    monkeypatch.setattr(campaign, "started", started)
    monkeypatch.setattr(campaign, "ARTIFACTS", tmp_path)
    stacks = campaign.Stacks(cast(Any, None))
    for keep in (False, True):
        await stacks.fit_for(BY_NAME["F16"])
        await stacks.end(keep=keep)
    await stacks.fit_for(BY_NAME["F16"])
    await stacks.close()
    assert [folder.exists() for folder in folders] == [False, True, False]
