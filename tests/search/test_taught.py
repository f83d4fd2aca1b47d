"""What example photos teach."""

from __future__ import annotations

import numpy as np
import pytest

from search.learned import Examples
from search.taught import learn_taught, shrunk_inverse

DIM = 32


class Photos:
    """A library of photos, some of a kind that lies in a direction of its own."""

    def __init__(self, *, others: int = 400, of_kind: int = 40, apart: float = 1.5) -> None:
        self.random = np.random.default_rng(0)
        # As with real embeddings a few directions have most of the spread.
        self.spread = np.linspace(1.5, 0.2, DIM)
        self.apart = apart
        self.vectors = np.concatenate([self.some(others), self.some(of_kind, of_kind=True)])
        self.is_kind = np.arange(others + of_kind) >= others
        self.inverse = shrunk_inverse(self.vectors)

    def some(self, n: int, *, of_kind: bool = False) -> np.ndarray:
        found = self.random.standard_normal((n, DIM)) * self.spread * 0.5 + np.eye(DIM)[0]
        if of_kind:
            found = found + self.apart * np.eye(DIM)[-1]
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)

    def named(self, how_well: float) -> np.ndarray:
        """Zero-shot log odds: noise, and so much more for the kind."""
        noise = self.random.standard_normal(len(self.vectors))
        return np.asarray(noise * 2 - 6 + 2 * how_well * self.is_kind, np.float32)

    def learn(self, zero_shot: np.ndarray, *, n: int = 5, rejected: np.ndarray | None = None) -> np.ndarray:
        """Log odds of all photos after `n` examples of the kind, and photos (rows) that people said are not of it."""
        yes = np.flatnonzero(self.is_kind)[:n]
        rows = np.concatenate([yes, [] if rejected is None else rejected]).astype(int)
        decided = Examples(self.vectors[rows], zero_shot[rows], np.arange(len(rows)) < n)
        rest = np.setdiff1d(np.arange(len(self.vectors)), rows)
        background = Examples(self.vectors[rest], zero_shot[rest], np.zeros(len(rest), bool))
        return learn_taught(decided, background, self.inverse).logits(self.vectors, zero_shot)


def auc(values: np.ndarray, true: np.ndarray) -> float:
    """How often a photo of the kind comes before another."""
    return float((values[true][:, None] > values[~true][None]).mean())


def test_five_examples_find_the_others_whatever_the_tag_is_called() -> None:
    photos = Photos()
    found = photos.learn(photos.named(0))
    assert auc(found, photos.is_kind) > 0.98
    suggested = found >= 0
    assert (suggested & photos.is_kind).sum() > 0.6 * photos.is_kind.sum()
    assert (suggested & ~photos.is_kind).sum() < 0.1 * photos.is_kind.size


def test_a_name_that_says_all_is_not_spoilt_by_examples_that_say_nothing() -> None:
    photos = Photos(apart=0.0)
    zero_shot = photos.named(4)
    assert auc(zero_shot, photos.is_kind) > 0.98
    assert auc(photos.learn(zero_shot), photos.is_kind) > 0.97


def test_a_name_and_examples_that_say_half_each_say_more_together() -> None:
    photos = Photos(apart=0.5)
    zero_shot = photos.named(1.2)
    alone = photos.learn(photos.named(0), n=20)
    together = photos.learn(zero_shot, n=20)
    assert auc(together, photos.is_kind) > max(auc(zero_shot, photos.is_kind), auc(alone, photos.is_kind))


def test_a_name_that_means_the_contrary_counts_for_nothing() -> None:
    photos = Photos()
    assert auc(photos.learn(photos.named(-3)), photos.is_kind) > 0.98


def test_more_examples_are_better_than_one() -> None:
    photos = Photos(apart=1.2)
    zero_shot = photos.named(0)
    one, twenty = (auc(photos.learn(zero_shot, n=n), photos.is_kind) for n in (1, 20))
    assert twenty > one > 0.6


def test_rejected_photos_and_what_is_like_them_fall() -> None:
    photos = Photos()
    zero_shot = photos.named(0)
    before = photos.learn(zero_shot)
    wrong = np.flatnonzero(~photos.is_kind)[np.argsort(-before[~photos.is_kind])[:8]]
    after = photos.learn(zero_shot, rejected=wrong)
    assert (after[wrong] < before[wrong]).all()
    assert auc(after, photos.is_kind) > 0.97


@pytest.mark.parametrize("others", [0, 1, 9])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_libraries_give_finite_numbers(others: int, n: int) -> None:
    photos = Photos(others=others, of_kind=3)
    found = photos.learn(photos.named(0), n=n)
    assert np.isfinite(found).all()


def test_photos_that_are_all_alike_give_finite_numbers() -> None:
    photos = Photos()
    photos.vectors[:] = photos.vectors[0]
    photos.inverse = shrunk_inverse(photos.vectors)
    assert np.isfinite(photos.learn(np.zeros(len(photos.vectors), np.float32))).all()


def test_the_direction_is_a_shrunk_discriminant() -> None:
    photos = Photos()
    zero = np.zeros(len(photos.vectors), np.float32)
    yes = np.arange(400, 405)
    others = photos.vectors[:400]
    model = learn_taught(
        Examples(photos.vectors[yes], zero[yes], np.ones(5, bool)),
        Examples(others, zero[:400], np.zeros(400, bool)),
        photos.inverse,
    )
    covariance = np.cov(photos.vectors.T, ddof=0)
    shrunk = covariance + 10 * (1 + 30 / 440) * np.trace(covariance) / DIM * np.eye(DIM)
    reference = np.linalg.solve(shrunk, photos.vectors[yes].mean(axis=0) - others.mean(axis=0))
    assert np.corrcoef(model.direction, reference)[0, 1] == pytest.approx(1, abs=1e-5)
    # In deviations of the library, times what one is worth in log odds.
    assert (others @ model.direction).std() == pytest.approx(1.3, rel=1e-3)


def test_in_a_library_of_twenty_photos_the_others_of_a_kind_are_found() -> None:
    photos = Photos(others=14, of_kind=6)
    found = photos.learn(photos.named(0), n=3)
    assert auc(found[3:], photos.is_kind[3:]) > 0.9
    assert (found[:14] >= 0).sum() <= 2
    assert (found[14:17] >= 0).all()
