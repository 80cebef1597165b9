"""How metrics are declared."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from imagelane.platform.metrics import MetricList


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> MetricList:
    return MetricList("one", "other", registry=registry)


def test_what_is_declared_is_told_and_served(
    metrics: MetricList, registry: CollectorRegistry
) -> None:
    metrics.counter("imagelane_one_images_total", "Images.", result=("ok", "bad")).labels("ok").inc(
        2
    )
    metrics.gauge("imagelane_one_lanes", "Lanes.").set(3)
    metrics.histogram("imagelane_one_step_seconds", "Steps.", (1.0, 2.0)).observe(1.5)
    told = [(one.name, one.kind, one.unit, one.services) for one in metrics.declared]
    assert told == [
        ("imagelane_one_images_total", "counter", "images", ("one", "other")),
        ("imagelane_one_lanes", "gauge", "lanes", ("one", "other")),
        ("imagelane_one_step_seconds", "histogram", "seconds", ("one", "other")),
    ]
    served = generate_latest(registry).decode()
    assert 'imagelane_one_images_total{result="ok"} 2.0' in served
    assert "imagelane_one_lanes 3.0" in served
    assert 'imagelane_one_step_seconds_bucket{le="2.0"} 1.0' in served


def test_every_value_of_a_counter_s_only_label_is_there_from_the_start(
    metrics: MetricList, registry: CollectorRegistry
) -> None:
    metrics.counter("imagelane_one_images_total", "Images.", result=("ok", "bad"))
    assert registry.get_sample_value("imagelane_one_images_total", {"result": "bad"}) == 0.0


def test_combinations_come_when_they_occur(
    metrics: MetricList, registry: CollectorRegistry
) -> None:
    metrics.counter("imagelane_one_images_total", "Images.", result=("ok", "bad"), group=("a", "b"))
    metrics.gauge("imagelane_one_lanes", "Lanes.", group=("a", "b"))
    assert "group=" not in generate_latest(registry).decode()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("counter", "imagelane_one_images"),
        ("counter", "one_images_total"),
        ("gauge", "imagelane_one_images_total"),
        ("gauge", "lanes"),
    ],
)
def test_a_name_keeps_to_the_conventions(metrics: MetricList, kind: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is no name for a {kind}"):
        getattr(metrics, kind)(name, "What it means.")


def test_a_flag_has_no_unit(metrics: MetricList) -> None:
    metrics.gauge("imagelane_one_is_held", "Held.")
    assert metrics.declared[0].unit == "0 or 1"
