"""Questions to the catalog. Every function takes a connection and runs a fixed number of statements."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, and_, case, exists, func, or_, select

from library.records import FileRow, FileState, ModelStamp, Root
from library.schema import (
    embedding,
    favourite,
    file,
    meta,
    model,
    photo,
    removal,
    root,
    run,
    tag,
    tag_vector,
    thumbnail,
)

T = TypeVar("T")
# SQLite takes at most 32,766 bound values a statement (sqlite.org/limits.html, item 9).
CHUNK = 5_000


def chunked(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Lists of at most `size` values, in order."""
    chunk: list[T] = []
    for value in values:
        chunk.append(value)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def get_meta(c: Connection, key: str) -> str | None:
    """A value that belongs to the library as a whole."""
    return c.execute(select(meta.c.value).where(meta.c.key == key)).scalar()


def revision(c: Connection) -> int:
    """How many times vectors have been written or removed."""
    return int(get_meta(c, "revision") or 0)


def roots(c: Connection) -> list[Root]:
    """The indexed folders, oldest first."""
    rows = c.execute(select(root.c.id, root.c.path).order_by(root.c.id))
    return [Root(r.id, Path(os.fsdecode(r.path))) for r in rows]


def models(c: Connection) -> list[tuple[int, ModelStamp, int]]:
    """(id, stamp, number of vectors) of every model that has been used."""
    count = (
        select(func.count())
        .select_from(embedding)
        .where(embedding.c.model_id == model.c.id)
        .scalar_subquery()
    )
    rows = c.execute(select(model, count.label("n")).order_by(model.c.id))
    return [(r.id, ModelStamp(r.name, r.weights_sha256, r.dim, r.preprocessing), r.n) for r in rows]


def model_id(c: Connection, stamp: ModelStamp) -> int | None:
    """The id of exactly this model, if it has been used."""
    same = and_(
        model.c.name == stamp.name,
        model.c.weights_sha256 == stamp.weights_sha256,
        model.c.dim == stamp.dim,
        model.c.preprocessing == stamp.preprocessing,
    )
    return c.execute(select(model.c.id).where(same)).scalar()


def below(folder: bytes) -> Any:
    """The condition that a file's relative path lies below `folder` (b"" means everywhere)."""
    if not folder:
        return file.c.path != b""
    # "0" is the byte after "/": a range the unique index can answer.
    return or_(file.c.path == folder, and_(file.c.path >= folder + b"/", file.c.path < folder + b"0"))


def file_rows(c: Connection, root_id: int, model_id: int, folder: bytes = b"") -> Iterator[FileRow]:
    """The files of a root as far as the catalog knows them, with whether this model has seen them."""
    yield from _file_rows(c, root_id, model_id, below(folder))


def file_rows_at(c: Connection, root_id: int, model_id: int, paths: Iterable[bytes]) -> Iterator[FileRow]:
    """The same of the files at these paths of the root alone."""
    for part in chunked(paths):
        yield from _file_rows(c, root_id, model_id, file.c.path.in_(part))


def paths_below(c: Connection, root_id: int, folder: bytes) -> list[bytes]:
    """The paths of a root's files below a folder, without those known to be missing."""
    there = file.c.state != FileState.MISSING
    return list(
        c.execute(select(file.c.path).where(file.c.root_id == root_id, below(folder), there)).scalars()
    )


def _file_rows(c: Connection, root_id: int, model_id: int, where: Any) -> Iterator[FileRow]:
    seen = exists().where(embedding.c.model_id == model_id, embedding.c.photo_id == file.c.photo_id)
    wanted = (
        file.c.path,
        file.c.size_bytes,
        file.c.mtime_ns,
        file.c.inode,
        file.c.companions,
        file.c.id,
        file.c.photo_id,
        file.c.state,
        file.c.reason,
    )
    rows = c.execute(select(*wanted, seen.label("seen")).where(file.c.root_id == root_id, where))
    # In lists, by position, and states from a table: less than half of the time, and every run asks for every file.
    states = {state.value: state for state in FileState}
    each = (row for part in rows.partitions(CHUNK) for row in part)
    for path, size_bytes, mtime_ns, inode, companions, key, photo_id, state, reason, has_embedding in each:
        yield FileRow(
            path,
            size_bytes,
            mtime_ns,
            inode,
            tuple(companions.split(b"\0")) if companions else (),
            key,
            photo_id,
            states[state],
            bool(has_embedding),
            reason is not None,
        )


def rows_at(c: Connection, root_id: int, paths: Sequence[bytes]) -> list[Any]:
    """File rows (id, path, photo_id, state, size_bytes, mtime_ns) at these paths of a root."""
    wanted = (file.c.id, file.c.path, file.c.photo_id, file.c.state, file.c.size_bytes, file.c.mtime_ns)
    return list(c.execute(select(*wanted).where(file.c.root_id == root_id, file.c.path.in_(paths))))


