"""Changes to the catalog, for `library.store` alone. Each function runs inside the caller's transaction."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, literal, select, update

from library.catalog.favourites import copy_favourites
from library.catalog.reading import chunked, get_meta, revision
from library.filetimes import local_time
from library.records import FileStamp, FileState, ModelStamp, NewPhoto
from library.schema import embedding, file, meta, model, photo, removal, root, run, tag, thumbnail


def now() -> str:
    """The time in UTC, as the catalog writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def set_meta(c: Connection, key: str, value: str) -> None:
    """Remember a value for the library as a whole."""
    if get_meta(c, key) is None:
        c.execute(insert(meta).values(key=key, value=value))
    else:
        c.execute(update(meta).where(meta.c.key == key).values(value=value))


def next_revision(c: Connection) -> int:
    """Count one more change of vectors."""
    number = revision(c) + 1
    set_meta(c, "revision", str(number))
    return number


def ensure_root(c: Connection, path: Path) -> int:
    """The id of an indexed folder, made if it is new."""
    raw = os.fsencode(path)
    found = c.execute(select(root.c.id).where(root.c.path == raw)).scalar()
    return int(
        found
        if found is not None
        else c.execute(insert(root).values(path=raw).returning(root.c.id)).scalar_one()
    )


def mark_scanned(c: Connection, root_id: int, *, offline: bool, back: bool) -> None:
    """Remember when a root was looked at; once it seemed to be away, it does until some of its files are back."""
    seen: dict[str, Any] = {"scanned_at": now()}
    if offline or back:
        seen["offline"] = int(offline)
    c.execute(update(root).where(root.c.id == root_id).values(seen))


def ensure_model(c: Connection, stamp: ModelStamp) -> int:
    """The id of exactly this model, made if it is new."""
    found = c.execute(select(model.c.id).filter_by(**dataclasses.asdict(stamp))).scalar()
    return int(
        found
        if found is not None
        else c.execute(insert(model).values(**dataclasses.asdict(stamp)).returning(model.c.id)).scalar_one()
    )


def stamp_values(stamp: FileStamp) -> dict[str, Any]:
    """The columns of a file row that a scan decides."""
    return {
        "path": stamp.path,
        "size_bytes": stamp.size_bytes,
        "mtime_ns": stamp.mtime_ns,
        "inode": stamp.inode,
        "companions": b"\0".join(stamp.companions),
    }


