from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.core.partitioning import murmur2, partition_of, spread_partition


@pytest.mark.parametrize(
    ("text", "java"),
    [  # org.apache.kafka.common.utils.Utils.murmur2, from Kafka's own UtilsTest
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_the_hash_is_javas(text: str, java: int) -> None:
    assert murmur2(text.encode()) == java % 2**32


def test_partitions_are_evenly_used() -> None:
    per_partition = Counter(partition_of(f"customer-{n}".encode(), 12) for n in range(12_000))
    assert set(per_partition) == set(range(12))
    assert max(per_partition.values()) < 1_200


@given(st.text(min_size=1), st.integers(0, 10**6), st.integers(1, 200))
def test_a_spread_of_one_is_the_strict_partition(customer: str, index: int, count: int) -> None:
    assert spread_partition(customer, index, partitions=count, spread=1) == partition_of(
        customer.encode(), count
    )


@given(st.text(min_size=1), st.integers(1, 40), st.integers(1, 50))
def test_images_take_turns_on_the_customers_partitions(
    customer: str, partitions: int, spread: int
) -> None:
    size = min(spread, partitions)
    used = Counter(
        spread_partition(customer, index, partitions=partitions, spread=spread)
        for index in range(size * 3)
    )
    assert len(used) == size
    assert set(used.values()) == {3}
    assert used.keys() <= set(range(partitions))


@given(st.text(min_size=1), st.integers(2, 40), st.data())
def test_a_larger_spread_only_adds_partitions(
    customer: str, partitions: int, data: st.DataObject
) -> None:
    small = data.draw(st.integers(1, partitions - 1))
    large = data.draw(st.integers(small, partitions))
    shards = [
        {spread_partition(customer, i, partitions=partitions, spread=spread) for i in range(spread)}
        for spread in (small, large)
    ]
    assert shards[0] <= shards[1]


def test_customers_have_different_shards() -> None:
    shards = {
        frozenset(spread_partition(f"c{n}", i, partitions=24, spread=4) for i in range(4))
        for n in range(100)
    }
    assert len(shards) > 90
