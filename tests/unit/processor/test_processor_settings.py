"""The processor's settings are checked against each other."""

import pytest
from pydantic import ValidationError

from imagelane.processor.settings import MIB, ProcessorSettings


def test_the_defaults_agree() -> None:
    settings = ProcessorSettings()
    assert settings.limits().background == (255, 255, 255)
    assert settings.decoders().children >= 1


@pytest.mark.parametrize("field", [{"max_pixels": 100_000_000}, {"memory_bytes": 512 * MIB}])
def test_a_child_must_have_room_for_the_largest_image(field: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="too little for max_pixels"):
        ProcessorSettings.model_validate(field)


def test_a_smaller_child_is_enough_for_smaller_images() -> None:
    ProcessorSettings(max_pixels=10_000_000, memory_bytes=512 * MIB)


def test_the_background_is_a_colour() -> None:
    assert ProcessorSettings(background="#FF8000").limits().background == (255, 128, 0)
    with pytest.raises(ValidationError):
        ProcessorSettings(background="white")
