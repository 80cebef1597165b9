"""What can happen to a file: each function takes a sound one, and gives back a broken one."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from typing import Final

EXTREMES: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
HEAD_BYTES: Final = 600
"""Where most of a format's own fields are."""

Damage = Callable[[bytes, random.Random], bytes]


def flipped_bits(data: bytes, rng: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20, 200))):
        broken[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(broken)


def flipped_bits_of_the_head(data: bytes, rng: random.Random) -> bytes:
    end = min(HEAD_BYTES, len(data))
    return flipped_bits(data[:end], rng) + data[end:]


def random_bytes(data: bytes, rng: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(rng.randrange(1, 30)):
        broken[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(broken)


def cut_off(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def cut_off_and_closed(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))] + data[-rng.choice((1, 2, 12)) :]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice((1, 2, 16, 500, 5_000)) :]


def doubled(data: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(data)) for _ in range(2))
    return data[:end] + data[start:end] * rng.choice((1, 2, 20)) + data[end:]


def overwritten(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    length = min(rng.choice((4, 100, 4_096)), len(data) - start)
    filling = rng.choice((b"\0", b"\xff", b"\x7f"))
    return data[:start] + filling * length + data[start + length :]


def extremes(data: bytes, rng: random.Random) -> bytes:
    """Numbers in the head become the largest, the smallest, or what turns negative."""
    broken = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        form = rng.choice(("<H", ">H", "<I", ">I"))
        size = struct.calcsize(form)
        at = rng.randrange(max(1, min(HEAD_BYTES, len(data)) - size))
        broken[at : at + size] = struct.pack(form, rng.choice(EXTREMES) & (1 << 8 * size) - 1)
    return bytes(broken)


def pieces_in_disorder(data: bytes, rng: random.Random) -> bytes:
    """Whole chunks, segments or boxes dropped, doubled or exchanged; nothing inside them changes."""
    pieces = _pieces(data)
    if len(pieces) < 2:
        return doubled(data, rng)
    for _ in range(rng.randrange(1, 4)):
        one, other = rng.randrange(len(pieces)), rng.randrange(len(pieces))
        match rng.randrange(3):
            case 0:
                pieces.insert(other, pieces[one])
            case 1:
                pieces[one], pieces[other] = pieces[other], pieces[one]
            case _ if len(pieces) > 1:
                del pieces[one]
    return b"".join(pieces)


def edited_inside(data: bytes, rng: random.Random) -> bytes:
    """Content changes, lengths and a PNG's checksums stay right: nothing but the decoder can tell."""
    pieces = _pieces(data)
    for _ in range(rng.randrange(1, 4)):
        number = rng.randrange(len(pieces))
        pieces[number] = _edited(pieces[number], rng, is_chunk=data.startswith(PNG_SIGNATURE))
    return b"".join(pieces)


def noise_behind_the_head(data: bytes, rng: random.Random) -> bytes:
    head = rng.randrange(min(HEAD_BYTES, len(data)))
    return data[:head] + rng.randbytes(rng.choice((10, 1_000, 50_000)))


DAMAGES: Final[dict[str, Damage]] = {
    one.__name__: one
    for one in (
        flipped_bits,
        flipped_bits_of_the_head,
        random_bytes,
        cut_off,
        cut_off_and_closed,
        cut_out,
        doubled,
        overwritten,
        extremes,
        pieces_in_disorder,
        edited_inside,
        noise_behind_the_head,
    )
}


def damaged(data: bytes, damage: str, rng: random.Random) -> bytes:
    """The file after the damage of this name."""
    return DAMAGES[damage](data, rng)


def _edited(piece: bytes, rng: random.Random, *, is_chunk: bool) -> bytes:
    if len(piece) <= 12:
        return piece
    inside = slice(8, -4) if is_chunk else slice(8, None)
    broken = bytearray(piece)
    broken[inside] = flipped_bits(piece[inside], rng)
    if is_chunk and piece != PNG_SIGNATURE:
        broken[-4:] = struct.pack(">I", zlib.crc32(broken[4:-4]))
    return bytes(broken)


def _pieces(data: bytes) -> list[bytes]:
    """A file's own parts, in order; together they are the file."""
    if data.startswith(PNG_SIGNATURE):
        return _cut(data, 8, lambda at: 12 + int.from_bytes(data[at : at + 4]))
    if data.startswith(b"\xff\xd8"):
        return _cut(data, 2, lambda at: _segment_bytes(data, at))
    if data.startswith(b"RIFF"):
        return _cut(
            data, 12, lambda at: 8 + (int.from_bytes(data[at + 4 : at + 8], "little") + 1 & -2)
        )
    if data[4:8] == b"ftyp":
        return _cut(data, 0, lambda at: int.from_bytes(data[at : at + 4]))
    return [data[at : at + 64] for at in range(0, len(data), 64)]


def _cut(data: bytes, at: int, length_at: Callable[[int], int]) -> list[bytes]:
    pieces = [data[:at]] if at else []
    while at < len(data):
        end = max(at + 1, min(at + length_at(at), len(data)))
        pieces.append(data[at:end])
        at = end
    return pieces


def _segment_bytes(data: bytes, at: int) -> int:
    if data[at : at + 1] != b"\xff" or data[at + 1 : at + 2] in {b"\xda", b"\xd9"}:
        return len(data) - at
    return 2 + int.from_bytes(data[at + 2 : at + 4])
