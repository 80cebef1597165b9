"""The tests are tested: every mutant is killed by the tests that its patch names, which pass without it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mutants import table
from tests.mutants.copies import ROOT, copy_of, linked_copy_of, mutate, run
from tests.mutants.patches import mutants

MUTANTS = {one.name: one for one in mutants()}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(ROOT, tmp_path_factory.mktemp("pristine"))


def test_all_the_killers_pass_on_the_code_as_it_is(pristine: Path) -> None:
    killers = list(dict.fromkeys(one for mutant in MUTANTS.values() for one in mutant.killers))
    outcome = run(pristine, killers)
    assert not outcome.failed + outcome.errors + outcome.strangers, outcome.said
    for killer in killers:
        assert any(one.startswith(killer) for one in outcome.passed), killer


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_killed(name: str, pristine: Path, tmp_path: Path) -> None:
    copy = linked_copy_of(pristine, tmp_path)
    mutate(copy, MUTANTS[name])
    outcome = run(copy, MUTANTS[name].killers)
    assert not outcome.errors + outcome.strangers, outcome.said
    assert outcome.failed, f"{name} lives: {MUTANTS[name].reason}"


def test_a_mutation_stays_within_its_copy(pristine: Path, tmp_path: Path) -> None:
    mutant = next(iter(MUTANTS.values()))
    copy = linked_copy_of(pristine, tmp_path)
    mutate(copy, mutant)
    for file in mutant.files:
        assert (copy / file).read_bytes() != (ROOT / file).read_bytes()
        assert (pristine / file).read_bytes() == (ROOT / file).read_bytes()


def test_every_patch_says_what_it_is_about() -> None:
    for one in MUTANTS.values():
        assert one.killers, one.name
        assert all(file.startswith("services/") for file in one.files), one.name


def test_the_table_in_the_docs_is_up_to_date() -> None:
    assert table.PAGE.read_text() == table.page(list(MUTANTS.values())), "make mutants-table"


def test_there_are_mutants_of_every_kind() -> None:
    places = [one.place for one in MUTANTS.values()]
    assert sum(place.startswith("reliability 4.3") for place in places) >= 12
    assert sum("lane" in place for place in places) >= 8


def test_names_are_unique_without_their_numbers() -> None:
    names = [one.partition("-")[2] for one in MUTANTS]
    assert len(set(names)) == len(names)
