"""A saved vector index against the catalog's embeddings: every id and every value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from library.catalog import Connection, reading
from library.vectors import read_index

# Both sides come from the same float16 numbers; only the order of float32 roundings may differ.
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Differences:
    """How a saved index differs from the catalog; counts are vectors."""

    strangers: int = 0  # in the index, not in the catalog
    lacking: int = 0  # in the catalog, not in the index
    wrong: int = 0  # in both, with other values
    is_torn: bool = False

    @property
    def total(self) -> int:
        """All of them."""
        return self.strangers + self.lacking + self.wrong

    @property
    def any(self) -> bool:
        """Whether there is a difference at all."""
        return self.total > 0

    @property
    def sentence(self) -> str:
        """The differences in words, to follow "The index"."""
        parts = (
            (self.strangers, "holds {:,} vectors that the catalog does not have"),
            (self.lacking, "lacks {:,} vectors"),
            (self.wrong, "holds {:,} vectors of other values"),
        )
        return ", ".join(text.format(number) for number, text in parts if number)


def differences(c: Connection, path: Path, model_id: int, dim: int) -> Differences:
    """Compare a saved index with the catalog, after catching it up in memory with what was written since."""
    try:
        index, stamp = read_index(path)
    except (OSError, ValueError, TypeError, KeyError):
        return Differences(is_torn=True)
    index.remove(reading.removals(c, model_id, stamp.revision))
    for ids, vectors in reading.embeddings(c, model_id, dim, since_revision=stamp.revision):
        index.add(ids, vectors)
    saved_ids, saved = index.contents()
    order = np.argsort(saved_ids, kind="stable")
    found = lacking = wrong = 0
    for ids, vectors in reading.embeddings(c, model_id, dim):
        at, is_there = _places(saved_ids, order, ids)
        found += int(is_there.sum())
        lacking += int((~is_there).sum())
        close = np.abs(saved[at[is_there]] - vectors[is_there]).max(axis=1, initial=0) <= TOLERANCE
        wrong += int((~close).sum())
    return Differences(len(saved_ids) - found, lacking, wrong)


def _places(
    saved_ids: NDArray[np.int64], order: NDArray[np.intp], ids: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Row (n,) of each id among `saved_ids`, which `order` sorts, and whether (n,) it is there at all."""
    if not len(saved_ids):
        return np.zeros(len(ids), np.intp), np.zeros(len(ids), np.bool_)
    near = order[np.minimum(np.searchsorted(saved_ids, ids, sorter=order), len(order) - 1)]
    return near, saved_ids[near] == ids
