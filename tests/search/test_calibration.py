"""Scores that mean the same on every model and in every library."""

from __future__ import annotations

import numpy as np
import pytest

from search.calibration import calibrate, rarity

RANDOM = np.random.default_rng(0)


def scores(n: int, tags: int = 300, *, mean: float = 0.02, deviation: float = 0.08) -> np.ndarray:
    """A made-up model's scores: tags differ a little in their means, as those of real models do."""
    means = mean + 0.2 * deviation * RANDOM.standard_normal(tags)
    return (means + deviation * RANDOM.standard_normal((n, tags))).astype(np.float32)


def standardised(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return (values - numbers[0]) / numbers[1]


@pytest.mark.parametrize(("mean", "deviation"), [(0.02, 0.08), (0.6, 0.01), (-0.3, 0.5)])
def test_another_scale_gives_the_same_numbers(mean: float, deviation: float) -> None:
    values = scores(500)
    other = ((values - 0.02) / 0.08 * deviation + mean).astype(np.float32)
    ours, theirs = (standardised(v, calibrate(v)) for v in (values, other))
    np.testing.assert_allclose(ours, theirs, atol=0.01)


@pytest.mark.parametrize("n", [1, 2, 10, 1_000])
def test_absent_tags_lie_around_0_with_a_deviation_of_1_however_few_photos(n: int) -> None:
    values = scores(max(n, 1_000))
    found = standardised(values, calibrate(values[:n]))
    assert abs(float(found.mean())) < 0.35
    assert 0.75 < float(found.std()) < 1.3


def test_a_library_of_one_thing_does_not_make_it_ordinary() -> None:
    values = scores(1_000)
    values[:, 7] += 0.5  # six deviations: every photo shows a dog
    found = standardised(values, calibrate(values))[:, 7]
    assert float(np.quantile(found, 0.05)) > 3


def test_many_photos_may_speak_for_themselves() -> None:
    values = scores(2_000)
    numbers = calibrate(values)
    assert np.corrcoef(numbers[0], values.mean(axis=0))[0, 1] > 0.95


def test_photos_that_are_all_the_same_give_finite_numbers() -> None:
    values = np.repeat(scores(1), 50, axis=0)
    numbers = calibrate(values)
    assert np.isfinite(numbers).all()
    assert (numbers[1] > 0).all()


def test_rarity_is_the_quantile_of_a_normal_distribution() -> None:
    assert rarity(0.5) == pytest.approx(0)
    assert rarity(0.0227501) == pytest.approx(2, abs=1e-4)
