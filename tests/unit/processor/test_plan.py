"""What is decided about an image before any pixel is decoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.core.recipes import RECIPES, OutputSpec
from imagelane.processor.core.depth import white_of
from imagelane.processor.core.plan import Plan, fitted, plan

DEFAULT = RECIPES["default"].outputs
ORIGINAL_SIZE = RECIPES["original-size"].outputs

sides = st.integers(1, 65_535)
sizes = st.tuples(sides, sides)


def output(name: str, box: tuple[int, int] | None) -> OutputSpec:
    return OutputSpec(name, "jpg", "image/jpeg", box, 85)


@given(sizes, sizes)
def test_a_fitted_size_is_inside_the_box_and_not_larger(
    size: tuple[int, int], box: tuple[int, int]
) -> None:
    width, height = fitted(size, box)
    assert 1 <= width <= min(size[0], box[0])
    assert 1 <= height <= min(size[1], box[1])


@given(st.integers(2_048, 65_535), st.integers(2_048, 65_535))
def test_a_fitted_size_fills_the_box_in_one_direction(width: int, height: int) -> None:
    assert max(fitted((width, height), (1024, 1024))) == 1024


@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((4000, 3000), (1024, 768)),
        ((3000, 4000), (768, 1024)),
        ((1024, 1024), (1024, 1024)),
        ((800, 600), (800, 600)),
        ((1, 49_000), (1, 1024)),
    ],
)
def test_shapes_are_kept(size: tuple[int, int], target: tuple[int, int]) -> None:
    assert fitted(size, (1024, 1024)) == target


def test_a_scaled_decode_keeps_one_and_a_half_times_the_result() -> None:
    assert plan((4000, 3000), 1, DEFAULT) == Plan(((1024, 768),), draft=(1536, 1152))


def test_an_image_that_is_not_shrunk_is_decoded_in_full() -> None:
    assert plan((4000, 3000), 1, ORIGINAL_SIZE) == Plan(((4000, 3000),), draft=None)
    assert plan((800, 600), 1, DEFAULT) == Plan(((800, 600),), draft=None)


def test_the_box_is_meant_for_the_upright_picture() -> None:
    wide = [output("wide", (1000, 100))]
    assert plan((4000, 3000), 1, wide).targets == ((133, 100),)
    assert plan((4000, 3000), 6, wide).targets == ((100, 75),)


def test_several_outputs_share_a_decode_that_is_enough_for_the_largest() -> None:
    outputs = [output("small", (100, 100)), output("large", (1000, 1000))]
    assert plan((4000, 3000), 1, outputs) == Plan(((100, 75), (1000, 750)), draft=(1500, 1125))
    assert plan((4000, 3000), 1, [*outputs, *ORIGINAL_SIZE]).draft is None


@pytest.mark.parametrize(
    ("mode", "brightest", "white"),
    [
        ("I;16", 300, 65_535),
        ("I;16B", 65_535, 65_535),
        ("I", 65_535, 65_535),
        ("I", 65_536, 2_147_483_647),
        ("F", 0.5, 1),
        ("F", 200, 255),
        ("F", 40_000, 65_535),
        ("F", 1e9, 1e9),
    ],
)
def test_white_follows_from_the_depth(mode: str, brightest: float, white: float) -> None:
    assert white_of(mode, brightest) == white
