"""What the processor counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

IMAGES: Final = Counter(
    "imagelane_images_processed", "Images told as processed, by status and code.", ["result"]
)
REPEATED: Final = Counter(
    "imagelane_repeated_images", "Records whose original was gone: told by an earlier delivery."
)
KEPT_ORIGINALS: Final = Counter(
    "imagelane_kept_originals", "Originals that could not be deleted after their image was told."
)
FAILED_DECODERS: Final = Counter(
    "imagelane_failed_decoders", "Decode children that an image cost its life.", ["code"]
)
