"""Search that looks only where the best are likely to be: inverted lists, and exact scores in the end.

The vectors lie in a file, as the float16 numbers that the catalog has, ordered by the nearest of some centroids
(Jegou et al., "Product Quantization for Nearest Neighbor Search" (2011), section 4, without the quantization). A
query looks through the lists of the centroids that are most like it until it has seen `budget` vectors that may answer,
and gives what is best among them its exact score. The file is mapped: opening costs little, and processes share it.
What came or went since it was made is kept in memory.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from library.vectors.engine import faiss
from library.vectors.files import INVERTED_MARK, IndexStamp, read_tail
from library.vectors.flat import FlatIndex
from library.vectors.protocol import TIES, Ids, Matrix

# Lists are found by so many of the D numbers, after a rotation: a quarter of the time and nearly the same lists.
AXES = 128
# Vectors are made float32 so many at a time: two megabytes of them stay in the processor's cache.
PART = 1_024
# For more than so many answers everything is looked at: a heap of them would take longer.
MOST_FROM_LISTS = 20_000


@dataclass(frozen=True, slots=True)
class Sections:
    """What the file holds of n vectors in L lists, and in this order, little-endian."""

    ids: Ids  # (n,), ascending within a list
    sizes: Ids  # (L,)
    axes: (
        Matrix  # (D, S) the directions in which the vectors differ most; lists are told apart in these alone
    )
    centroids: Matrix  # (L, S)
    scales: Matrix  # (n,) one over the length that a vector has after rounding to float16
    codes: NDArray[np.uint8]  # (n, 2 D): float16 numbers

    def checked(self) -> int:
        """The CRC-32 of everything but the vectors, which would take seconds: `oko doctor` compares those."""
        value = 0
        for part in (self.ids, self.sizes, self.axes, self.centroids, self.scales):
            value = zlib.crc32(np.ascontiguousarray(part).view(np.uint8).data, value)
        return value


def layout(count: int, lists: int, dim: int) -> list[tuple[str, tuple[int, ...]]]:
    """Type and shape of the sections."""
    # The largest numbers first, so that all of them lie where processors like them.
    whole: list[tuple[str, tuple[int, ...]]] = [("<i8", (count,)), ("<i8", (lists,))]
    axes = min(dim, AXES)
    coarse: list[tuple[str, tuple[int, ...]]] = [("<f4", (dim, axes)), ("<f4", (lists, axes))]
    return [*whole, *coarse, ("<f4", (count,)), ("u1", (count, 2 * dim))]


def size_bytes_of(count: int, lists: int, dim: int) -> int:
    """How many bytes the sections take together."""
    return sum(int(np.prod(shape)) * np.dtype(kind).itemsize for kind, shape in layout(count, lists, dim))


def sections_of(numbers: NDArray[np.uint8], count: int, lists: int, dim: int) -> Sections:
    """The sections in a file's bytes, not copied."""
    found, at = [], 0
    for kind, shape in layout(count, lists, dim):
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        found.append(numbers[at : at + size].view(kind).reshape(shape))
        at += size
    return Sections(*found)


