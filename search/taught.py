"""A tag taught by example photos: what sets them apart from the library, and what the tag's name adds to it.

Two scores, both in deviations over the library: how far a photo lies from the library's mean in the direction of the
examples (a linear discriminant with a shrunk covariance), and the zero-shot score of the tag's name. Each counts as
much as it tells the examples from the library: a name that says nothing to the model says nothing here, and a name
that says everything is not spoilt by five photos. Examples are judged by directions made without themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.learned import FOR_TAUGHT, Examples, LearnedTag, learn

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

# Added to the covariance, in mean variances. Between 3 and 30 mean average precision differs by less than 0.02 with 1
# to 50 examples; with much less of it few examples go astray, and without a covariance many gain less.
RIDGE = 10.0
# How far from the library a lone example is taken to set its tag apart, in deviations, and how many examples that
# counts as; and as how many examples without the name's score the name has to make up for.
USUAL, USUAL_COUNTS = 1.5, 1.0
NAME_COUNTS = 1.0
# The threshold, in deviations: SLOPE times how far the examples lie, and BASE. STEEPNESS as in search.tag.
SLOPE, BASE, STEEPNESS = 0.7, 0.75, 1.3
# The same in a library of few photos, whose covariance says little: so many photos double it.
FEW = 30
COPY = 0.9  # of what the examples themselves score, so that their copies pass however small the library is
LEAST_SPREAD = 0.01  # of vectors with norm 1 in any direction, for libraries of photos that are all alike
MOST_CORRELATED = 0.95  # what two nearly equal scores differ in is chance


def shrunk_inverse(vectors: F32) -> F64:
    """The inverse (D, D) of the shrunk covariance of n >= 1 photos of the library (n, D), L2 norm 1.

    Friedman, "Regularized Discriminant Analysis" (1989).
    """
    n, d = vectors.shape
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    covariance = centred.T @ centred / n
    mean_variance = max(float(np.trace(covariance)) / d, LEAST_SPREAD**2)
    return np.asarray(np.linalg.inv(covariance + RIDGE * (1 + FEW / n) * mean_variance * np.eye(d)))


def learn_taught(decided: Examples, background: Examples, inverse: F64) -> LearnedTag:
    """What examples, at least one of them with the tag, say about it; rejected photos correct what the others taught.

    `background` are photos that nobody decided on; its `has_tag` is not looked at. `inverse` is that of the library
    (`shrunk_inverse`).
    """
    confirmed, rejected = decided.those(decided.has_tag), decided.those(~decided.has_tag)
    if not len(background.vectors):
        background = decided
    taught, left_out = _from_examples(confirmed, background, inverse)
    if not len(rejected.vectors):
        return taught
    judged = Examples(
        np.concatenate([confirmed.vectors, rejected.vectors]),
        np.concatenate([left_out, taught.logits(rejected.vectors, rejected.zero_shot)]),
        np.arange(len(decided.vectors)) < len(confirmed.vectors),
    )
    others = Examples(
        background.vectors, taught.logits(background.vectors, background.zero_shot), background.has_tag
    )
    return learn(judged, others, FOR_TAUGHT).after(taught)


def _from_examples(examples: Examples, background: Examples, inverse: F64) -> tuple[LearnedTag, F32]:
    """The tag, and the log odds of each example where it is left out of them."""
    mean = background.vectors.mean(axis=0, dtype=np.float64)
    photos, others = examples.vectors - mean, background.vectors - mean
    n, middle = len(photos), photos.mean(axis=0)
    direction = _directions(middle[None], others, inverse)[0]
    likeness = np.zeros(0)
    if n > 1:
        likeness = (photos * _directions((n * middle - photos) / (n - 1), others, inverse)).sum(axis=1)
    names_mean = float(background.zero_shot.mean())
    names_deviation = max(float(background.zero_shot.std()), LEAST_SPREAD)
    naming = (examples.zero_shot.astype(np.float64) - names_mean) / names_deviation
    apart = np.array([_drawn(likeness, USUAL, USUAL_COUNTS), max(_drawn(naming, 0.0, NAME_COUNTS), 0.0)])
    parts = _discriminant(apart, _correlation(others @ direction, background.zero_shot))
    own = parts[0] * float((photos @ direction).mean()) + parts[1] * float(naming.mean())
    threshold = min(SLOPE * float(parts @ apart) + BASE, COPY * own)
    factor, direction = STEEPNESS * parts[1] / names_deviation, STEEPNESS * parts[0] * direction
    constant = -factor * names_mean - float(mean @ direction) - STEEPNESS * threshold
    left_out = STEEPNESS * (parts[0] * (likeness if n > 1 else USUAL) + parts[1] * naming - threshold)
    return LearnedTag(float(factor), direction.astype(np.float32), constant), left_out.astype(np.float32)


def _directions(middles: F64, others: F64, inverse: F64) -> F64:
    """(k, D): what leads from the library's mean, 0 here, to each of (k, D), in deviations of `others` (n, D)."""
    found = middles @ inverse
    spread = np.sqrt(((others @ found.T) ** 2).mean(axis=0))
    least = np.maximum(LEAST_SPREAD * np.linalg.norm(found, axis=1), np.finfo(np.float64).tiny)
    return np.asarray(found / np.maximum(spread, least)[:, None])


def _drawn(values: F64, usual: float, counts: float) -> float:
    """The mean of values and `counts` times the usual one."""
    return (float(values.sum()) + counts * usual) / (len(values) + counts)


def _discriminant(apart: F64, correlation: float) -> F64:
    """Weights (2,) of two scores with deviation 1 whose sum tells best, and has a deviation of 1, too."""
    covariance = np.array([[1.0, correlation], [correlation, 1.0]])
    weights = np.maximum(np.linalg.solve(covariance, apart), 0.0)
    if not weights.any():
        weights = np.array([1.0, 0.0])
    return np.asarray(weights / np.sqrt(weights @ covariance @ weights))


def _correlation(one: F64, other: F32) -> float:
    # A negative one would make a name that says nothing count: as what cleans the other score of noise.
    both = np.array([one - one.mean(), other - other.mean()])
    lengths = np.linalg.norm(both, axis=1)
    usual = float(both[0] @ both[1]) / max(float(lengths.prod()), LEAST_SPREAD**2)
    return float(np.clip(usual, 0.0, MOST_CORRELATED))
