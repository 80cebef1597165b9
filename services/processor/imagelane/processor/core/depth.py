"""Which brightness counts as white in samples that are deeper than eight bits."""

from __future__ import annotations

from typing import Final

EIGHT_BIT: Final = 255.0
SIXTEEN_BIT: Final = 65_535.0
THIRTY_ONE_BIT: Final = 2_147_483_647.0


def white_of(mode: str, brightest: float) -> float:
    """The sample value of white for a Pillow mode of deep grey, given the image's brightest sample.

    16-bit modes are plain. 32-bit whole numbers mostly hold 16-bit pictures; floating point is
    0 to 1 by convention, but is also found with the range of 8 or 16 bits.
    """
    if mode.startswith("I;16"):
        return SIXTEEN_BIT
    if mode == "I":
        return SIXTEEN_BIT if brightest <= SIXTEEN_BIT else THIRTY_ONE_BIT
    for white in (1.0, EIGHT_BIT):
        if brightest <= white:
            return white
    return max(SIXTEEN_BIT, brightest)
