"""Answers that differ from each other: maximal marginal relevance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

# How many of the best photos are put into another order; those after them follow as they were.
CANDIDATES = 300
# How much being relevant counts against being unlike what was taken before: 1 is the plain ranking. At a half, twenty
# shots of one burst no longer stand together, and nothing irrelevant comes before them.
BALANCE = 0.5


def diversified(vectors: F32, scores: F32, *, balance: float = BALANCE) -> NDArray[np.int64]:
    """An order (n,) of photos with `vectors` (n, D) of L2 norm 1 and `scores` (n,), given best first.

    Each next one has the largest  balance * score - (1 - balance) * its greatest similarity to those taken before,
    with the scores drawn to 0..1 and the similarities to 0 (as two of the candidates are on average) .. 1 (the same).
    Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
    Summaries" (1998), section 2. Takes n^2 numbers of memory and as many steps.
    """
    count = len(scores)
    if count < 3:
        return np.arange(count)
    spread = max(float(scores.max() - scores.min()), 1e-6)
    worth = balance * (scores - scores.min()) / spread
    likeness = vectors @ vectors.T  # (n, n)
    usual = min(float((likeness.sum() - np.trace(likeness)) / (count * (count - 1))), 1 - 1e-6)
    likeness = np.clip((likeness - usual) / (1 - usual), 0, 1)
    order = np.empty(count, np.int64)
    nearest = np.zeros(count, np.float32)
    for place in range(count):
        order[place] = best = int(np.argmax(worth - (1 - balance) * nearest))
        np.maximum(nearest, likeness[best], out=nearest)
        worth[best] = -np.inf
    return order
