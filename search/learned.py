"""What people's decisions teach: a small logistic model over embeddings, on top of a tag's zero-shot score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

# From so many decisions on a tag is scored by what was learned from them, too.
LEARN_FROM = 10
MOST_BACKGROUND = 1_000
STEPS = 25


@dataclass(frozen=True, slots=True)
class Prior:
    """How far decisions may move a tag: prior deviations of a direction, the zero-shot score's factor (around 1) and
    the constant. Photos that nobody decided on are mostly without the tag; all together count as so many decisions.
    """

    direction: float
    factor: float
    constant: float
    background_counts: float
    # Log odds added in the end: a zero-shot threshold lies where F1 is best, at a chance of a third, not of a half.
    lift: float


# Text says what such a tag is; looser priors were worse (102 tags, 10 and 50 decisions: direction 1 to 12).
FOR_VOCABULARY = Prior(direction=1.0, factor=0.05, constant=0.3, background_counts=1.0, lift=0.7)
# On top of what examples say (search.taught), whose threshold is meant for a chance of a half.
FOR_TAUGHT = Prior(direction=1.0, factor=0.05, constant=0.3, background_counts=1.0, lift=0.0)


@dataclass(frozen=True, slots=True)
class LearnedTag:
    """logit = factor * zero-shot logit + vectors @ direction + constant."""

    factor: float
    direction: F32  # (D,)
    constant: float

    def logits(self, vectors: F32, zero_shot: F32) -> F32:
        """Log odds (n,) for photos (n, D) with zero-shot log odds (n,)."""
        return np.asarray(self.factor * zero_shot + vectors @ self.direction + self.constant, np.float32)

    def after(self, first: LearnedTag) -> LearnedTag:
        """The same where `zero_shot` is what `first` gives."""
        return LearnedTag(
            self.factor * first.factor,
            self.factor * first.direction + self.direction,
            self.factor * first.constant + self.constant,
        )


@dataclass(frozen=True, slots=True)
class Examples:
    """Decided photos: vectors (n, D) of L2 norm 1, zero-shot log odds (n,), and whether each has the tag (n,)."""

    vectors: F32
    zero_shot: F32
    has_tag: NDArray[np.bool_]

    def those(self, which: NDArray[np.bool_]) -> Examples:
        """A part of them."""
        return Examples(self.vectors[which], self.zero_shot[which], self.has_tag[which])


def learn(decided: Examples, background: Examples, prior: Prior = FOR_VOCABULARY) -> LearnedTag:
    """Fit by Newton's method: the posterior mode of a logistic regression with normal priors.

    `background` are photos that nobody decided on; its `has_tag` is not looked at. Bishop, "Pattern Recognition and
    Machine Learning" (2006), section 4.3.3.
    """
    vectors = np.concatenate([decided.vectors, background.vectors]).astype(np.float64)
    middle = vectors.mean(axis=0)
    zero_shot = np.concatenate([decided.zero_shot, background.zero_shot]).astype(np.float64)
    targets = np.concatenate([decided.has_tag, np.zeros(len(background.vectors))]).astype(np.float64)
    weights = np.ones(len(targets))
    if len(background.vectors):
        weights[len(decided.vectors) :] = prior.background_counts / len(background.vectors)
    design = np.column_stack([zero_shot, np.ones(len(targets)), vectors - middle])  # (n, 2 + D)
    found = _posterior_mode(design, targets, weights, prior)
    direction = found[2:]
    return LearnedTag(
        float(found[0]), direction.astype(np.float32), float(found[1] - middle @ direction) + prior.lift
    )


def _posterior_mode(design: F64, targets: F64, weights: F64, prior: Prior) -> F64:
    start = np.zeros(design.shape[1])
    start[0] = 1.0
    precision = np.full(design.shape[1], prior.direction**-2.0)
    precision[:2] = prior.factor**-2.0, prior.constant**-2.0
    at = start.copy()
    for _ in range(STEPS):
        chances = 0.5 * (1 + np.tanh(0.5 * (design @ at)))
        slope = design.T @ (weights * (targets - chances)) - precision * (at - start)
        curvature = weights * chances * (1 - chances)
        step = _solve(design, curvature, precision, slope)
        length = float(np.abs(step).max())
        at = at + step * min(1.0, 5.0 / max(length, 1e-12))  # a long step may overshoot
        if length < 1e-6:
            break
    return at


def _solve(design: F64, curvature: F64, precision: F64, slope: F64) -> F64:
    """(X' C X + P)^-1 slope, by the smaller of the two systems (Woodbury's identity)."""
    n, d = design.shape
    if n >= d:
        return np.asarray(np.linalg.solve((design.T * curvature) @ design + np.diag(precision), slope))
    roots = np.sqrt(np.maximum(curvature, 1e-12))[:, None] * design  # (n, d)
    scaled = roots / precision
    inner = np.eye(n) + scaled @ roots.T
    return np.asarray(slope / precision - scaled.T @ np.linalg.solve(inner, roots @ (slope / precision)))