@dataclass(frozen=True, slots=True)
class _Live:
    """Which of the file's vectors count. Never changed, only replaced: searches go on with the one they began with."""

    rows: NDArray[np.int32]  # (largest id + 1,) where an id lies, -1 for nowhere
    sizes: Ids  # (L,) vectors in each list
    count: int

    def rows_of(self, ids: Ids) -> NDArray[np.int32]:
        """Where those of `ids` lie that are there."""
        found = self.rows[ids[(ids >= 0) & (ids < len(self.rows))]]
        return found[found >= 0]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which vectors may answer."""

    sizes: Ids  # (L,) of them in each list
    count: int
    bits: NDArray[np.uint8] | None  # by id, packed; None: all


class InvertedIndex:
    """Nearly all of the best, in a hundredth of the time. Any thread may use it."""

    def __init__(self, sections: Sections, *, budget: int, trained_on: int, recall: float | None) -> None:
        self._faiss = faiss()
        self.dim = sections.axes.shape[0]
        self.budget = budget
        self.trained_on = trained_on  # how many vectors there were when the centroids were made
        self.recall = recall
        self.changed = 0  # vectors that came or went since the file was made
        # Asked when the file turns out to be damaged: everything, from where it is kept.
        self.mend: Callable[[InvertedIndex], FlatIndex] | None = None
        self._file = sections
        self._ends = np.concatenate([[0], np.cumsum(sections.sizes)])
        self._list_of = np.repeat(np.arange(len(sections.sizes), dtype=np.int32), sections.sizes)
        self._live = self._all_live()
        self._recent = FlatIndex(self.dim)
        self._lock = threading.RLock()
        self._quantizer = self._faiss.IndexFlatIP(self.dim)
        half = self._faiss.ScalarQuantizer.QT_fp16
        self._lists = self._faiss.IndexIVFScalarQuantizer(
            self._quantizer, self.dim, 1, half, self._faiss.METRIC_INNER_PRODUCT, False
        )

    def _all_live(self) -> _Live:
        ids = self._file.ids
        rows = np.full(int(ids.max(initial=-1)) + 1, -1, np.int32)
        rows[ids] = np.arange(len(ids), dtype=np.int32)
        return _Live(rows, self._file.sizes, len(ids))

    @property
    def is_exact(self) -> bool:
        """Never by promise, though it is where few vectors may answer."""
        return False

    @property
    def coarse(self) -> tuple[Matrix, Matrix]:
        """(axes (D, S), centroids (L, S)), float32: a vector is in the list of the centroid most like vector @ axes."""
        return self._file.axes, self._file.centroids

    def __len__(self) -> int:
        return self._live.count + len(self._recent)

    # Writing

    def add(self, ids: Ids, vectors: Matrix) -> None:
        """Add vectors (n, D) float32 of L2 norm 1, replacing those under the same ids. They are found at once."""
        if not len(ids):
            return
        with self._lock:
            self._drop(ids)
            self._recent.add(ids, vectors)
            self.changed += len(ids)

    def remove(self, ids: Ids) -> None:
        """Forget vectors; ids that are not there are ignored."""
        with self._lock:
            self.changed += self._drop(ids)
            self._recent.remove(ids)

    def _drop(self, ids: Ids) -> int:
        live = self._live
        going = np.unique(live.rows_of(np.asarray(ids, np.int64)))
        if len(going):
            rows = live.rows.copy()
            rows[self._file.ids[going]] = -1
            gone = np.bincount(self._list_of[going], minlength=len(live.sizes))
            self._live = _Live(rows, live.sizes - gone, live.count - len(going))
        return len(going)

    def _mended(self, numbers: Matrix) -> bool:
        """Whether numbers from the file are none (no checksum is over its vectors), and it counts no more."""
        if self.mend is None or np.isfinite(numbers).all():
            return False
        everything = self.mend(self)
        with self._lock:
            self._live = _Live(np.full_like(self._live.rows, -1), np.zeros_like(self._live.sizes), 0)
            self._recent = everything
        return True

    # Searching

    def count(self, *, only: Ids | None = None, without: Ids | None = None) -> int:
        """How many vectors there are among `only` (all of them if None), those in `without` left out."""
        with self._lock:
            live, recent = self._live, self._recent.count(only=only, without=without)
        return self._choose(live, only, without).count + recent

    def search(
        self, query: Matrix, k: int, *, only: Ids | None = None, without: Ids | None = None
    ) -> tuple[Ids, Matrix]:
        """k of the vectors with the largest inner products with `query` (D,), ties by ascending id.

        Nearly all of the k best: `recall` of the ten best, as it was measured. `only` and `without` (int64, unique) are
        applied before the ranking, so k answers come back whenever k photos pass; where no more than `budget` pass,
        they are the k best. Returns (ids (m,) int64, exact scores (m,) float32), m <= k, best first.
        """
        vector = np.ascontiguousarray(query, np.float32).reshape(self.dim)
        with self._lock:
            live = self._live
            recent = self._recent.search(vector, k, only=only, without=without)
        chosen = self._choose(live, only, without)
        # The recent ones are of their own, so that a photo that changed meanwhile is never here and there.
        most = min(max(k, 0), chosen.count)
        ids, scores = self._best(vector, most, chosen, live)
        # The scan passes over what is no number, and then finds too few.
        if self._mended(scores if len(ids) == most else np.full(1, np.nan, np.float32)):
            return self.search(query, k, only=only, without=without)
        ids, scores = np.concatenate([ids, recent[0]]), np.concatenate([scores, recent[1]])
        order = np.lexsort((ids, -scores))[: max(k, 0)]
        return ids[order], scores[order]

    def _choose(self, live: _Live, only: Ids | None, without: Ids | None) -> _Chosen:
        if only is None and not (without is not None and len(without)):
            whole = live.count == len(self._file.ids)
            return _Chosen(
                live.sizes, live.count, None if whole else np.packbits(live.rows >= 0, bitorder="little")
            )
        if only is None:
            bits = live.rows >= 0
            count, sizes = live.count, live.sizes
        else:
            rows = live.rows_of(only)
            bits = np.zeros(len(live.rows), bool)
            bits[self._file.ids[rows]] = True
            count, sizes = len(rows), np.bincount(self._list_of[rows], minlength=len(live.sizes))
        if without is not None and len(without):
            inside = without[(without >= 0) & (without < len(bits))]
            going = live.rows[inside[bits[inside]]]
            bits[inside] = False
            count -= len(going)
            sizes = sizes - np.bincount(self._list_of[going], minlength=len(sizes))
        return _Chosen(sizes, count, np.packbits(bits, bitorder="little"))

    def _best(self, query: Matrix, k: int, chosen: _Chosen, live: _Live) -> tuple[Ids, Matrix]:
        """The k best (or k where fewer were looked at than are chosen), with exact scores, in no order beyond the k."""
        if k <= 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if k > MOST_FROM_LISTS:
            return self._first(*self._all_scores(query, live, chosen), k)
        wide = min(k + max(TIES, k // 8), chosen.count)
        while True:
            ids = self._candidates(query, wide, chosen)
            scores = self._exact(query, live.rows[ids])
            best = self._first(ids, scores, k)
            # The scan's scores are those of vectors not quite of length 1, and it keeps any of equal ones: look on
            # until the last place is clearly above what was left out.
            if len(ids) < wide or wide == chosen.count or scores.min() < best[1][-1]:
                return best
            wide = min(2 * wide, chosen.count)

    @staticmethod
    def _first(ids: Ids, scores: Matrix, k: int) -> tuple[Ids, Matrix]:
        order = np.lexsort((ids, -scores))[:k]
        return ids[order], scores[order]

    def _candidates(self, query: Matrix, wide: int, chosen: _Chosen) -> Ids:
        """The ids (m,) that score highest, m <= wide, among as many of the chosen as the budget has, or all."""
        selector = None if chosen.bits is None else self._faiss.IDSelectorBitmap(chosen.bits)
        scanner = self._lists.get_InvertedListScanner(False, selector, None)
        pointer = self._faiss.swig_ptr
        scanner.set_query(pointer(query))
        scanner.set_list(0, 0.0)
        scores, ids = np.full(wide, -np.inf, np.float32), np.full(wide, -1, np.int64)
        heap = (pointer(scores), pointer(ids), wide)
        codes, keys = self._file.codes, self._file.ids
        for start, end in self._ranges(query, max(self.budget, wide), chosen):
            scanner.scan_codes(end - start, pointer(codes[start:end]), pointer(keys[start:end]), *heap)
        return ids[ids >= 0]

    def _ranges(self, query: Matrix, budget: int, chosen: _Chosen) -> list[tuple[int, int]]:
        """The rows to look through: of the likeliest lists, until they hold `budget` that are chosen."""
        if chosen.count <= budget:
            return [(0, len(self._file.ids))]
        order = np.argsort(-(self._file.centroids @ (query @ self._file.axes)), kind="stable")
        seen = np.cumsum(chosen.sizes[order])
        likely = order[: int(np.searchsorted(seen, budget)) + 1]
        likely = likely[chosen.sizes[likely] > 0]
        return [(int(self._ends[each]), int(self._ends[each + 1])) for each in likely]

    # Exactly

    def _exact(self, query: Matrix, rows: NDArray[np.int32]) -> Matrix:
        return self._products(self._file.codes[rows], query) * self._file.scales[rows]

    def _products(self, codes: NDArray[np.uint8], query: Matrix) -> Matrix:
        with np.errstate(invalid="ignore"):  # of damaged vectors, which `_mended` is for
            return np.asarray(self._decoded(codes) @ query, np.float32)

    def _decoded(self, codes: NDArray[np.uint8]) -> Matrix:
        # By FAISS: five times as fast as NumPy.
        found: Matrix = self._lists.sq.decode(np.ascontiguousarray(codes))
        return found

    def _all_scores(self, query: Matrix, live: _Live, chosen: _Chosen | None = None) -> tuple[Ids, Matrix]:
        ids = self._file.ids
        scores = np.empty(len(ids), np.float32)
        for start in range(0, len(ids), PART):
            end = min(start + PART, len(ids))
            scores[start:end] = self._products(self._file.codes[start:end], query)
        scores *= self._file.scales
        if chosen is not None and chosen.bits is not None:
            keep = np.unpackbits(chosen.bits, bitorder="little")[ids].astype(bool)
        elif live.count < len(ids):
            keep = live.rows[ids] >= 0
        else:
            return ids, scores
        return ids[keep], scores[keep]

    def scores(self, query: Matrix) -> tuple[Ids, Matrix]:
        """The inner product of `query` (D,) with everything: (ids (n,) int64, scores (n,) float32), in no order.

        One pass over the file: of a million vectors of 512 numbers a gigabyte.
        """
        vector = np.ascontiguousarray(query, np.float32).reshape(self.dim)
        with self._lock:
            live, recent = self._live, self._recent.scores(vector)
        ids, scores = self._all_scores(vector, live)
        if self._mended(scores):
            return self.scores(query)
        return np.concatenate([ids, recent[0]]), np.concatenate([scores, recent[1]])

    def sample(self, most: int) -> Matrix:
        """At most so many vectors (m, D) float32, evenly spread over the ids, as a flat index just made has them."""
        with self._lock:
            live, (recent_ids, recent) = self._live, self._recent.contents()
        ids = np.sort(np.concatenate([np.flatnonzero(live.rows >= 0), recent_ids]))
        ids = ids[:: max(1, -(-len(ids) // most))]
        place = {int(key): row for row, key in enumerate(recent_ids)}
        found = np.empty((len(ids), self.dim), np.float32)
        old = np.array([int(key) not in place for key in ids], bool)
        found[old] = self._vectors(live.rows[ids[old]])
        if self._mended(found[old]):
            return self.sample(most)
        found[~old] = recent[[place[int(key)] for key in ids[~old]]]
        return found

    def vectors(self, ids: Ids) -> Matrix | None:
        """The vectors (n, D) float32 of photos, in the order of `ids`; None if one came after the file was made."""
        rows = self._live.rows
        known = (ids >= 0) & (ids < len(rows))
        if not known.all() or (rows[ids] < 0).any():
            return None
        found = self._vectors(rows[ids])
        return None if self._mended(found) else found

    def contents(self) -> tuple[Ids, Matrix]:
        """Everything: (ids (n,) int64, vectors (n, D) float32), in no order."""
        with self._lock:
            live, (recent_ids, recent) = self._live, self._recent.contents()
        rows = np.flatnonzero(live.rows[self._file.ids] >= 0)
        parts = [self._vectors(rows[at : at + PART]) for at in range(0, len(rows), PART)]
        if any(self._mended(part) for part in parts):
            return self.contents()
        return np.concatenate([self._file.ids[rows], recent_ids]), np.concatenate([*parts, recent])

    def _vectors(self, rows: NDArray[Any]) -> Matrix:
        return np.asarray(self._decoded(self._file.codes[rows]) * self._file.scales[rows, None], np.float32)

    # The file

    @classmethod
    def read(cls, path: Path) -> tuple[InvertedIndex, IndexStamp]:
        """Map a saved index. Raises ValueError if torn or foreign, OSError if it cannot be read.

        Its length, its stamp and the checksum of everything but the vectors are looked at; that the vectors are those
        of the catalog is what `oko doctor` compares.
        """
        with path.open("rb") as source:
            return cls.mapped(source)

    @classmethod
    def mapped(cls, source: BinaryIO) -> tuple[InvertedIndex, IndexStamp]:
        """The same of an open file."""
        stamp, known, mark = read_tail(source)
        try:
            lists, budget, trained_on = (int(known[name]) for name in ("lists", "budget", "trained_on"))
        except (KeyError, TypeError, ValueError) as e:
            raise ValueError(f"the index file has a stamp that makes no sense: {e}") from e
        if mark != INVERTED_MARK or min(stamp.count, lists, stamp.dim) < 1:
            raise ValueError("the index file has a stamp that makes no sense")
        size_bytes = size_bytes_of(stamp.count, lists, stamp.dim)
        if size_bytes != known["bytes"]:
            raise ValueError("the index file does not hold what its stamp says")
        numbers = np.memmap(source, np.uint8, mode="r", shape=(size_bytes,))
        sections = sections_of(np.asarray(numbers), stamp.count, lists, stamp.dim)
        if sections.checked() != known.get("crc32") or int(sections.sizes.sum()) != stamp.count:
            raise ValueError("the index file is damaged: its checksum is not what its stamp says")
        return cls(sections, budget=budget, trained_on=trained_on, recall=stamp.recall), stamp
