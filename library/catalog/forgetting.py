"""Finding what is to be forgotten, and leaving no trace of it in the database file."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from library.catalog.engine import Catalog
from library.catalog.favourites import favourites_of
from library.catalog.reading import below, chunked
from library.records import FileState, display_path
from library.schema import (
    embedding,
    file,
    removal,
    root,
    run,
    tag,
    tag_calibration,
    tag_vector,
    tagged,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chosen:
    """One file that is to be forgotten; `path` is absolute."""

    id: int
    photo_id: int | None
    path: Path


def _chosen(c: Connection, *conditions: Any) -> list[Chosen]:
    wanted = (file.c.id, file.c.photo_id, file.c.path, root.c.path.label("root"))
    query = select(*wanted).join(root, root.c.id == file.c.root_id).where(*conditions)
    rows = c.execute(query.order_by(root.c.path, file.c.path))
    return [Chosen(r.id, r.photo_id, Path(os.fsdecode(os.path.join(r.root, r.path)))) for r in rows]


def files_below(c: Connection, root_id: int, folder: bytes = b"") -> list[Chosen]:
    """The file at `folder` or all below it, relative to the root; b"" means the whole root."""
    return _chosen(c, file.c.root_id == root_id, *([below(folder)] if folder else []))


def missing_files(c: Connection, root_id: int, *, before: str | None = None) -> list[Chosen]:
    """Files of a root that are missing, or missing since before a time (ISO 8601, UTC)."""
    older = [] if before is None else [file.c.missing_since < before]
    return _chosen(c, file.c.root_id == root_id, file.c.state == FileState.MISSING, *older)


def photos_losing_all(c: Connection, files: Sequence[Chosen]) -> set[int]:
    """The photos that will have no file left once these files are forgotten."""
    going: dict[int, int] = {}
    for each in files:
        if each.photo_id is not None:
            going[each.photo_id] = going.get(each.photo_id, 0) + 1
    lost: set[int] = set()
    for part in chunked(going):
        counts = select(file.c.photo_id, func.count()).where(file.c.photo_id.in_(part))
        rows = c.execute(counts.group_by(file.c.photo_id))
        lost.update(key for key, number in rows if number == going[key])
    return lost


def decisions_on(c: Connection, photo_ids: Iterable[int]) -> int:
    """How many tags of these photos a person confirmed or rejected, and how many of them are favourites."""
    total = 0
    for part in chunked(photo_ids):
        judged = (
            select(func.count()).select_from(tag).where(tag.c.photo_id.in_(part), tag.c.state != "suggested")
        )
        total += int(c.execute(judged).scalar_one()) + len(favourites_of(c, part))
    return total


def delete_roots(c: Connection, root_ids: Sequence[int]) -> None:
    """Delete indexed folders whose files are deleted already."""
    c.execute(delete(root).where(root.c.id.in_(root_ids)))


def scrub_runs(c: Connection, paths: Iterable[Path]) -> None:
    """Take sentences that name forgotten files or folders out of the records of earlier runs."""
    names = {display_path(path) for path in paths}
    for row in c.execute(select(run.c.id, run.c.report).where(run.c.report.is_not(None))).all():
        report = json.loads(row.report)
        for key in ("problems", "offline_roots"):
            if key in report:
                report[key] = [text for text in report[key] if not _names_any(text, names)]
        c.execute(update(run).where(run.c.id == row.id).values(report=json.dumps(report)))


def _names_any(sentence: str, names: set[str]) -> bool:
    # A sentence is "PATH: reason", and both may contain ": ".
    parts = sentence.split(": ")
    return any(": ".join(parts[:n]) in names for n in range(1, len(parts) + 1))


def delete_vectors(c: Connection, model_id: int) -> int:
    """Delete all that is known by one model: its vectors, and what tagging worked out. Returns how many vectors went.

    The model's own row stays: who has its id in memory finds that it has no vectors, never another model.
    """
    for table in (removal, tag_vector, tag_calibration, tagged):
        c.execute(delete(table).where(table.c.model_id == model_id))
    return c.execute(delete(embedding).where(embedding.c.model_id == model_id)).rowcount


def compact(catalog: Catalog) -> bool:
    """Write the database file anew without its free pages, and empty the write-ahead log.

    Deleted rows leave copies in free pages and in the log; afterwards they are in neither. False when
    another program that uses the catalog, or a full disk, prevented a part of it.
    """
    if catalog.engine.dialect.name != "sqlite":
        return True
    connection = catalog.engine.raw_connection()
    try:
        is_rewritten = _runs(connection.cursor(), "VACUUM")
        return _runs(connection.cursor(), "PRAGMA wal_checkpoint(TRUNCATE)") and is_rewritten
    finally:
        connection.close()


def _runs(cursor: Any, statement: str) -> bool:
    """Whether the statement succeeded; a checkpoint answers in its first column whether it was kept from it."""
    try:
        row = cursor.execute(statement).fetchone()
    except sqlite3.OperationalError as e:
        log.warning("the catalog could not be written anew: %s", e)
        return False
    return row is None or not row[0]
