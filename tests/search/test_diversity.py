"""Maximal marginal relevance on a burst of twenty shots among other photos."""

from __future__ import annotations

import numpy as np
import pytest

from search.diversity import diversified


def burst_and_others() -> tuple[np.ndarray, np.ndarray]:
    """Twenty shots of one scene that answer best, then ten other photos."""
    random = np.random.default_rng(3)
    scene = random.standard_normal(32)
    shots = scene + 0.1 * random.standard_normal((20, 32))
    others = random.standard_normal((10, 32))
    vectors = np.concatenate([shots, others]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, np.linspace(0.4, 0.2, 30).astype(np.float32)


def test_a_burst_does_not_fill_the_page() -> None:
    order = diversified(*burst_and_others())
    assert order[0] == 0
    assert np.count_nonzero(order[:10] < 20) <= 3
    assert sorted(order.tolist()) == list(range(30))


def test_with_all_weight_on_relevance_it_is_the_plain_ranking() -> None:
    vectors, scores = burst_and_others()
    assert diversified(vectors, scores, balance=1).tolist() == list(range(30))


def test_each_next_one_is_the_best_by_the_formula() -> None:
    vectors, scores = burst_and_others()
    order = diversified(vectors, scores, balance=0.4)
    likeness = vectors @ vectors.T
    usual = (likeness.sum() - np.trace(likeness)) / (30 * 29)
    likeness = np.clip((likeness - usual) / (1 - usual), 0, 1)
    worth = (scores - scores.min()) / (scores.max() - scores.min())
    for place in range(1, 30):
        rest = [row for row in range(30) if row not in order[:place]]
        gains = [0.4 * worth[row] - 0.6 * likeness[row, order[:place]].max() for row in rest]
        assert max(gains) == pytest.approx(gains[rest.index(order[place])], abs=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_photos_and_equal_ones(count: int) -> None:
    vectors = np.ones((count, 4), np.float32) / 2
    assert sorted(diversified(vectors, np.ones(count, np.float32)).tolist()) == list(range(count))
