"""A sample of `make broken-images`: whatever was done to a file, it ends as a result or with a code."""

from __future__ import annotations

from tests.hostile.broken_images import SETTINGS, BrokenFile, broken_files, run
from tests.hostile.conftest import ShowRow
from tests.hostile.damage import DAMAGES
from tests.hostile.image_seeds import seeds

from imagelane.core.failures import Code

SAMPLE = 336
ENDS = {
    "ok",
    Code.CORRUPT,
    Code.NOT_AN_IMAGE,
    Code.TOO_COMPLEX,
    Code.TOO_MANY_PIXELS,
    Code.TOO_LARGE_DIMENSION,
}


async def test_every_broken_file_ends_and_none_costs_a_child(show_row: ShowRow) -> None:
    assert len(seeds()) * len(DAMAGES) == SAMPLE  # every one meets every damage
    figures = await run(broken_files(SAMPLE, seed=6))
    assert sum(figures.outcomes.values()) == SAMPLE
    assert figures.outcomes.keys() <= ENDS
    assert figures.percentile(0.99) < 2
    assert figures.most_memory_bytes < SETTINGS.memory_bytes
    told = ", ".join(f"{count} {code}" for code, count in figures.outcomes.most_common(3))
    show_row("I15", f"{SAMPLE} broken files", told, "")


async def test_the_sound_files_that_they_come_from_are_all_made() -> None:
    """Or a run over broken ones would tell little."""
    sound = (BrokenFile(n, name, "none", data) for n, (name, data) in enumerate(seeds().items()))
    assert (await run(sound)).outcomes == {"ok": len(seeds())}
