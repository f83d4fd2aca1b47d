"""One batch of the indexer, written to the catalog: which photo each file is, and what becomes of its old one.

The rules (decision 2 of the architecture): a file whose content is known is that photo; a file changed in
place keeps its photo unless another file still has the old content, and then its new photo gets the tags too; a
photo that no file shows any more gives its tags to its successor and goes.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from library.catalog import writing
from library.catalog.reading import rows_at
from library.catalog.writing import now, stamp_values
from library.records import FailedFile, FileStamp, FileState, KnownPhoto, NewPhoto
from library.schema import embedding, file, photo, root, thumbnail


@dataclass(frozen=True, slots=True)
class Written:
    """What a batch did. The vectors are for the index; `lost` names files whose content is not known after all."""

    revision: int
    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    removed: list[int]
    lost: list[FileStamp]


@dataclass(slots=True)
class _Batch:
    c: Connection
    root_id: int
    rows: dict[bytes, Any]  # file rows at the batch's paths
    owners: dict[bytes, int]  # content -> photo
    files_of: Counter[int]  # photo -> number of file rows
    placed: list[tuple[FileStamp, int]] = field(default_factory=list)
    successors: list[tuple[int, int]] = field(default_factory=list)
    fresh: set[int] = field(default_factory=set)  # photos this batch makes


def write_batch(
    c: Connection,
    root_id: int,
    model_id: int,
    new: Sequence[NewPhoto],
    known: Sequence[KnownPhoto] = (),
    failed: Sequence[FailedFile] = (),
) -> Written:
    """Write one batch inside the caller's transaction."""
    items: list[NewPhoto | KnownPhoto | FailedFile] = [*new, *known, *failed]
    batch = _look_up(c, root_id, items)
    number = writing.next_revision(c)
    firsts: dict[bytes, NewPhoto] = {}
    for each in new:
        firsts.setdefault(each.content_sha256, each)
    makers = list(firsts.values())
    rewritten = _make_photos(batch, makers)
    if rewritten:
        writing.forget_vectors(c, rewritten, number)
    ids, vectors = _write_embeddings(batch, model_id, makers, number)
    lost = [k.stamp for k in known if k.content_sha256 not in batch.owners]
    sound: list[NewPhoto | KnownPhoto] = [*new, *known]
    for item in sound:
        if item.content_sha256 in batch.owners:
            _place(batch, item.stamp, batch.owners[item.content_sha256])
    _write_files(batch)
    _write_failures(batch, failed)
    removed = writing.orphans(c, {old for old, _ in batch.successors})
    heirs = [(old, new) for old, new in batch.successors if new in batch.fresh or old in set(removed)]
    writing.copy_decisions(c, heirs)
    writing.delete_photos(c, removed)
    shown = {key for _, key in batch.placed} | {old for old, _ in batch.successors}
    writing.date_photos(c, shown.difference(removed))
    return Written(number, ids, vectors, removed, lost)


def _look_up(c: Connection, root_id: int, items: Sequence[NewPhoto | KnownPhoto | FailedFile]) -> _Batch:
    paths = [item.stamp.path for item in items]
    contents = [item.content_sha256 for item in items if not isinstance(item, FailedFile)]
    rows = {r.path: r for r in rows_at(c, root_id, paths)}
    photos = {r.photo_id for r in rows.values() if r.photo_id is not None}
    counts = c.execute(
        select(file.c.photo_id, func.count()).where(file.c.photo_id.in_(photos)).group_by(file.c.photo_id)
    )
    return _Batch(c, root_id, rows, _owners(c, contents), Counter({r[0]: r[1] for r in counts}))


def _owners(c: Connection, contents: Sequence[bytes]) -> dict[bytes, int]:
    rows = c.execute(select(photo.c.content_sha256, photo.c.id).where(photo.c.content_sha256.in_(contents)))
    return {r.content_sha256: r.id for r in rows}


def _make_photos(batch: _Batch, makers: Sequence[NewPhoto]) -> list[int]:
    """Insert photos of new content, or give an edited photo its new content; returns the ids of the latter."""
    fresh: list[NewPhoto] = []
    edited: list[tuple[int, NewPhoto]] = []
    taken = set(batch.owners.values())
    for item in makers:
        if item.content_sha256 in batch.owners:
            continue
        row = batch.rows.get(item.stamp.path)
        if (
            row is not None
            and row.photo_id is not None
            and batch.files_of[row.photo_id] == 1
            and row.photo_id not in taken
        ):
            edited.append((row.photo_id, item))
            batch.owners[item.content_sha256] = row.photo_id
            taken.add(row.photo_id)
        else:
            if row is not None and row.photo_id is not None:
                batch.files_of[row.photo_id] -= 1
            fresh.append(item)
    _insert_photos(batch, fresh)
    _update_photos(batch.c, edited)
    return [key for key, _ in edited]


def _columns(item: NewPhoto) -> dict[str, Any]:
    return {
        "content_sha256": item.content_sha256,
        "size_bytes": item.stamp.size_bytes,
        "perceptual_hash": item.perceptual_hash,
        **dataclasses.asdict(item.facts),
    }


