"""The made images: of the right kinds and sizes, the same for the same seed, and quickly there again."""

from __future__ import annotations

import io
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from imagelane.ops.photos import MANIFEST, ORIENTATION, PhotoFolder, make_photos, make_tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PhotoFolder:
    return make_photos(tmp_path_factory.mktemp("photos"), 40, seed=3, broken=4)


@dataclass(frozen=True)
class Header:
    format: str | None
    mode: str
    pixels: int
    progressive: bool
    orientation: int


def headers(photos: PhotoFolder) -> list[Header]:
    found = []
    for name in photos.good:
        with Image.open(photos.folder / name) as image:
            found.append(
                Header(
                    image.format,
                    image.mode,
                    image.width * image.height,
                    "progressive" in image.info,
                    image.getexif().get(ORIENTATION, 1),
                )
            )
    return found


def test_they_are_three_quarters_jpeg_and_some_png_and_webp(photos: PhotoFolder) -> None:
    images = headers(photos)
    assert Counter(image.format for image in images) == {"JPEG": 30, "PNG": 6, "WEBP": 4}
    assert sum(image.progressive for image in images) == 6
    assert sum(image.mode == "CMYK" for image in images) == 2
    assert sum(image.orientation in {3, 6, 8} for image in images) == 2


def test_they_have_the_size_of_photos(photos: PhotoFolder) -> None:
    sizes = [(photos.folder / name).stat().st_size for name in photos.good]
    assert all(950_000 <= size <= 2_000_000 for size in sizes)
    pixels = statistics.mean(image.pixels for image in headers(photos))
    assert 6_000_000 <= pixels <= 8_000_000


def test_all_of_them_decode_with_every_kind_of_variation(photos: PhotoFolder) -> None:
    for name in photos.good[:20]:
        with Image.open(photos.folder / name) as image:
            image.draft("RGB", (256, 256))
            assert ImageOps.exif_transpose(image).getbbox() is not None


def test_no_two_files_have_the_same_bytes(photos: PhotoFolder) -> None:
    assert len({(photos.folder / name).read_bytes() for name in photos.good}) == 40


def test_the_broken_ones_do_not_decode(photos: PhotoFolder) -> None:
    assert len(photos.broken) == 4
    for name in photos.broken:
        content = io.BytesIO((photos.folder / name).read_bytes())
        with pytest.raises((OSError, UnidentifiedImageError)):
            Image.open(content).load()


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(
    photos: PhotoFolder, tmp_path: Path
) -> None:
    again = make_photos(tmp_path / "again", 4, seed=3)
    other = make_photos(tmp_path / "other", 4, seed=4)
    for name in again.good:
        assert (again.folder / name).read_bytes() == (photos.folder / name).read_bytes()
        assert (other.folder / name).read_bytes() != (photos.folder / name).read_bytes()


def test_a_folder_that_has_them_is_left_as_it_is(tmp_path: Path) -> None:
    first = make_tiny(tmp_path, 20)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert make_tiny(tmp_path, 20) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("damage", ["a file is missing", "a file is cut", "others are wanted"])
def test_a_folder_that_does_not_have_them_is_filled_again(tmp_path: Path, damage: str) -> None:
    first = tmp_path / make_tiny(tmp_path, 20).good[0]
    content = first.read_bytes()
    if damage == "a file is missing":
        first.unlink()
    elif damage == "a file is cut":
        first.write_bytes(content[:-1])
    seed = 1 if damage == "others are wanted" else 0
    make_tiny(tmp_path, 20, seed)
    assert (first.read_bytes() == content) == (seed == 0)


def test_making_that_was_broken_off_counts_for_nothing(tmp_path: Path) -> None:
    first = tmp_path / make_tiny(tmp_path, 20).good[0]
    (tmp_path / MANIFEST).unlink()
    first.unlink()
    make_tiny(tmp_path, 20)
    assert first.exists()


def test_tiny_ones_are_valid_jpegs_below_2_kb_and_all_different(tmp_path: Path) -> None:
    tiny = make_tiny(tmp_path, 500)
    contents = [(tmp_path / name).read_bytes() for name in tiny.good]
    assert max(map(len, contents)) < 2_000
    assert len(set(contents)) == 500
    for name in tiny.good[:32]:
        with Image.open(tmp_path / name) as image:
            image.load()
            assert (image.format, image.size) == ("JPEG", (64, 48))
