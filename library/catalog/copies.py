"""What telling duplicates apart asks of the catalog: photos in the order they are worth keeping, and their files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, and_, case, func, or_, select

from library.catalog.reading import chunked, revision
from library.records import FileState
from library.schema import favourite, file, photo, root


@dataclass(frozen=True, slots=True)
class CopyFile:
    """One file of a photo, on disk."""

    path: Path
    size_bytes: int
    mtime_ns: int
    companions: int  # RAW files and videos that belong to it


# What changes when photos come, go or change: (revision of the vectors, files on disk, sum of their photos' ids).
State = tuple[int, int, int]


def state(c: Connection) -> State:
    """Tells whether what was worked out about duplicates still holds; a pass over an index."""
    live = and_(file.c.state == FileState.INDEXED, file.c.photo_id.is_not(None))
    count, total = c.execute(select(func.count(), func.sum(file.c.photo_id)).where(live)).one()
    return revision(c), int(count), int(total or 0)


def hashes(c: Connection) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(ids (n,), perceptual hashes (n,)) of all photos, in no order."""
    return _columns(c.execute(select(photo.c.id, photo.c.perceptual_hash)))


def by_worth(c: Connection, only: Sequence[int] | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(ids (n,), perceptual hashes (n,)) of the photos on disk, the one most worth keeping first; or of a few of them.

    Worth is, in this order: marked as a favourite, a RAW or a video beside it, pixels, EXIF, size of the file, age.
    """
    there = select(file.c.photo_id).where(file.c.state == FileState.INDEXED, file.c.photo_id.is_not(None))
    rich = select(file.c.photo_id).where(file.c.companions != b"", file.c.photo_id.is_not(None))
    loved = select(favourite.c.photo_id).where(favourite.c.is_favourite == 1)
    has_exif = or_(photo.c.taken_at.is_not(None), photo.c.camera_model.is_not(None))
    order = (
        case((photo.c.id.in_(loved), 0), else_=1),
        case((photo.c.id.in_(rich), 0), else_=1),
        (photo.c.width * photo.c.height).desc(),
        case((has_exif, 0), else_=1),
        photo.c.size_bytes.desc(),
        func.coalesce(photo.c.dated_at, "~"),
        photo.c.id,
    )
    query = select(photo.c.id, photo.c.perceptual_hash).where(photo.c.id.in_(there)).order_by(*order)
    return _columns(c.execute(query if only is None else query.where(photo.c.id.in_(only))))


def _columns(rows: Iterable[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    found = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)
    return np.ascontiguousarray(found[:, 0]), np.ascontiguousarray(found[:, 1])


def photos_in_several_files(c: Connection) -> NDArray[np.int64]:
    """Photos of which at least two files are on disk, ascending."""
    live = and_(file.c.state == FileState.INDEXED, file.c.photo_id.is_not(None))
    query = select(file.c.photo_id).where(live).group_by(file.c.photo_id).having(func.count() > 1)
    return np.array(sorted(c.execute(query).scalars()), np.int64)


def files_on_disk(c: Connection, ids: Iterable[int]) -> dict[int, list[CopyFile]]:
    """The files of the photos, by photo; the one most worth keeping first: with companions, oldest, shortest path."""
    found: dict[int, list[CopyFile]] = {}
    wanted = (file.c.photo_id, root.c.path.label("root"), file.c.path, file.c.size_bytes)
    query = select(*wanted, file.c.mtime_ns, file.c.companions).join(root, root.c.id == file.c.root_id)
    for part in chunked(ids):
        rows = c.execute(query.where(file.c.photo_id.in_(part), file.c.state == FileState.INDEXED))
        for r in rows:
            path = Path(os.fsdecode(os.path.join(r.root, r.path)))
            companions = len(r.companions.split(b"\0")) if r.companions else 0
            found.setdefault(r.photo_id, []).append(CopyFile(path, r.size_bytes, r.mtime_ns, companions))
    for files in found.values():
        files.sort(key=lambda f: (-f.companions, f.mtime_ns, len(os.fsencode(f.path)), os.fsencode(f.path)))
    return found
