"""Photo-like images for demo, tests and benchmark: made once from a seed, then reused from their folder.

Painting and encoding twenty megapixel images takes seconds, so only `BASES` of them are made; every file
is one of these with a comment of its own in it, so that no two files have the same bytes.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, Literal

import PIL
from PIL import Image, ImageChops, ImageDraw

Kind = Literal["baseline", "progressive", "cmyk", "rotated", "png", "webp"]
Size = tuple[int, int]
Colour = tuple[int, int, int]

MANIFEST: Final = "manifest.json"
VERSION: Final = 1
ORIENTATION: Final = 0x0112


@dataclass(frozen=True, slots=True)
class PhotoFolder:
    """A folder with images: names of the ones that can be decoded, and of the ones that cannot."""

    folder: Path
    good: tuple[str, ...]
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Base:
    """One image to paint: its kind, its size, how coarse its grain is, and the encoder's quality."""

    kind: Kind
    size: Size
    grain: float
    quality: int


BASES: Final = (
    Base("baseline", (3264, 2448), 0.05, 86),
    Base("baseline", (4000, 3000), 0.04, 86),
    Base("progressive", (3456, 2304), 0.06, 88),
    Base("png", (1152, 864), 0.02, 0),
    Base("baseline", (2448, 3264), 0.06, 84),
    Base("rotated", (4000, 2250), 0.04, 86),
    Base("webp", (3648, 2736), 0.06, 86),
    Base("baseline", (3000, 2000), 0.07, 88),
    Base("cmyk", (2560, 1920), 0.04, 82),
    Base("progressive", (3840, 2160), 0.06, 86),
)
"""The kinds follow each other in `ROUND`; of the bases of a kind, each is used in its turn."""

ROUND: Final[tuple[Kind, ...]] = (
    *("baseline", "baseline", "progressive", "png", "baseline"),
    *("baseline", "webp", "rotated", "baseline", "baseline"),
    *("progressive", "png", "baseline", "baseline", "webp"),
    *("cmyk", "png", "baseline", "progressive", "baseline"),
)
"""Twenty images: 75 % JPEG, 15 % PNG, 10 % WebP."""

EXTENSIONS: Final[dict[Kind, str]] = {"png": "png", "webp": "webp"}


def make_photos(folder: Path, count: int, seed: int = 0, *, broken: int = 0) -> PhotoFolder:
    """Makes `count` photos of 1-2 MB and about 7 megapixels, and `broken` files that are none.

    The same arguments give the same bytes. A folder that has them already is left as it is.
    """
    wanted = {"version": VERSION, "pillow": PIL.__version__, "count": count, "seed": seed}
    bases = [_base_of(n) for n in range(count)]
    names = [f"photo-{n:05}.{_extension(BASES[base].kind)}" for n, base in enumerate(bases)]
    broken_names = [f"broken-{n:03}.jpg" for n in range(broken)]

    def files() -> Iterator[tuple[str, bytes]]:
        encoded = _encoded({0, *bases}, seed)
        for n, (name, base) in enumerate(zip(names, bases, strict=True)):
            yield name, vary(encoded[base], BASES[base].kind, f"{seed}/{n}", n)
        for n, name in enumerate(broken_names):
            yield name, _broken(n, encoded[0])

    _fill(folder, {**wanted, "broken": broken}, files)
    return PhotoFolder(folder, tuple(names), tuple(broken_names))


def make_tiny(folder: Path, count: int, seed: int = 0) -> PhotoFolder:
    """Makes `count` valid JPEGs of less than 2 kB, to measure everything but the images' bytes."""
    wanted = {"version": VERSION, "pillow": PIL.__version__, "tiny": count, "seed": seed}
    names = [f"tiny-{n:06}.jpg" for n in range(count)]

    def files() -> Iterator[tuple[str, bytes]]:
        small = Base("baseline", (64, 48), 0.0, 60)
        bases = [encode(paint(small, _seeded(f"{seed}/{n}")), small) for n in range(16)]
        for n, name in enumerate(names):
            yield name, vary(bases[n % len(bases)], "baseline", f"{seed}/{n}", n)

    _fill(folder, wanted, files)
    return PhotoFolder(folder, tuple(names))


