"""When photos were taken, as far as ranking needs it: for ties, and for the order of a whole library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from library.catalog.numbers import numbers
from library.catalog.reading import chunked
from library.schema import photo


def taken(c: Connection, ids: Sequence[int]) -> dict[int, str]:
    """The date of each photo as text that sorts by time; those without a date are left out."""
    found: dict[int, str] = {}
    for part in chunked(ids):
        rows = c.execute(select(photo.c.id, photo.c.dated_at).where(photo.c.id.in_(part)))
        found.update({r.id: r.dated_at for r in rows if r.dated_at})
    return found


def in_order(c: Connection, *, newest: bool) -> NDArray[np.int64]:
    """Every photo by date, those without one last; of the same moment the later id first if `newest`, else last."""
    # SQLite holds NULL for smaller than any text, and walks the index on the date either way.
    day, key = photo.c.dated_at, photo.c.id
    if newest:
        return numbers(c, select(key).order_by(day.desc(), key.desc()))
    dated = numbers(c, select(key).where(day.is_not(None)).order_by(day, key))
    return np.concatenate([dated, numbers(c, select(key).where(day.is_(None)).order_by(key))])
