"""What decisions teach."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from search.learned import FOR_VOCABULARY, Examples, LearnedTag, Prior, learn

# Follows the decisions, whatever the zero-shot score says.
FREE = Prior(direction=8.0, factor=0.3, constant=2.0, background_counts=10.0, lift=0.0)
RANDOM = np.random.default_rng(0)
DIM = 32


def photos(n: int, centre: np.ndarray | None = None) -> np.ndarray:
    vectors = RANDOM.standard_normal((n, DIM)) * 0.4 + (0 if centre is None else centre)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def examples(yes: np.ndarray, no: np.ndarray, zero_shot: float = 0.0) -> Examples:
    vectors = np.concatenate([yes, no])
    has_tag = np.arange(len(vectors)) < len(yes)
    return Examples(vectors, np.full(len(vectors), zero_shot, np.float32), has_tag)


NOTHING = Examples(np.zeros((0, DIM), np.float32), np.zeros(0, np.float32), np.zeros(0, bool))


def test_ten_decisions_separate_what_zero_shot_cannot() -> None:
    centre = np.eye(DIM)[0] * 2
    model = learn(examples(photos(5, centre), photos(5)), NOTHING, FREE)
    yes, no = photos(200, centre), photos(200)
    found = model.logits(np.concatenate([yes, no]), np.zeros(400, np.float32))
    assert float((found[:200] > 0).mean()) > 0.9
    assert float((found[200:] < 0).mean()) > 0.8


def test_few_decisions_leave_a_good_zero_shot_score_nearly_as_it_is() -> None:
    decided = examples(photos(5), photos(5))
    zero_shot = np.where(decided.has_tag, 4.0, -4.0).astype(np.float32)
    model = learn(Examples(decided.vectors, zero_shot, decided.has_tag), NOTHING, FOR_VOCABULARY)
    assert model.factor == pytest.approx(1, abs=0.1)
    new = np.linspace(-6, 6, 50, dtype=np.float32)
    assert np.corrcoef(model.logits(photos(50), new), new)[0, 1] > 0.98


def test_the_fit_is_that_of_scikit_learn() -> None:
    """With no zero-shot score and one prior for all, it is ordinary ridge logistic regression."""
    decided = examples(photos(40, np.eye(DIM)[1]), photos(40))
    free = Prior(direction=1.5, factor=1.0, constant=1e4, background_counts=1.0, lift=0.0)
    model = learn(decided, NOTHING, free)
    reference = LogisticRegression(C=1.5**2, tol=1e-10, max_iter=10_000).fit(decided.vectors, decided.has_tag)
    new = photos(100)
    np.testing.assert_allclose(
        model.logits(new, np.zeros(100, np.float32)), reference.decision_function(new), atol=1e-3
    )


def test_both_ways_to_solve_agree() -> None:
    """More photos than dimensions take one system, fewer the other."""
    decided = examples(photos(10, np.eye(DIM)[2]), photos(10))
    doubled = Examples(
        *(np.concatenate([part, part]) for part in (decided.vectors, decided.zero_shot, decided.has_tag))
    )
    weak = Prior(direction=2.0, factor=0.3, constant=2.0, background_counts=1.0, lift=0.0)
    halved = Prior(
        direction=2.0 / 2**0.5, factor=0.3 / 2**0.5, constant=2.0 / 2**0.5, background_counts=1.0, lift=0.0
    )
    assert len(decided.vectors) < DIM < len(doubled.vectors)
    one, two = learn(decided, NOTHING, weak), learn(doubled, NOTHING, halved)
    np.testing.assert_allclose(one.direction, two.direction, atol=1e-4)


def test_undecided_photos_pull_down() -> None:
    decided = examples(photos(10, np.eye(DIM)[3]), photos(0))
    background = Examples(photos(300), np.zeros(300, np.float32), np.zeros(300, bool))
    alone, among = learn(decided, NOTHING, FREE), learn(decided, background, FREE)
    new, zero = photos(100), np.zeros(100, np.float32)
    assert among.logits(new, zero).mean() < alone.logits(new, zero).mean()


def test_one_sided_and_single_decisions_give_finite_numbers() -> None:
    for decided in (
        examples(photos(1), photos(0)),
        examples(photos(0), photos(3)),
        examples(photos(30), photos(0)),
    ):
        model = learn(decided, NOTHING, FOR_VOCABULARY)
        assert np.isfinite(model.direction).all()
        assert np.isfinite(model.constant)


def test_one_after_the_other_is_one() -> None:
    first, second = (
        LearnedTag(f, np.full(DIM, d, np.float32), c) for f, d, c in ((2, 0.3, 1), (0.5, -0.1, 3))
    )
    new, zero_shot = photos(20), np.linspace(-3, 3, 20, dtype=np.float32)
    np.testing.assert_allclose(
        second.after(first).logits(new, zero_shot),
        second.logits(new, first.logits(new, zero_shot)),
        rtol=1e-5,
    )
