"""Which photos look alike: pairs by perceptual hash and by vector, in bounded memory, and groups out of pairs.

Photos are rows here, in order of preference: row 0 is the one to keep before all others. A pair is (worse, better),
`better` the smaller row. Every photo gets pairs with its best-preferred look-alikes only, so that ten thousand black
frames make no hundred million pairs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
F32 = NDArray[np.float32]

HASH_BITS = 64
MOST_PAIRS = 32  # a photo
SAME_HASH_HEADS = 16  # photos of one hash that the others of that hash are paired with, best preferred first
OTHER_HASH_HEADS = 4
BLOCK = 2_000_000  # candidate pairs looked at together: 50 MB
QUERIES = 20_000  # hashes whose pairs are collected together
# Up to so many photos every cosine is computed; beyond that only those of photos that have a cell in common.
EXACT_PHOTOS = 30_000
CELL_PHOTOS = 300  # on the average
CELLS_LOOKED_AT = 12
SCORED = 2_000  # vectors of a block of a matrix product


@dataclass(frozen=True, slots=True)
class Pairs:
    """(m,) rows, and how alike they are: `bits` by which the hashes differ (int64) or `cosines` (float32)."""

    worse: Rows
    better: Rows
    values: NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.worse)

    def where(self, keep: NDArray[np.bool_]) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.worse[keep], self.better[keep], self.values[keep])


def joined(parts: list[Pairs], dtype: type[np.generic]) -> Pairs:
    """One list of pairs out of several."""
    if not parts:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, dtype))
    columns = ([p.worse for p in parts], [p.better for p in parts], [p.values for p in parts])
    return Pairs(*(np.concatenate(column) for column in columns))


def _best(pairs: Pairs, most: int) -> Pairs:
    """Each pair once, and of every worse row only the `most` with the best-preferred partners."""
    order = np.lexsort((pairs.better, pairs.worse))
    worse, better = pairs.worse[order], pairs.better[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (worse[1:] != worse[:-1]) | (better[1:] != better[:-1])
    order, worse = order[fresh], worse[fresh]
    starts = np.searchsorted(worse, worse)
    return pairs.where(order[np.arange(len(order)) - starts < most])  # type: ignore[arg-type]


# By perceptual hash


def close_hashes(hashes: NDArray[np.int64], distance: int) -> Pairs:
    """Pairs of 64-bit hashes (n,) int64 that differ in at most `distance` bits; values are bits, int64.

    Exact but for the limit on pairs a photo. Multi-index hashing (Norouzi, Punjani and Fleet, "Fast search in Hamming
    space with multi-index hashing", CVPR 2012): of m parts of the hash one differs in at most distance // m bits, so
    only hashes that share such a part are compared.
    """
    values, first, place = np.unique(hashes.view(np.uint64), return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # hashes by their best-preferred photo
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    distinct = _distinct_pairs(values[order], distance)
    return _expanded(distinct, rank[place])


def _distinct_pairs(values: NDArray[np.uint64], distance: int) -> Pairs:
    """Pairs among hashes that are all different."""
    tables = [_Table(values, *part) for part in _parts(len(values), distance) if part[2] >= 0]
    found: list[Pairs] = []
    for start in range(0, len(values), QUERIES):
        queries = np.arange(start, min(start + QUERIES, len(values)))
        pending: list[Pairs] = []
        for table in tables:
            pending += table.pairs(queries, distance)
            if sum(map(len, pending)) > BLOCK:
                pending = [_best(joined(pending, np.int64), MOST_PAIRS)]
        found.append(_best(joined(pending, np.int64), MOST_PAIRS))
    return joined(found, np.int64)


def _parts(count: int, distance: int) -> list[tuple[int, int, int]]:
    """The cheapest cut of a hash: (shift, bits, flips) of each part, flips being -1 for a part that need not be asked.

    With distance = m * s + a, hashes within it differ by at most s bits in one of the first a + 1 parts, or by at most
    s - 1 in one of the others (ibid., section 3.1).
    """
    cuts = [_cut(parts, distance) for parts in range(3, max(3, distance + 1) + 1)]

    def cost(cut: list[tuple[int, int, int]]) -> float:
        return float(
            sum(len(_masks(width, flips)) * (2 * count + count**2 / 2**width) for _, width, flips in cut)
        )

    return min((cut for cut in cuts if cut[0][2] < 3), key=cost)


def _cut(parts: int, distance: int) -> list[tuple[int, int, int]]:
    edges = np.linspace(0, HASH_BITS, parts + 1).astype(int).tolist()
    flips, rest = divmod(distance, parts)
    return [
        (low, high - low, flips if at <= rest else flips - 1)
        for at, (low, high) in enumerate(itertools.pairwise(edges))
    ]


def _masks(width: int, flips: int) -> Rows:
    """Every number of `width` bits of which at most `flips` (-1 to 2) are set."""
    one = [1 << bit for bit in range(width)] if flips > 0 else []
    two = [a | b for a in one for b in one if a < b] if flips > 1 else []
    return np.array([0, *one, *two] if flips >= 0 else [], np.int64)


class _Table:
    """All hashes sorted by one part of them, to find those whose part is almost the same."""

    def __init__(self, values: NDArray[np.uint64], shift: int, width: int, flips: int) -> None:
        self._keys = ((values >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)
        self._order = np.argsort(self._keys, kind="stable")
        self._values = values
        self._sorted = values[self._order]  # so that what is compared lies together in memory
        self._ends = np.cumsum(np.bincount(self._keys, minlength=1 << width))
        self._masks = _masks(width, flips)

    def pairs(self, queries: Rows, distance: int) -> Iterator[Pairs]:
        """Pairs of the queries with better rows, whose parts differ in no more bits than the table's flips."""
        queries = queries[np.argsort(self._keys[queries], kind="stable")]
        for mask in self._masks.tolist():
            wanted = self._keys[queries] ^ mask
            ends = self._ends[wanted]
            counts = ends - np.where(wanted, self._ends[wanted - 1], 0)
            for part in _blocks(counts):
                yield self._compared(queries[part], ends[part] - counts[part], counts[part], distance)

    def _compared(self, queries: Rows, starts: Rows, counts: Rows, distance: int) -> Pairs:
        places = _ranges(starts, counts)
        differ = np.repeat(self._values[queries], counts)
        differ ^= self._sorted[places]
        bits = np.bitwise_count(differ)
        close = np.flatnonzero(bits <= distance)
        worse = queries[np.searchsorted(np.cumsum(counts), close, "right")]
        found = Pairs(worse, self._order[places[close]], bits[close].astype(np.int64))
        return found.where(found.better < found.worse)


def _blocks(counts: Rows) -> Iterator[slice]:
    """Slices whose counts add up to about a BLOCK."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BLOCK)))
        yield slice(start, stop)
        start = stop


def _ranges(starts: Rows, counts: Rows) -> Rows:
    """starts[0], starts[0] + 1, ... (counts[0] of them), then starts[1], ..."""
    before = np.cumsum(counts) - counts
    return np.asarray(np.arange(counts.sum()) + np.repeat(starts - before, counts), np.int64)


def _expanded(distinct: Pairs, hash_of: Rows) -> Pairs:
    """Pairs of hashes -> pairs of the photos that have them; `hash_of` (n,) says which hash a photo has."""
    order = np.argsort(hash_of, kind="stable")  # photos by hash, best preferred first
    sizes = np.bincount(hash_of)
    starts = np.cumsum(sizes) - sizes
    same = np.arange(len(sizes))
    links = [(same, same, np.zeros(len(sizes), np.int64), SAME_HASH_HEADS)]
    bits = distinct.values.astype(np.int64)
    links += [(distinct.worse, distinct.better, bits, OTHER_HASH_HEADS)]
    links += [(distinct.better, distinct.worse, bits, OTHER_HASH_HEADS)]
    found = []
    for members, heads, values, most in links:
        for head in range(most):
            has = (sizes[heads] > head) & ((sizes[members] > 1) | (head < sizes[heads]))
            m, h, counts = members[has], heads[has], sizes[members[has]]
            worse = order[_ranges(starts[m], counts)]
            better = np.repeat(order[starts[h] + head], counts)
            found.append(Pairs(worse, better, np.repeat(values[has], counts)).where(better < worse))
    return _best(joined(found, np.int64), MOST_PAIRS)


# By vector


def close_vectors(vectors: NDArray[np.float16], least: float, *, seed: int = 0) -> Pairs:
    """Pairs of vectors (n, D) float16 of L2 norm 1 whose cosine is at least `least`; values are cosines, float32.

    Exact up to EXACT_PHOTOS vectors. Beyond, each vector is put into the cells of its nearest pivots, photos taken
    at random, and compared with those whose own cell is one of them.
    """
    if len(vectors) <= EXACT_PHOTOS:
        rows = np.arange(len(vectors))
        return _best(joined(list(_scored(vectors, rows, rows, least)), np.float32), MOST_PAIRS)
    cells = _cells(vectors, seed)
    home = np.argsort(cells[:, 0], kind="stable")
    visitors, visited = np.argsort(cells, axis=None, kind="stable"), np.sort(cells, axis=None)
    found: list[Pairs] = []
    bounds = np.arange(cells.max() + 2)
    homes = np.searchsorted(cells[home, 0], bounds)
    guests = np.searchsorted(visited, bounds)
    for cell in range(len(bounds) - 1):
        residents = home[homes[cell] : homes[cell + 1]]
        rows = visitors[guests[cell] : guests[cell + 1]] // cells.shape[1]
        found += _scored(vectors, rows, residents, least)
        if sum(map(len, found)) > BLOCK:
            found = [_best(joined(found, np.float32), MOST_PAIRS)]
    return _best(joined(found, np.float32), MOST_PAIRS)


def _cells(vectors: NDArray[np.float16], seed: int) -> NDArray[np.int32]:
    """(n, CELLS_LOOKED_AT): each vector's nearest pivots, nearest first."""
    count = len(vectors) // CELL_PHOTOS
    chosen = np.random.default_rng(seed).choice(len(vectors), count, replace=False)
    pivots = vectors[np.sort(chosen)].astype(np.float32)
    found = np.empty((len(vectors), min(CELLS_LOOKED_AT, count)), np.int32)
    for start in range(0, len(vectors), SCORED):
        scores = vectors[start : start + SCORED].astype(np.float32) @ pivots.T
        nearest = np.argpartition(-scores, found.shape[1] - 1, axis=1)[:, : found.shape[1]]
        order = np.argsort(-np.take_along_axis(scores, nearest, axis=1), axis=1)
        found[start : start + SCORED] = np.take_along_axis(nearest, order, axis=1)
    return found


def _scored(vectors: NDArray[np.float16], rows: Rows, others: Rows, least: float) -> Iterator[Pairs]:
    """Pairs between some rows and some others, block by block; a pair found from either side is told the same."""
    for start in range(0, len(rows), SCORED):
        mine = rows[start : start + SCORED]
        left = vectors[mine].astype(np.float32)
        for other_start in range(0, len(others), SCORED):
            theirs = others[other_start : other_start + SCORED]
            scores = left @ vectors[theirs].astype(np.float32).T
            at, to = np.nonzero(scores >= least)
            worse, better = np.maximum(mine[at], theirs[to]), np.minimum(mine[at], theirs[to])
            yield _best(Pairs(worse, better, scores[at, to]).where(worse > better), MOST_PAIRS)


def cosines(vectors: NDArray[np.float16], pairs: Pairs) -> F32:
    """The cosine of every pair (m,), of vectors (n, D) float16 of L2 norm 1."""
    found = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), SCORED):
        part = slice(start, start + SCORED)
        left, right = vectors[pairs.worse[part]], vectors[pairs.better[part]]
        found[part] = np.einsum("nd,nd->n", left.astype(np.float32), right.astype(np.float32))
    return found


def kept_for(count: int, pairs: Pairs, closeness: F32) -> Rows:
    """For each of `count` rows the row to keep in its place: itself, or the closest kept row it makes a pair with.

    Rows are settled in order of preference. What is dropped is always a look-alike of what is kept, never only of
    something else that is dropped: a chain of small changes does not join its two ends. `closeness` (m,): larger is
    closer.
    """
    kept = np.arange(count)
    order = np.lexsort((-closeness, pairs.worse))
    for at in order.tolist():
        worse, better = pairs.worse[at], pairs.better[at]
        if kept[worse] == worse and kept[better] == better:
            kept[worse] = better
    return kept
