"""Which photos people marked as favourites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from library.catalog.reading import chunked
from library.schema import favourite, photo


def favourites_of(c: Connection, photo_ids: Sequence[int]) -> set[int]:
    """Those of the photos that are favourites."""
    found: set[int] = set()
    for part in chunked(photo_ids):
        query = select(favourite.c.photo_id).where(
            favourite.c.photo_id.in_(part), favourite.c.is_favourite == 1
        )
        found.update(c.execute(query).scalars())
    return found


def decisions(c: Connection, photo_ids: Sequence[int]) -> dict[int, Any]:
    """Rows (photo_id, is_favourite, decided_at) of the photos that were ever decided on, by photo."""
    found: dict[int, Any] = {}
    for part in chunked(photo_ids):
        rows = c.execute(select(favourite).where(favourite.c.photo_id.in_(part)))
        found.update({r.photo_id: r for r in rows})
    return found


def every_decision(c: Connection) -> Iterator[Any]:
    """Rows (content_sha256, id, is_favourite, decided_at) of all photos that were ever decided on."""
    wanted = (photo.c.content_sha256, photo.c.id, favourite.c.is_favourite, favourite.c.decided_at)
    query = select(*wanted).join(photo, photo.c.id == favourite.c.photo_id)
    yield from c.execute(query.order_by(photo.c.id))


def set_favourites(c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write decisions (photo_id, is_favourite, decided_at) over those that are there."""
    for part in chunked(rows):
        c.execute(delete(favourite).where(favourite.c.photo_id.in_([row["photo_id"] for row in part])))
        c.execute(insert(favourite), part)


def copy_favourites(c: Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Give photos what was decided of others, as (from, to), where nothing was decided of them."""
    there = decisions(c, [key for pair in pairs for key in pair])
    rows = {
        target: {**there[source]._mapping, "photo_id": target}
        for source, target in pairs
        if source in there and target not in there
    }
    set_favourites(c, list(rows.values()))
