"""Reading whichever index was saved."""

from __future__ import annotations

from pathlib import Path

from library.vectors.files import MARK, IndexStamp, read_tail
from library.vectors.flat import FlatIndex
from library.vectors.inverted import InvertedIndex


def read_index(path: Path) -> tuple[FlatIndex | InvertedIndex, IndexStamp]:
    """A saved index of either kind. Raises ValueError if torn or foreign, OSError if it cannot be read."""
    with path.open("rb") as source:
        mark = read_tail(source)[2]
    return FlatIndex.read(path) if mark == MARK else InvertedIndex.read(path)
