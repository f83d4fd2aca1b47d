"""Averages of weights, checked against their formulas."""

from __future__ import annotations

import pytest

from training.average import MovingAverage, between, put, snapshot

torch = pytest.importorskip("torch")


def test_the_moving_average_begins_as_a_mean() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    average = MovingAverage({"w": weight}, 0.75)
    for value in (4.0, 8.0):
        weight.data.fill_(value)
        average.update({"w": weight})
    assert average.values["w"].tolist() == [6.0, 6.0]
    for _ in range(3):
        average.update({"w": weight})
    # 8 from here on: the mean of three, then four, then a quarter of the new value each time.
    expected = (6 * 2 + 8) / 3
    for rate in (1 / 4, 1 / 4):
        expected += rate * (8 - expected)
    assert average.values["w"].tolist() == pytest.approx([expected] * 2)


def test_between_start_and_end() -> None:
    start, end = {"w": torch.tensor([0.0, 2.0])}, {"w": torch.tensor([4.0, 4.0])}
    assert between(start, end, 0.0)["w"].tolist() == [4.0, 4.0]
    assert between(start, end, 1.0)["w"].tolist() == [0.0, 2.0]
    assert between(start, end, 0.25)["w"].tolist() == [3.0, 3.5]


def test_a_snapshot_does_not_change() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    kept = snapshot({"w": weight})
    put({"w": weight}, {"w": torch.tensor([5.0])})
    assert (weight.item(), kept["w"].item()) == (5.0, 1.0)