def known_contents(c: Connection, sizes_bytes: Iterable[int], model_id: int) -> set[bytes]:
    """SHA-256 of every content of one of these sizes that this model has a vector of."""
    found: set[bytes] = set()
    seen = exists().where(embedding.c.model_id == model_id, embedding.c.photo_id == photo.c.id)
    for sizes in chunked(sizes_bytes):
        found.update(
            c.execute(select(photo.c.content_sha256).where(photo.c.size_bytes.in_(sizes), seen)).scalars()
        )
    return found


def hidden_photo_ids(c: Connection) -> NDArray[np.int64]:
    """Photos none of whose files is on disk and sound, ascending."""
    other = file.alias()
    alive = exists().where(other.c.photo_id == file.c.photo_id, other.c.state == FileState.INDEXED)
    # Named one by one: "not indexed" could not use the index on the state.
    away = file.c.state.in_([state for state in FileState if state != FileState.INDEXED])
    return _ids(c, select(file.c.photo_id).distinct().where(away, file.c.photo_id.is_not(None), ~alive))


def _ids(c: Connection, query: Select[Any]) -> NDArray[np.int64]:
    return np.unique(np.array(c.execute(query).scalars().all(), dtype=np.int64))


def photo_rows(c: Connection, ids: Sequence[int]) -> dict[int, Any]:
    """Facts of the photos, by id; absent ids are left out.

    Beside the columns of `photo`: `favourite` (0 or 1), and `taken_from`, "exif" or "file": where `dated_at` is from.
    """
    found = {}
    is_favourite = func.coalesce(favourite.c.is_favourite, 0).label("favourite")
    taken_from = case((photo.c.taken_at.is_not(None), "exif"), (photo.c.dated_at.is_not(None), "file"))
    query = select(photo, is_favourite, taken_from.label("taken_from"))
    query = query.outerjoin(favourite, favourite.c.photo_id == photo.c.id)
    for part in chunked(ids):
        found.update({r.id: r for r in c.execute(query.where(photo.c.id.in_(part)))})
    return found


def photo_files(c: Connection, ids: Sequence[int]) -> dict[int, list[tuple[Path, FileState]]]:
    """Every file of the photos with its state, those on disk first, then by path."""
    found: dict[int, list[tuple[Path, FileState]]] = {}
    wanted = (file.c.photo_id, root.c.path.label("root"), file.c.path, file.c.state)
    for part in chunked(ids):
        rows = c.execute(
            select(*wanted).join(root, root.c.id == file.c.root_id).where(file.c.photo_id.in_(part))
        )
        for r in rows:
            path = Path(os.fsdecode(os.path.join(r.root, r.path)))
            found.setdefault(r.photo_id, []).append((path, FileState(r.state)))
    for files in found.values():
        files.sort(key=lambda pair: (pair[1] != FileState.INDEXED, os.fsencode(pair[0])))
    return found


def photo_tags(c: Connection, ids: Sequence[int]) -> dict[int, list[Any]]:
    """Rows (photo_id, name, state, score, decided_at) of the photos, by photo."""
    found: dict[int, list[Any]] = {}
    for part in chunked(ids):
        for r in c.execute(select(tag).where(tag.c.photo_id.in_(part)).order_by(tag.c.photo_id, tag.c.name)):
            found.setdefault(r.photo_id, []).append(r)
    return found


def decided_tags(c: Connection) -> Iterator[Any]:
    """Rows (content_sha256, name, state, score, decided_at) of what people confirmed or rejected."""
    wanted = (photo.c.content_sha256, photo.c.id, tag.c.name, tag.c.state, tag.c.score, tag.c.decided_at)
    query = select(*wanted).join(photo, photo.c.id == tag.c.photo_id).where(tag.c.state != "suggested")
    yield from c.execute(query.order_by(photo.c.id, tag.c.name))


def thumbnails(c: Connection, ids: Sequence[int]) -> dict[int, bytes]:
    """WebP thumbnails by photo id."""
    found: dict[int, bytes] = {}
    for part in chunked(ids):
        rows = c.execute(select(thumbnail.c.photo_id, thumbnail.c.webp).where(thumbnail.c.photo_id.in_(part)))
        found.update({r.photo_id: r.webp for r in rows})
    return found


def embedding_count(c: Connection, model_id: int) -> int:
    """How many photos this model has a vector of."""
    return int(
        c.execute(
            select(func.count()).select_from(embedding).where(embedding.c.model_id == model_id)
        ).scalar_one()
    )


