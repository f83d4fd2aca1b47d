"""Making the file of an inverted index from vectors that come in parts, without ever holding all of them.

They are first written beside, as float16. From an even sample come the centroids; then each vector is given to the
nearest, and all are written once more in that order. How much a query has to look at follows from trials: queries whose
ten best are known from looking at everything.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from library.vectors.engine import faiss
from library.vectors.files import INVERTED_MARK, IndexStamp, replaced, scratch, write_tail
from library.vectors.inverted import AXES, sections_of, size_bytes_of
from library.vectors.protocol import Ids, Matrix

log = logging.getLogger(__name__)

Halves = NDArray[np.float16]
Coarse = tuple[Matrix, Matrix]  # axes (D, S), centroids (L, S)

# Eight times the square root of n: 8,000 lists of 125 for a million. A query that had to look at 101,000 vectors for a
# recall of 0.99 in 2,000 lists has to look at 27,000 in 4,000 and at 5,500 in 8,000.
LISTS_A_ROOT = 8.0
# Centroids from so many vectors each, in so many rounds.
TRAINED_ON, ROUNDS = 24, 8
# The share of their ten best that trials must meet, so that other queries meet 0.99: 512 trials tell it within 0.002.
AIM = 0.995
DEPTH = 10
TRIALS = 512
# With so many texts that the library remembers they are the trials; with fewer, queries are made up.
ENOUGH_TEXTS = 100
# The least to look at, so that the first few hundred places are as good as the first ten.
LEAST = 10_000
PART = 8_192
SEED = 1


@dataclass(frozen=True, slots=True)
class Known:
    """What helps: texts (m, D) of L2 norm 1 as people might ask for, and the lists of an older index (its `coarse`), if
    they are good enough still, with the number of vectors they were made for.
    """

    texts: Matrix
    coarse: Coarse | None = None
    trained_on: int = 0


def write_inverted(
    path: Path, stamp: IndexStamp, parts: Iterable[tuple[Ids, Halves]], known: Known
) -> IndexStamp:
    """Replace the file at `path` by one of the vectors in `parts`: (ids (n,), vectors (n, D) float16, L2 norm about 1).

    They are `stamp.count`, at least one. Returns the stamp with the recall that was measured. Raises OSError.
    """
    with scratch(path) as beside, replaced(path) as out:
        # All that is mapped ends with this call: Windows neither renames nor deletes a file that is.
        found = _made(out, beside, stamp, parts, known)
    log.info("recall at %d of the vector index %s: %.4f", DEPTH, path, found.recall)
    return found


def _made(
    out: BinaryIO, beside: BinaryIO, stamp: IndexStamp, parts: Iterable[tuple[Ids, Halves]], known: Known
) -> IndexStamp:
    ids, vectors = _spooled(beside, stamp, parts)
    coarse, trained_on = known.coarse, known.trained_on
    if coarse is None:
        coarse, trained_on = _trained(vectors), len(vectors)
    lists = _nearest(vectors, coarse)
    budget, recall = _budget(vectors, lists, coarse, known.texts)
    log.info("a query looks at %d of %d vectors", budget, len(vectors))
    crc32 = _written(out, stamp.dim, (ids, vectors), lists, coarse)
    further = {"lists": len(coarse[1]), "budget": budget, "trained_on": trained_on, "crc32": crc32}
    found = replace(stamp, recall=recall)
    write_tail(out, found, further, INVERTED_MARK)
    return found


def _spooled(out: BinaryIO, stamp: IndexStamp, parts: Iterable[tuple[Ids, Halves]]) -> tuple[Ids, Halves]:
    """All ids (n,) and vectors (n, D), the latter in a mapped file."""
    every = []
    for ids, vectors in parts:
        every.append(ids)
        out.write(np.ascontiguousarray(vectors, "<f2").data)
    ids = np.concatenate(every)
    if len(ids) != stamp.count:
        raise ValueError(f"{len(ids)} vectors instead of {stamp.count}")
    out.flush()
    return ids, np.asarray(np.memmap(out, "<f2", mode="r", shape=(len(ids), stamp.dim)))


def _unit(halves: Halves) -> Matrix:
    rows = halves.astype(np.float32)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


def _parts(vectors: Halves) -> Iterator[tuple[int, Matrix]]:
    for start in range(0, len(vectors), PART):
        yield start, _unit(vectors[start : start + PART])


def _trained(vectors: Halves) -> Coarse:
    """Axes and centroids, of L2 norm 1, from an even sample."""
    lists = max(1, min(round(LISTS_A_ROOT * math.sqrt(len(vectors))), len(vectors) // 4))
    sample = vectors[:: max(1, len(vectors) // (lists * TRAINED_ON))]
    # Not centred: what is to be kept is the product with a query.
    second = np.zeros((sample.shape[1], sample.shape[1]), np.float32)
    for _, rows in _parts(sample):
        second += rows.T @ rows
    _, directions = np.linalg.eigh(second)
    axes = np.ascontiguousarray(directions[:, ::-1][:, :AXES], np.float32)
    kmeans = faiss().Kmeans(
        axes.shape[1],
        lists,
        niter=ROUNDS,
        seed=SEED,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=2 * TRAINED_ON,
    )
    kmeans.train(np.concatenate([rows @ axes for _, rows in _parts(sample)]))
    return axes, np.array(kmeans.centroids, np.float32)


def _nearest(vectors: Halves, coarse: Coarse) -> NDArray[np.int32]:
    """The list (n,) of each vector."""
    axes, centroids = coarse
    index = faiss().IndexFlatIP(centroids.shape[1])
    index.add(np.ascontiguousarray(centroids))
    found = np.empty(len(vectors), np.int32)
    for start, rows in _parts(vectors):
        found[start : start + len(rows)] = index.search(np.ascontiguousarray(rows @ axes), 1)[1][:, 0]
    return found


def _written(
    out: BinaryIO, dim: int, given: tuple[Ids, Halves], list_of: NDArray[np.int32], coarse: Coarse
) -> int:
    """Write the sections; returns their checksum."""
    (ids, vectors), (axes, centroids) = given, coarse
    size_bytes = size_bytes_of(len(ids), len(centroids), dim)
    out.truncate(size_bytes)
    mapped = np.memmap(out, np.uint8, mode="r+", shape=(size_bytes,))
    sections = sections_of(np.asarray(mapped), len(ids), len(centroids), dim)
    order = np.lexsort((ids, list_of))
    sections.ids[:] = ids[order]
    sections.sizes[:] = np.bincount(list_of, minlength=len(centroids))
    sections.axes[:], sections.centroids[:] = axes, centroids
    for start in range(0, len(ids), PART):
        rows = np.ascontiguousarray(vectors[order[start : start + PART]])
        length = np.linalg.norm(rows.astype(np.float32), axis=1)
        sections.scales[start : start + PART] = 1 / np.maximum(length, 1e-12)
        sections.codes[start : start + PART] = rows.view(np.uint8)
    mapped.flush()
    out.seek(size_bytes)
    return sections.checked()


# How much a query has to look at


def made_up_queries(vectors: Halves, count: int) -> Matrix:
    """Queries (m, D) float32 of L2 norm 1 that lie off the pictures as texts do: something of one of them, much that
    all texts share and no picture has, and something of nothing. Their ten best have cosines of about 0.5.
    """
    random = np.random.default_rng(SEED)
    rows = _unit(vectors[random.integers(0, len(vectors), count)])
    shared, own = random.standard_normal(vectors.shape[1]), random.standard_normal((count, vectors.shape[1]))
    own = own / np.linalg.norm(own, axis=1, keepdims=True)
    mixed = 0.6 * rows + 0.7 * shared / np.linalg.norm(shared) + 0.3 * own
    return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), np.float32)


def _budget(vectors: Halves, lists: NDArray[np.int32], coarse: Coarse, texts: Matrix) -> tuple[int, float]:
    """How many vectors to look at, and the recall at 10 that this gives the trials."""
    if len(texts) >= ENOUGH_TEXTS:
        trials = np.asarray(texts[:: -(-len(texts) // TRIALS)], np.float32)
    else:
        trials = made_up_queries(vectors, TRIALS)
    axes, centroids = coarse
    sizes = np.bincount(lists, minlength=len(centroids))
    likeness = np.asarray(trials @ axes @ centroids.T, np.float32)
    need = _needs(likeness, sizes, lists[_best_rows(vectors, trials)])
    budget = min(max(LEAST, int(np.quantile(need, AIM, method="higher"))), len(vectors))
    return budget, float((need <= budget).mean())


def _needs(likeness: Matrix, sizes: Ids, lists: NDArray[np.int32]) -> Ids:
    """How many vectors each query (m, L) has to look at to meet each of its best, which lie in `lists` (m, 10)."""
    order = np.argsort(-likeness, axis=1, kind="stable")
    seen = np.cumsum(sizes[order], axis=1)  # after each list
    place = np.argsort(order, axis=1)
    return np.asarray(np.take_along_axis(np.take_along_axis(seen, place, axis=1), lists, axis=1))


def _best_rows(vectors: Halves, queries: Matrix) -> NDArray[np.int64]:
    """The rows (m, 10) of the ten best for each query, or of all where there are fewer."""
    depth = min(DEPTH, len(vectors))
    scores = np.full((len(queries), depth), -np.inf, np.float32)
    rows = np.zeros((len(queries), depth), np.int64)
    for start, part in _parts(vectors):
        found = queries @ part.T
        near = np.argpartition(-found, min(depth, found.shape[1]) - 1, axis=1)[:, :depth]
        both = np.concatenate([scores, np.take_along_axis(found, near, axis=1)], axis=1)
        every = np.concatenate([rows, near + start], axis=1)
        keep = np.argsort(-both, axis=1)[:, :depth]
        scores, rows = np.take_along_axis(both, keep, axis=1), np.take_along_axis(every, keep, axis=1)
    return rows
