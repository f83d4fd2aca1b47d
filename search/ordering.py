"""One page of a ranking, without sorting what is not on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from library.catalog import Connection, dates

Ids = NDArray[np.int64]

# Scores that agree to so many decimals are equal: two copies of one vector can differ in the last bit, by where in
# memory they lie.
DECIMALS = 6
# Up to so many photos their dates are asked for one by one, beyond it the whole library is read in the order of date.
ONE_BY_ONE = 20_000


def window(
    ids: Ids,
    scores: NDArray[np.float32],
    *,
    offset: int,
    limit: int,
    taken: Callable[[Sequence[int]], Mapping[int, str]],
) -> NDArray[np.int64]:
    """Positions in `ids` (n,) of places offset to offset + limit of the ranking by `scores` (n,), best first.

    Photos of equal scores: the newer first, then the one that was indexed later. `taken` gives the dates of some, and
    is asked only about those whose place depends on it. A page costs a pass over the scores and a sort of itself.
    """
    end = min(offset + limit, len(ids))
    if offset >= end:
        return np.empty(0, np.int64)
    rounded = np.round(scores, DECIMALS)
    edges = np.partition(-rounded, [offset, end - 1])
    first, last = -edges[offset], -edges[end - 1]
    # With all that share the first or the last score: which of them are on the page is decided by their dates.
    near = np.flatnonzero((rounded <= first) & (rounded >= last))
    above = int(np.count_nonzero(rounded > first))
    return near[_in_order(ids[near], rounded[near], taken)][offset - above : end - above]


def _in_order(
    ids: Ids, scores: NDArray[np.float32], taken: Callable[[Sequence[int]], Mapping[int, str]]
) -> NDArray[np.int64]:
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    tied = np.flatnonzero(sizes[group] > 1)
    days = taken([int(key) for key in ids[tied]]) if len(tied) else {}
    ranks = np.zeros(len(ids), np.int64)
    by_date = sorted(tied, key=lambda row: days.get(int(ids[row]), ""))
    for rank, row in enumerate(by_date):
        same = rank and days.get(int(ids[by_date[rank - 1]]), "") == days.get(int(ids[row]), "")
        ranks[row] = ranks[by_date[rank - 1]] if same else rank
    return np.lexsort((-ids, -ranks, -scores))


def by_date(c: Connection, ids: Ids, *, newest: bool) -> Ids:
    """The photos in the order of their dates, those without one last; of the same moment as `window` has them."""
    if len(ids) > ONE_BY_ONE:
        everything = dates.in_order(c, newest=newest)
        return everything[members(everything, ids)]
    keys = [int(key) for key in ids]
    days = dates.taken(c, keys)
    dated = sorted((key for key in keys if key in days), key=lambda key: (days[key], key), reverse=newest)
    undated = sorted((key for key in keys if key not in days), reverse=newest)
    return np.array([*dated, *undated], np.int64)


def members(ids: Ids, chosen: Ids) -> NDArray[np.bool_]:
    """Which of `ids` (n,) are among `chosen`: (n,). Ids come from one counter, so a table of bits is small."""
    table = np.zeros(int(max(ids.max(initial=0), chosen.max(initial=0))) + 1, bool)
    table[chosen] = True
    return np.asarray(table[ids])