def embeddings(
    c: Connection, model_id: int, dim: int, *, since_revision: int = -1, ids: Sequence[int] | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Chunks of (ids (n,), vectors (n, D) float32, L2 norm 1) written after a revision, ascending by id."""
    query = select(embedding.c.photo_id, embedding.c.vector).where(embedding.c.model_id == model_id)
    if since_revision >= 0:
        query = query.where(embedding.c.revision > since_revision)
    queries = (
        [query] if ids is None else [query.where(embedding.c.photo_id.in_(part)) for part in chunked(ids)]
    )
    for each in queries:
        for keys, blobs in _blobs(c, each):
            yield keys, unpack(blobs, dim)


def halves(c: Connection, model_id: int, dim: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
    """Chunks of (ids (n,), vectors (n, D) float16 as they are stored), ascending by id."""
    query = select(embedding.c.photo_id, embedding.c.vector).where(embedding.c.model_id == model_id)
    for keys, blobs in _blobs(c, query):
        yield keys, np.frombuffer(b"".join(blobs), dtype="<f2").reshape(len(blobs), dim)


def _blobs(c: Connection, query: Select[Any]) -> Iterator[tuple[NDArray[np.int64], list[bytes]]]:
    ordered = query.order_by(embedding.c.photo_id).execution_options(yield_per=CHUNK)
    for part in c.execute(ordered).partitions():
        yield np.array([r[0] for r in part], dtype=np.int64), [r[1] for r in part]


def unpack(blobs: Sequence[bytes], dim: int) -> NDArray[np.float32]:
    """(n, D) float32 with L2 norm 1 from float16 blobs; rounding to float16 is undone by normalising."""
    vectors = np.frombuffer(b"".join(blobs), dtype="<f2").reshape(len(blobs), dim).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def remembered_texts(c: Connection, model_id: int, dim: int, most: int) -> NDArray[np.float32]:
    """Vectors (m, D) float32 of at most so many texts that this model has embedded, L2 norm 1; m may be 0."""
    mine = tag_vector.c.model_id == model_id
    rows = c.execute(
        select(tag_vector.c.vector).where(mine).order_by(tag_vector.c.prompts_sha256).limit(most)
    )
    found = [np.frombuffer(blob, "<f4") for blob in rows.scalars() if len(blob) == 4 * dim]
    return np.stack(found) if found else np.empty((0, dim), np.float32)


def removals(c: Connection, model_id: int, since_revision: int) -> NDArray[np.int64]:
    """Ids of photos whose vectors went away after a revision."""
    return _ids(
        c,
        select(removal.c.photo_id).where(removal.c.model_id == model_id, removal.c.revision > since_revision),
    )


def file_counts(c: Connection) -> dict[str, int]:
    """Number of files by state."""
    rows = c.execute(select(file.c.state, func.count()).group_by(file.c.state))
    counts: dict[str, int] = {r[0]: r[1] for r in rows}
    return {state.value: counts.get(state.value, 0) for state in FileState}


def photo_count(c: Connection) -> int:
    """Number of photos, whatever the state of their files."""
    return int(c.execute(select(func.count()).select_from(photo)).scalar_one())


def problem_files(c: Connection, states: Sequence[FileState], limit: int | None = None) -> list[Any]:
    """Rows (path, state, reason) of files in these states, with absolute paths as bytes."""
    query = select(root.c.path.label("root"), file.c.path, file.c.state, file.c.reason).join(
        root, root.c.id == file.c.root_id
    )
    return list(
        c.execute(query.where(file.c.state.in_(states)).order_by(root.c.path, file.c.path).limit(limit))
    )


def root_rows(c: Connection) -> list[Any]:
    """Rows (id, path, scanned_at, offline, files, missing) of the indexed folders."""
    missing = func.sum(case((file.c.state == FileState.MISSING, 1), else_=0)).label("missing")
    query = select(
        root.c.id,
        root.c.path,
        root.c.scanned_at,
        root.c.offline,
        func.count(file.c.id).label("files"),
        missing,
    )
    return list(
        c.execute(
            query.outerjoin(file, file.c.root_id == root.c.id).group_by(root.c.id).order_by(root.c.path)
        )
    )


def last_runs(c: Connection, limit: int = 1) -> list[Any]:
    """Rows of the newest runs, newest first."""
    return list(c.execute(select(run).order_by(run.c.id.desc()).limit(limit)))


def photos_without_embedding(c: Connection, model_id: int) -> int:
    """How many photos with a file on disk this model has not seen."""
    live = exists().where(file.c.photo_id == photo.c.id, file.c.state == FileState.INDEXED)
    seen = exists().where(embedding.c.model_id == model_id, embedding.c.photo_id == photo.c.id)
    return int(c.execute(select(func.count()).select_from(photo).where(live, ~seen)).scalar_one())


def embedded_photo_ids(c: Connection, model_id: int) -> NDArray[np.int64]:
    """Photos on disk that this model has a vector of, ascending."""
    live = exists().where(file.c.photo_id == embedding.c.photo_id, file.c.state == FileState.INDEXED)
    return _ids(c, select(embedding.c.photo_id).where(embedding.c.model_id == model_id, live))


def all_photo_ids(c: Connection) -> list[int]:
    """Every photo, ascending."""
    return list(c.execute(select(photo.c.id).order_by(photo.c.id)).scalars())


def photo_ids_of(c: Connection, contents: Iterable[bytes]) -> dict[bytes, int]:
    """Photo ids by SHA-256 of the content; absent contents are left out."""
    found: dict[bytes, int] = {}
    for part in chunked(contents):
        rows = c.execute(select(photo.c.content_sha256, photo.c.id).where(photo.c.content_sha256.in_(part)))
        found.update({r.content_sha256: r.id for r in rows})
    return found