def _base_of(number: int) -> int:
    """Which of `BASES` the image is: the next of the kind that its place in the round asks for."""
    kind = ROUND[number % len(ROUND)]
    choices = [place for place, base in enumerate(BASES) if base.kind == kind]
    return choices[(number // 2) % len(choices)]


def _extension(kind: Kind) -> str:
    return EXTENSIONS.get(kind, "jpg")


def _fill(
    folder: Path, wanted: dict[str, object], files: Callable[[], Iterator[tuple[str, bytes]]]
) -> None:
    """Writes the files, and the manifest last, unless the folder's manifest says that they are there."""
    manifest = folder / MANIFEST
    if manifest.exists():
        found = json.loads(manifest.read_text())
        sizes: dict[str, int] = found.pop("files", {})
        if found == wanted and all(_size(folder / name) == size for name, size in sizes.items()):
            return
        manifest.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, int] = {}
    for name, data in files():
        (folder / name).write_bytes(data)
        written[name] = len(data)
    manifest.write_text(json.dumps({**wanted, "files": written}))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def _encoded(bases: set[int], seed: int) -> dict[int, bytes]:
    def made(number: int) -> bytes:
        return encode(paint(BASES[number], _seeded(f"{seed}/{number}")), BASES[number])

    numbers = sorted(bases)
    with ThreadPoolExecutor(
        max_workers=2
    ) as threads:  # Pillow works outside the interpreter's lock
        return dict(zip(numbers, threads.map(made, numbers), strict=True))


def _seeded(seed: str) -> Random:
    return Random(seed)  # noqa: S311 - pictures, not secrets


def paint(base: Base, random: Random) -> Image.Image:
    """A scene of light, clouds, things with edges, and the grain of a camera."""
    scene = Image.linear_gradient("L").resize(base.size).convert("RGB")
    scene = ImageChops.multiply(scene, Image.new("RGB", base.size, _colour(random, 140)))
    for cells, weight in ((4, 0.5), (16, 0.3), (96, 0.2)):
        scene = Image.blend(scene, _clouds(base.size, cells, random), weight)
    draw = ImageDraw.Draw(scene)
    width, height = base.size
    for _ in range(40):
        x, y = random.randrange(width), random.randrange(height)
        w, h = random.randrange(width // 8) + 1, random.randrange(height // 8) + 1
        shape = random.choice((draw.ellipse, draw.rectangle))
        shape((x, y, x + w, y + h), fill=_colour(random, 30))
    grain = Image.frombytes("L", base.size, random.randbytes(width * height))
    return Image.blend(scene, grain.convert("RGB"), base.grain)


def _clouds(size: Size, cells: int, random: Random) -> Image.Image:
    coarse = Image.frombytes("RGB", (cells, cells), random.randbytes(3 * cells * cells))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def _colour(random: Random, darkest: int) -> Colour:
    return (
        random.randrange(darkest, 256),
        random.randrange(darkest, 256),
        random.randrange(darkest, 256),
    )


def encode(image: Image.Image, base: Base) -> bytes:
    """The file's bytes in the base's format."""
    out = io.BytesIO()
    if base.kind == "png":
        image.save(out, "PNG", compress_level=3)
    elif base.kind == "webp":
        image.save(out, "WEBP", quality=base.quality, method=1)
    else:
        image = image.convert("CMYK") if base.kind == "cmyk" else image
        image.save(out, "JPEG", quality=base.quality, progressive=base.kind == "progressive")
    return out.getvalue()


def vary(data: bytes, kind: Kind, comment: str, number: int) -> bytes:
    """The same picture with a comment in the file; `rotated` ones also get an EXIF orientation."""
    text = f"imagelane {comment}".encode()
    if kind == "png":
        end = data.rindex(b"IEND") - 4
        return data[:end] + _png_chunk(b"tEXt", b"Comment\0" + text) + data[end:]
    if kind == "webp":
        chunk = b"note" + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
        size = struct.pack("<I", len(data) - 8 + len(chunk))
        return data[:4] + size + data[8:] + chunk
    segments = _jpeg_segment(0xFE, text)
    if kind == "rotated":
        exif = Image.Exif()
        exif[ORIENTATION] = (3, 6, 8)[number % 3]
        segments += _jpeg_segment(0xE1, exif.tobytes())
    after_first = 4 + int.from_bytes(data[4:6], "big")  # behind the JFIF or Adobe header
    return data[:after_first] + segments + data[after_first:]


def _png_chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _jpeg_segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def _broken(number: int, jpeg: bytes) -> bytes:
    """In turn: cut off in the middle, a web page, empty, cut off in its header."""
    return (
        jpeg[: len(jpeg) // 2],
        b"<!DOCTYPE html><title>Sign in</title><p>Please sign in to see this image.",
        b"",
        jpeg[:100],
    )[number % 4]