def update_files(c: Connection, changes: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Set columns of file rows, given as (id, {column: value}); all mappings have the same columns."""
    if not changes:
        return
    columns: dict[str, Any] = {name: bindparam(f"new_{name}") for name in changes[0][1]}
    values = [{"key": key, **{f"new_{name}": v for name, v in row.items()}} for key, row in changes]
    c.execute(update(file).where(file.c.id == bindparam("key")).values(columns), values)


def date_photos(c: Connection, photo_ids: Iterable[int]) -> None:
    """See that photos have their date: EXIF's, else the earliest time of their files."""
    earliest = func.min(file.c.mtime_ns).label("mtime_ns")
    wanted = (photo.c.id, photo.c.taken_at, photo.c.dated_at, earliest)
    query = select(*wanted).join(file, file.c.photo_id == photo.c.id).group_by(photo.c.id)
    for part in chunked(photo_ids):
        rows = c.execute(query.where(photo.c.id.in_(part))).all()
        dates = [(r.id, r.dated_at, r.taken_at or local_time(r.mtime_ns)) for r in rows]
        changed = [{"key": key, "date": date} for key, old, date in dates if old != date]
        if changed:
            dated = update(photo).where(photo.c.id == bindparam("key")).values(dated_at=bindparam("date"))
            c.execute(dated, changed)


def date_photos_of(c: Connection, file_ids: Iterable[int]) -> None:
    """The same for the photos of these files."""
    for part in chunked(file_ids):
        shown = select(file.c.photo_id).where(file.c.id.in_(part), file.c.photo_id.is_not(None))
        date_photos(c, set(c.execute(shown).scalars()))


def move_files(c: Connection, moves: Sequence[tuple[int, FileStamp]]) -> None:
    """Give file rows new paths; two files may have swapped theirs."""
    # An empty path with a row's own number is no path a scan can find, so it is free.
    update_files(c, [(key, {"path": b"\0%d" % key}) for key, _ in moves])
    there = {"state": FileState.INDEXED.value, "reason": None, "missing_since": None}
    update_files(c, [(key, {**stamp_values(stamp), **there}) for key, stamp in moves])


def set_missing(c: Connection, file_ids: Iterable[int]) -> None:
    """Files that a scan did not find. Nothing about them is deleted."""
    for part in chunked(file_ids):
        c.execute(
            update(file).where(file.c.id.in_(part)).values(state=FileState.MISSING.value, missing_since=now())
        )


def set_returned(c: Connection, returned: Sequence[tuple[int, FileStamp]]) -> None:
    """Files that are back, unchanged."""
    there = {"state": FileState.INDEXED.value, "reason": None, "missing_since": None}
    update_files(c, [(key, {**stamp_values(stamp), **there}) for key, stamp in returned])


def insert_files(c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """New file rows."""
    if rows:
        c.execute(insert(file), list(rows))


def delete_files(c: Connection, file_ids: Sequence[int]) -> int:
    """Delete file rows, and photos that have none left with everything known about them. Returns photos deleted."""
    touched: set[int] = set()
    for part in chunked(file_ids):
        touched.update(
            c.execute(
                select(file.c.photo_id).where(file.c.id.in_(part), file.c.photo_id.is_not(None))
            ).scalars()
        )
        c.execute(delete(file).where(file.c.id.in_(part)))
    gone = delete_orphans(c, touched)
    date_photos(c, touched.difference(gone))
    return len(gone)


def delete_orphans(c: Connection, photo_ids: Iterable[int]) -> list[int]:
    """Delete those of the photos that no file row names any more."""
    gone = orphans(c, photo_ids)
    delete_photos(c, gone)
    return gone


def orphans(c: Connection, photo_ids: Iterable[int]) -> list[int]:
    """Those of the photos that no file row names any more."""
    found: list[int] = []
    for part in chunked(photo_ids):
        kept = exists().where(file.c.photo_id == photo.c.id)
        found += c.execute(select(photo.c.id).where(photo.c.id.in_(part), ~kept)).scalars().all()
    return found


def delete_photos(c: Connection, photo_ids: Sequence[int]) -> None:
    """Delete photos with everything known about them."""
    if photo_ids:
        forget_vectors(c, photo_ids, next_revision(c))
    for part in chunked(photo_ids):
        c.execute(delete(photo).where(photo.c.id.in_(part)))


def forget_vectors(
    c: Connection, photo_ids: Sequence[int], number: int, *, model_id: int | None = None
) -> None:
    """Delete the photos' vectors of every model, or of one, and log it for the FAISS files."""
    for part in chunked(photo_ids):
        going: list[Any] = [embedding.c.photo_id.in_(part)]
        if model_id is not None:
            going.append(embedding.c.model_id == model_id)
        lost = select(embedding.c.model_id, embedding.c.photo_id, literal(number)).where(*going)
        c.execute(insert(removal).from_select(["model_id", "photo_id", "revision"], lost))
        c.execute(delete(embedding).where(*going))


def fill_thumbnails(c: Connection, items: Sequence[NewPhoto]) -> None:
    """Give photos that lack their thumbnail the one that was made when their content was read again."""
    pictures = {item.content_sha256: item.thumbnail for item in items}
    there = exists().where(thumbnail.c.photo_id == photo.c.id, func.length(thumbnail.c.webp) > 0)
    lacking = select(photo.c.id, photo.c.content_sha256).where(photo.c.content_sha256.in_(pictures), ~there)
    rows = [{"photo_id": r.id, "webp": pictures[r.content_sha256]} for r in c.execute(lacking)]
    if rows:
        c.execute(delete(thumbnail).where(thumbnail.c.photo_id.in_([row["photo_id"] for row in rows])))
        c.execute(insert(thumbnail), rows)


def copy_decisions(c: Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Give photos the tags of others and whether they are favourites, as (from, to); what they have stays."""
    copy_favourites(c, pairs)
    for source, target in pairs:
        other = tag.alias()
        taken = exists().where(other.c.photo_id == target, other.c.name == tag.c.name)
        columns = ["photo_id", "name", "state", "score", "decided_at"]
        wanted = select(literal(target), tag.c.name, tag.c.state, tag.c.score, tag.c.decided_at).where(
            tag.c.photo_id == source, ~taken
        )
        c.execute(insert(tag).from_select(columns, wanted))


def set_decisions(c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write tags (photo_id, name, state, score, decided_at) over what the photos have under those names."""
    if not rows:
        return
    named = delete(tag).where(tag.c.photo_id == bindparam("old_photo"), tag.c.name == bindparam("old_name"))
    c.execute(named, [{"old_photo": r["photo_id"], "old_name": r["name"]} for r in rows])
    c.execute(insert(tag), list(rows))


def start_run(c: Connection, kind: str) -> int:
    """Open a record of one run."""
    return int(c.execute(insert(run).values(kind=kind, started_at=now()).returning(run.c.id)).scalar_one())


def finish_run(c: Connection, run_id: int, report: str) -> None:
    """Close the record of a run with its report (JSON)."""
    c.execute(update(run).where(run.c.id == run_id).values(ended_at=now(), report=report))
