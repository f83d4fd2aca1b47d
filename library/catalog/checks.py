"""Questions about the catalog's own soundness, for `library.health` and `library.overview`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, exists, func, select

from library.catalog.reading import CHUNK
from library.records import FileState
from library.schema import embedding, file, photo, removal, tag, thumbnail

DAMAGES_SHOWN = 20
THUMBNAILS_SAMPLED = 200


def _is_sqlite(c: Connection) -> bool:
    return c.dialect.name == "sqlite"


def integrity(c: Connection) -> list[str]:
    """What SQLite's own check finds wrong with the file; empty when it is sound."""
    if not _is_sqlite(c):
        return []
    rows = c.exec_driver_sql(f"PRAGMA integrity_check({DAMAGES_SHOWN})").scalars().all()
    return [str(row) for row in rows if row != "ok"]


def broken_references(c: Connection) -> dict[str, int]:
    """Rows that name another row which is not there, counted by table."""
    if not _is_sqlite(c):
        return {}
    counts: dict[str, int] = {}
    for row in c.exec_driver_sql("PRAGMA foreign_key_check"):
        counts[row[0]] = counts.get(row[0], 0) + 1
    return counts


def live_photo_count(c: Connection) -> int:
    """How many photos have at least one sound file on disk."""
    return int(c.execute(select(func.count()).select_from(photo).where(_live())).scalar_one())


def highest_photo_id(c: Connection) -> int:
    """No fewer than there are photos, and found without counting them; 0 where there is none."""
    return int(c.execute(select(func.max(photo.c.id))).scalar() or 0)


def _live() -> Any:
    return exists().where(file.c.photo_id == photo.c.id, file.c.state == FileState.INDEXED)


def wrong_vectors(c: Connection, model_id: int, dim: int) -> list[int]:
    """Photos whose stored vector by this model has the wrong length, or is zero or not finite."""
    mine, length = embedding.c.model_id == model_id, func.length(embedding.c.vector)
    wrong = list(c.execute(select(embedding.c.photo_id).where(mine, length != 2 * dim)).scalars())
    sound = select(embedding.c.photo_id, embedding.c.vector).where(mine, length == 2 * dim)
    for part in c.execution_options(yield_per=CHUNK).execute(sound).partitions():
        vectors = np.frombuffer(b"".join(row[1] for row in part), "<f2").reshape(len(part), dim)
        good = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
        wrong += [row[0] for row, is_good in zip(part, good, strict=True) if not is_good]
    return wrong


def changes_since(c: Connection, model_id: int, revision: int) -> int:
    """How many vectors of a model were written or removed after a revision."""
    written = select(func.count()).select_from(embedding)
    removed = select(func.count()).select_from(removal)
    return sum(
        int(c.execute(query.where(table.c.model_id == model_id, table.c.revision > revision)).scalar_one())
        for query, table in ((written, embedding), (removed, removal))
    )


def photos_without_files(c: Connection, *, decided: bool) -> list[int]:
    """Photos that no file row names, with or without a tag that a person confirmed or rejected."""
    named = exists().where(file.c.photo_id == photo.c.id)
    judged = exists().where(tag.c.photo_id == photo.c.id, tag.c.state != "suggested")
    return list(c.execute(select(photo.c.id).where(~named, judged if decided else ~judged)).scalars())


def photos_without_thumbnail(c: Connection) -> list[int]:
    """Photos on disk of which no thumbnail is kept."""
    pictured = exists().where(thumbnail.c.photo_id == photo.c.id, func.length(thumbnail.c.webp) > 0)
    return list(c.execute(select(photo.c.id).where(_live(), ~pictured)).scalars())


def unreadable_because(c: Connection, text: str) -> int:
    """How many files are unreadable for a reason that contains `text`."""
    bad = and_(file.c.state == FileState.UNREADABLE, file.c.reason.contains(text, autoescape=True))
    return int(c.execute(select(func.count()).select_from(file).where(bad)).scalar_one())


def thumbnails_bytes(c: Connection) -> int:
    """About how much space the thumbnails take: the newest few hundred are measured, all are counted."""
    count = int(c.execute(select(func.count()).select_from(thumbnail)).scalar_one())
    newest = select(func.length(thumbnail.c.webp).label("n")).order_by(thumbnail.c.photo_id.desc())
    sample = newest.limit(THUMBNAILS_SAMPLED).subquery()
    mean = c.execute(select(func.avg(sample.c.n))).scalar()
    return round(count * float(mean or 0))
