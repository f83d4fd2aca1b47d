"""What there is to choose from in a library: cameras, lenses and folders, with the number of photos each has."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, func, select

from library.records import FileState
from library.schema import file, photo, root


def camera_counts(c: Connection) -> dict[str, int]:
    """Photos by camera: maker and model."""
    name = func.trim(func.coalesce(photo.c.camera_make, "") + " " + func.coalesce(photo.c.camera_model, ""))
    return _counts(c, name)


def lens_counts(c: Connection) -> dict[str, int]:
    """Photos by lens."""
    return _counts(c, func.trim(func.coalesce(photo.c.lens, "")))


def _counts(c: Connection, name: ColumnElement[str]) -> dict[str, int]:
    rows = c.execute(select(name.label("name"), func.count()).group_by("name"))
    return {r[0]: r[1] for r in rows if r[0]}


def folder_counts(c: Connection) -> dict[str, int]:
    """Files on disk by the name of the folder they lie in, at any depth below an indexed folder, itself included."""
    parents: Counter[tuple[int, bytes]] = Counter()
    for root_id, path in c.execute(
        select(file.c.root_id, file.c.path).where(file.c.state == FileState.INDEXED)
    ):
        parents[root_id, os.path.dirname(path)] += 1
    roots = {r.id: Path(os.fsdecode(r.path)).name for r in c.execute(select(root.c.id, root.c.path))}
    found: Counter[str] = Counter()
    for (root_id, folder), files in parents.items():
        names = {roots.get(root_id, ""), *map(os.fsdecode, folder.split(b"/"))}
        for name in names - {""}:
            found[name] += files
    return dict(found)
