from __future__ import annotations

import pytest

from imagelane.core.failures import MEANINGS, Code, failure


@pytest.mark.parametrize("code", Code)
def test_every_code_says_what_it_means_and_what_can_be_done(code: Code) -> None:
    meaning = MEANINGS[code]
    assert failure(code).reason == meaning.reason
    assert meaning.reason[0].islower()
    assert meaning.advice.endswith(".")


def test_a_detail_follows_the_reason_and_has_a_bound() -> None:
    told = failure(Code.TOO_LARGE, "more than 5 bytes")
    assert told.reason == "the file is larger than allowed: more than 5 bytes"
    assert len(failure(Code.TOO_LARGE, "x" * 10_000).reason) == 2_000
