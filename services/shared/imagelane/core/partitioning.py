"""Which partition a customer's records belong to: Java's, Faust's and `murmur2_random`'s answer."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

SEED: Final = 0x9747B28C
MULTIPLIER: Final = 0x5BD1E995
ALL_32_BITS: Final = 0xFFFFFFFF
POSITIVE: Final = 0x7FFFFFFF


def murmur2(data: bytes) -> int:
    """MurmurHash2 with Kafka's seed, as an unsigned number of 32 bits."""
    whole = len(data) & ~3
    state = SEED ^ len(data)
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * MULTIPLIER & ALL_32_BITS
        word = (word ^ (word >> 24)) * MULTIPLIER & ALL_32_BITS
        state = (state * MULTIPLIER & ALL_32_BITS) ^ word
    if whole < len(data):
        state = (state ^ int.from_bytes(data[whole:], "little")) * MULTIPLIER & ALL_32_BITS
    state = (state ^ (state >> 13)) * MULTIPLIER & ALL_32_BITS
    return state ^ (state >> 15)


@lru_cache(maxsize=4_096)
def partition_of(key: bytes, count: int) -> int:
    """The partition of a strict topic with `count` partitions on which `key` has to lie."""
    return (murmur2(key) & POSITIVE) % count


def spread_partition(customer: str, image_index: int, *, partitions: int, spread: int) -> int:
    """The partition of `requested` and `downloaded` on which one image of a customer goes.

    A customer has `spread` of the partitions (all, if there are no more), and images take turns on
    them. With a spread of 1 it is `partition_of`; a larger spread keeps the ones of a smaller one.
    """
    shard = _shard(customer, partitions, min(spread, partitions))
    return shard[image_index % len(shard)]


@lru_cache(maxsize=4_096)
def _shard(customer: str, partitions: int, size: int) -> tuple[int, ...]:
    key = customer.encode()
    home = partition_of(key, partitions)
    if size == 1:
        return (home,)
    others = (partition for partition in range(partitions) if partition != home)
    ranked = sorted(others, key=lambda partition: _weight(key, partition))
    return (home, *ranked[: size - 1])


def _weight(key: bytes, partition: int) -> bytes:
    return hashlib.blake2b(b"%d/%s" % (partition, key), digest_size=8).digest()
