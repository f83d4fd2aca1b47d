"""Exact inner-product search with FAISS.

The index is a cache of the catalog's embeddings. Its file carries a stamp (which library, which model,
which revision), is replaced atomically, and is refused when anything about it is not as it should be:
then it is made anew from the catalog.
"""

from __future__ import annotations

import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from library.vectors.engine import faiss
from library.vectors.files import MARK, IndexStamp, read_tail, replaced, write_tail
from library.vectors.protocol import TIES, Ids, Matrix


class FlatIndex:
    """FAISS's flat inner-product index with ids: exact, and as fast as memory can be read. Any thread may use it."""

    def __init__(self, dim: int, *, index: Any = None) -> None:
        self._faiss = faiss()
        self.dim = dim
        self._index = index if index is not None else self._faiss.IndexIDMap(self._faiss.IndexFlatIP(dim))
        self._lock = threading.RLock()  # a search must not run while vectors move in memory

    @property
    def is_exact(self) -> bool:
        """Always."""
        return True

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, ids: Ids, vectors: Matrix) -> None:
        """Add vectors (n, D) float32 of L2 norm 1, replacing those under the same ids."""
        if not len(ids):
            return
        if vectors.shape != (len(ids), self.dim):
            raise ValueError(f"{vectors.shape} vectors for {len(ids)} ids of dimension {self.dim}")
        with self._lock:
            self.remove(ids)
            self._index.add_with_ids(
                np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(ids, np.int64)
            )

    def remove(self, ids: Ids) -> None:
        """Forget vectors; ids that are not there are ignored."""
        with self._lock:
            if len(ids) and len(self) and np.isin(ids, self._ids()).any():
                self._index.remove_ids(self._faiss.IDSelectorBatch(np.ascontiguousarray(ids, np.int64)))

    def search(
        self, query: Matrix, k: int, *, only: Ids | None = None, without: Ids | None = None
    ) -> tuple[Ids, Matrix]:
        """The k largest inner products with `query` (D,), ties by ascending id.

        `only` and `without` (int64, unique) are applied before the ranking, so k answers come back whenever k
        photos pass. Returns (ids (m,) int64, scores (m,) float32), m <= k, best first.
        """
        if not len(self):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        vector = np.ascontiguousarray(query, np.float32).reshape(1, self.dim)
        selector = self._selector(only, without)
        with self._lock:
            most = len(self) if only is None else min(len(only), len(self))
            k, wide = min(k, most), min(k + TIES, most)
            if k <= 0:
                return np.empty(0, np.int64), np.empty(0, np.float32)
            ids, scores = self._search(vector, wide, selector)
            # FAISS keeps whichever of equal scores it meets first: look on until the last place is not shared.
            while len(ids) == wide < most and scores[-1] == scores[k - 1]:
                wide = min(2 * wide, most)
                ids, scores = self._search(vector, wide, selector)
        return ids[:k], scores[:k]

    def count(self, *, only: Ids | None = None, without: Ids | None = None) -> int:
        """How many vectors there are among `only` (all of them if None), those in `without` left out."""
        if not len(self):
            return 0
        with self._lock:
            ids = np.array(self._ids())
        chosen = ids if only is None else ids[np.isin(ids, only)]
        return len(chosen) if without is None else int(np.isin(chosen, without, invert=True).sum())

    def _search(self, query: Matrix, k: int, selector: Any) -> tuple[Ids, Matrix]:
        parameters = self._faiss.SearchParameters(sel=selector)
        scores, ids = self._index.search(query, k, params=parameters)
        found = ids[0] >= 0  # -1 fills up where fewer than k passed
        order = np.lexsort((ids[0][found], -scores[0][found]))
        return ids[0][found][order], scores[0][found][order]

    def _selector(self, only: Ids | None, without: Ids | None) -> Any:
        if only is not None:
            return self._bitmap(only if without is None else np.setdiff1d(only, without))
        if without is not None and len(without):
            return self._faiss.IDSelectorNot(self._bitmap(without))
        return None

    def _bitmap(self, ids: Ids) -> Any:
        # Ids come from one counter, so a bit for each is small, and testing one is a single read.
        bits = np.zeros(int(ids.max(initial=0)) + 1, dtype=bool)
        bits[ids] = True
        return self._faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))

    def _ids(self) -> Ids:
        ids: Ids = self._faiss.vector_to_array(self._index.id_map)
        return ids

    def scores(self, query: Matrix) -> tuple[Ids, Matrix]:
        """The inner product of `query` (D,) with everything: (ids (n,) int64, scores (n,) float32), in no order.

        One pass over the memory and 12 bytes a photo: of a million vectors a page anywhere in the ranking costs less
        than FAISS's own top 60 does.
        """
        with self._lock:
            return self._ids(), np.asarray(self._view() @ np.asarray(query, np.float32), np.float32)

    def sample(self, most: int) -> Matrix:
        """At most so many vectors (m, D) float32, evenly spread over all, the same ones until something is written."""
        with self._lock:
            step = max(1, -(-len(self) // most))
            return np.array(self._view()[::step])

    def _view(self) -> Matrix:
        # Not a copy, and valid only as long as the lock is held: FAISS moves its memory when something is added.
        if not len(self):
            return np.empty((0, self.dim), np.float32)
        flat = self._faiss.downcast_index(self._index.index)
        numbers: Matrix = self._faiss.rev_swig_ptr(flat.get_xb(), len(self) * self.dim)
        return numbers.reshape(len(self), self.dim)

    def vectors(self, ids: Ids) -> Matrix | None:
        """None: to find where a photo's vector lies takes a pass over all ids."""
        return None

    def contents(self) -> tuple[Ids, Matrix]:
        """Everything: (ids (n,) int64, vectors (n, D) float32), in no order."""
        with self._lock:
            flat = self._faiss.downcast_index(self._index.index)
            vectors = flat.reconstruct_n(0, len(self)) if len(self) else np.empty((0, self.dim), np.float32)
            return self._ids(), vectors

    def write(self, path: Path, stamp: IndexStamp) -> None:
        """Replace the file at `path` atomically. Raises OSError."""
        with replaced(path) as out, self._lock:
            self._write(out, stamp)

    def _write(self, out: Any, stamp: IndexStamp) -> None:
        checked = _Checked(out)
        try:
            self._faiss.write_index(self._index, self._faiss.PyCallbackIOWriter(checked.write, 1 << 20))
        except RuntimeError as e:
            raise OSError(f"FAISS could not write: {e}") from e
        write_tail(out, stamp, {"crc32": checked.crc32})

    @classmethod
    def read(cls, path: Path) -> tuple[FlatIndex, IndexStamp]:
        """Read a file made by `write`. Raises ValueError if torn or foreign, OSError if it cannot be read."""
        module = faiss()
        with path.open("rb") as source:
            stamp, known, mark = read_tail(source)
            # Before FAISS sees them: a length that was damaged would make it ask for any amount of memory.
            if mark != MARK or _crc32(source, known["bytes"]) != known.get("crc32"):
                raise ValueError(f"{path} is damaged: its checksum is not what its stamp says")
            source.seek(0)
            try:
                index = module.read_index(module.PyCallbackIOReader(source.read, 1 << 20))
            except RuntimeError as e:
                raise ValueError(f"{path} is not a FAISS index: {e}") from e
        whole = (index.ntotal, index.d) == (stamp.count, stamp.dim)
        if not whole or not isinstance(index, module.IndexIDMap):
            raise ValueError(f"{path} does not hold what its stamp says")
        return cls(stamp.dim, index=index), stamp


class _Checked:
    """Writes to `out` and keeps the CRC-32 of what it wrote."""

    def __init__(self, out: Any) -> None:
        self._out = out
        self.crc32 = 0

    def write(self, part: bytes) -> int:
        self.crc32 = zlib.crc32(part, self.crc32)
        return int(self._out.write(part))


def _crc32(source: Any, size_bytes: int) -> int:
    """The CRC-32 of the first `size_bytes` bytes."""
    source.seek(0)
    value, left = 0, size_bytes
    while left and (part := source.read(min(left, 1 << 20))):
        value, left = zlib.crc32(part, value), left - len(part)
    return value