def _insert_photos(batch: _Batch, items: Sequence[NewPhoto]) -> None:
    if not items:
        return
    added = {"added_at": now()}
    batch.c.execute(insert(photo), [{**_columns(item), **added} for item in items])
    owners = _owners(batch.c, [item.content_sha256 for item in items])
    batch.owners.update(owners)
    batch.fresh.update(owners.values())
    batch.c.execute(
        insert(thumbnail),
        [{"photo_id": owners[item.content_sha256], "webp": item.thumbnail} for item in items],
    )


def _update_photos(c: Connection, items: Sequence[tuple[int, NewPhoto]]) -> None:
    if not items:
        return
    names = list(_columns(items[0][1]))
    values = [{"key": key, **{f"new_{k}": v for k, v in _columns(item).items()}} for key, item in items]
    c.execute(
        update(photo).where(photo.c.id == bindparam("key")).values({n: bindparam(f"new_{n}") for n in names}),
        values,
    )
    pictures = [{"key": key, "picture": item.thumbnail} for key, item in items]
    c.execute(
        update(thumbnail).where(thumbnail.c.photo_id == bindparam("key")).values(webp=bindparam("picture")),
        pictures,
    )


def _write_embeddings(
    batch: _Batch, model_id: int, makers: Sequence[NewPhoto], number: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    if not makers:
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    ids = [batch.owners[item.content_sha256] for item in makers]
    halves = np.stack([item.embedding for item in makers]).astype("<f2")
    batch.c.execute(delete(embedding).where(embedding.c.model_id == model_id, embedding.c.photo_id.in_(ids)))
    rows = [
        {"model_id": model_id, "photo_id": i, "vector": v.tobytes(), "revision": number}
        for i, v in zip(ids, halves, strict=True)
    ]
    batch.c.execute(insert(embedding), rows)
    vectors = halves.astype(np.float32)
    return np.array(ids, np.int64), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _place(batch: _Batch, stamp: FileStamp, photo_id: int) -> None:
    row = batch.rows.get(stamp.path)
    batch.placed.append((stamp, photo_id))
    if row is not None and row.photo_id not in (None, photo_id):
        batch.successors.append((row.photo_id, photo_id))


def _write_files(batch: _Batch) -> None:
    there = {"state": FileState.INDEXED.value, "reason": None, "missing_since": None}
    values = {
        stamp.path: {**stamp_values(stamp), **there, "root_id": batch.root_id, "photo_id": key}
        for stamp, key in batch.placed
    }
    old = {path: batch.rows[path].id for path in values if path in batch.rows}
    strangers = {path: row["photo_id"] for path, row in values.items() if path not in old}
    old |= _rows_moved_away(batch, strangers, set(old.values()))
    writing.update_files(batch.c, [(old[path], row) for path, row in values.items() if path in old])
    writing.insert_files(batch.c, [row for path, row in values.items() if path not in old])


def _rows_moved_away(batch: _Batch, strangers: dict[bytes, int], busy: set[int]) -> dict[bytes, int]:
    """File rows to take over, by new path: their photo turned up there, and they are gone from a folder that is there.

    A file of a folder that is not there itself, as when a drive is mounted elsewhere now, is only marked missing.
    """
    wanted = (file.c.id, file.c.photo_id, file.c.path, file.c.state, root.c.path.label("root"))
    query = select(*wanted).join(root, root.c.id == file.c.root_id)
    rows = batch.c.execute(query.where(file.c.photo_id.in_(set(strangers.values())), file.c.id.not_in(busy)))
    gone: dict[int, list[int]] = {}
    unreachable = []
    is_there = functools.cache(_has_entries)  # many rows, few folders, and the database is locked meanwhile
    for r in rows.all():
        if os.path.lexists(os.path.join(r.root, r.path)):
            continue
        if is_there(r.root):
            gone.setdefault(r.photo_id, []).append(r.id)
        elif r.state == FileState.INDEXED:
            unreachable.append(r.id)
    writing.set_missing(batch.c, unreachable)
    return {path: gone[key].pop() for path, key in strangers.items() if gone.get(key)}


def _has_entries(folder: bytes) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def _write_failures(batch: _Batch, failed: Sequence[FailedFile]) -> None:
    gone = [f.stamp.path for f in failed if f.state == FileState.MISSING]
    writing.set_missing(batch.c, [batch.rows[path].id for path in gone if path in batch.rows])
    values = {
        f.stamp.path: {
            **stamp_values(f.stamp),
            "root_id": batch.root_id,
            "state": f.state.value,
            "reason": f.reason,
            "missing_since": None,
        }
        for f in failed
        if f.state != FileState.MISSING and not _still_sound(batch.rows.get(f.stamp.path), f)
    }
    old = {path: batch.rows[path].id for path in values if path in batch.rows}
    writing.update_files(batch.c, [(old[path], row) for path, row in values.items() if path in old])
    strangers = [{"photo_id": None, **row} for path, row in values.items() if path not in old]
    writing.insert_files(batch.c, strangers)


def _still_sound(row: Any, failure: FailedFile) -> bool:
    """Whether the file is unchanged and known, and only this model failed on it: other models' vectors still answer."""
    if row is None or failure.state != FileState.FAILED:
        return False
    same = (row.size_bytes, row.mtime_ns) == (failure.stamp.size_bytes, failure.stamp.mtime_ns)
    return same and row.photo_id is not None and row.state == FileState.INDEXED
