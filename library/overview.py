"""What a library holds and how it is: `oko status` in one frozen record. Loads neither a model nor any vectors."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from library.catalog import Connection, checks, reading
from library.errors import OkoError
from library.folder import CATALOG_NAME
from library.models import Registry
from library.records import FileState, ModelStamp
from library.store import Store
from library.vectors import read_stamp

CLOCK_SLACK_S = 2.0  # the time of boot, from which a process's beginning is counted, is known to a second


class Presence(StrEnum):
    """Whether an indexed folder is there."""

    THERE = "there"
    ABSENT = "absent"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    SUSPICIOUS = "suspicious"  # at the last scan so much of it was gone that the drive is the likelier cause


@dataclass(frozen=True, slots=True)
class Folder:
    """One indexed folder."""

    id: int
    path: Path
    presence: Presence
    files: int
    missing_files: int
    scanned_at: str | None  # ISO 8601, UTC

    @property
    def is_offline(self) -> bool:
        """Whether its missing files say more about a drive than about themselves."""
        return self.presence != Presence.THERE


@dataclass(frozen=True, slots=True)
class ModelUse:
    """One model's vectors. `index` is "current", "behind", "missing", "torn", "foreign" or "empty"."""

    id: int
    stamp: ModelStamp
    photos: int
    share_complete: float  # of the photos on disk, 0 to 1
    is_library_model: bool
    vectors_bytes: int  # in the catalog
    index: str
    index_behind: int  # vectors written or removed since the index was saved
    index_bytes: int
    recall: float | None = None  # at 10, of an index that is not exact, as measured when it was made


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run. `state` is "complete", "interrupted", "running" or "killed"."""

    kind: str
    started_at: str
    ended_at: str | None
    state: str
    report: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Disk:
    """Space in bytes. The thumbnails are a part of the catalog, and estimated."""

    catalog: int
    wal: int
    indexes: int
    thumbnails: int

    @property
    def total(self) -> int:
        """Everything together."""
        return self.catalog + self.wal + self.indexes


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything `oko status` says."""

    folder: Path
    model: str | None  # as recorded: the name of the library's own model
    photos: int
    photos_on_disk: int
    files: dict[str, int]  # by state
    roots: tuple[Folder, ...]
    models: tuple[ModelUse, ...]
    last_run: LastRun | None
    disk: Disk
    writer: dict[str, Any] | None  # pid, purpose, since


def look_over(store: Store) -> Overview:
    """Gather the overview of an open library."""
    writer = current_writer(store.folder)
    own = library_model(store)
    with store.catalog.reading() as c:
        live = checks.live_photo_count(c)
        return Overview(
            folder=store.folder,
            model=reading.get_meta(c, "model"),
            photos=reading.photo_count(c),
            photos_on_disk=live,
            files=reading.file_counts(c),
            roots=tuple(indexed_folders(c)),
            models=tuple(
                _model_use(c, store, row, live, own)
                for row in reading.models(c)
                if row[2] or (own is not None and row[0] == own[0])
            ),
            last_run=_last_run(c, is_writing=writer is not None),
            disk=_disk(c, store.folder),
            writer=writer,
        )


def library_model(store: Store) -> tuple[int, ModelStamp] | None:
    """The model that made the vectors this library searches when none is named; None before the first run.

    Of several with its name (the weights were replaced, say) it is the newest that has vectors.
    """
    name = store.default_model()
    if name is None:
        return None
    # One that the registry no longer knows still has its vectors, under the recorded name.
    with contextlib.suppress(OkoError):
        name = Registry(store.folder).resolve(name).canonical_name
    with store.catalog.reading() as c:
        found = [(key, stamp, n) for key, stamp, n in reading.models(c) if stamp.name == name]
    found.sort(key=lambda row: (row[2] > 0, row[0]))
    return found[-1][:2] if found else None


def indexed_folders(c: Connection) -> list[Folder]:
    """The indexed folders, and whether they are there now."""
    rows = [(r, Path(os.fsdecode(r.path))) for r in reading.root_rows(c)]
    return [Folder(r.id, p, presence(p, r.offline), r.files, r.missing or 0, r.scanned_at) for r, p in rows]


def presence(path: Path, flagged: bool) -> Presence:
    """Whether a folder is there, and has anything in it; `flagged`: the last scan took it for offline."""
    try:
        with os.scandir(path) as entries:
            is_empty = next(entries, None) is None
    except (FileNotFoundError, NotADirectoryError):
        return Presence.ABSENT
    except OSError:
        return Presence.UNREADABLE
    if is_empty:
        return Presence.EMPTY
    return Presence.SUSPICIOUS if flagged else Presence.THERE


def current_writer(folder: Path) -> dict[str, Any] | None:
    """Who writes to the library now (pid, purpose, since), or None. What a killed writer left is not believed."""
    from filelock import FileLock, Timeout

    if not (folder / "writer.lock").exists():
        return None
    note = _writer_note(folder)
    if note is not None and _is_alive(note["pid"], note.pop("began")):
        return note  # without the lock: whoever looks often must not be in the way of a writer that does not wait
    lock = FileLock(folder / "writer.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        note = _writer_note(folder) or {}
        return {name: note.get(name) for name in ("pid", "purpose", "since")}
    except OSError:  # not ours to write: the note and the process table must do
        return None
    lock.release()
    return None


def _is_alive(pid: int, began: float | None) -> bool:
    """Whether the process that wrote the note runs: one that began at another time has only got its number."""
    import psutil

    try:
        return began is not None and abs(psutil.Process(pid).create_time() - began) < CLOCK_SLACK_S
    except (psutil.Error, OSError, ValueError, OverflowError):
        return False


def _writer_note(folder: Path) -> dict[str, Any] | None:
    try:
        note = json.loads((folder / "writer.json").read_text())
        began = float(note["began"]) if "began" in note else None
        who = {"pid": int(note["pid"]), "purpose": str(note["purpose"]), "since": str(note["since"])}
        return {**who, "began": began}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def index_state(c: Connection, store: Store, model_id: int, stamp: ModelStamp) -> tuple[str, int]:
    """(state, vectors behind) of a model's saved index; see `ModelUse.index`. Reads only its last bytes."""
    count = reading.embedding_count(c, model_id)
    path = store.index_path(model_id)
    if not count and not path.exists():
        return "empty", 0
    try:
        saved = read_stamp(path)
    except FileNotFoundError:
        return "missing", count
    except (OSError, ValueError, KeyError, TypeError):
        return "torn", count
    belongs = (saved.library_id, saved.model_id, saved.dim)
    if belongs != (reading.get_meta(c, "library_id"), model_id, stamp.dim):
        return "foreign", count
    if saved.revision > reading.revision(c):
        return "foreign", count  # of a later state than this catalog, which was perhaps restored
    # Revisions count the changes of all models, so an older one alone does not mean that anything is lacking.
    behind = checks.changes_since(c, model_id, saved.revision)
    if behind:
        return "behind", behind
    return ("current", 0) if saved.count == count else ("torn", count)


def _model_use(
    c: Connection,
    store: Store,
    row: tuple[int, ModelStamp, int],
    live: int,
    own: tuple[int, ModelStamp] | None,
) -> ModelUse:
    model_id, stamp, photos = row
    without = reading.photos_without_embedding(c, model_id)
    index, behind = index_state(c, store, model_id, stamp)
    return ModelUse(
        id=model_id,
        stamp=stamp,
        photos=photos,
        share_complete=1 - without / live if live else 1.0,
        is_library_model=own is not None and own[0] == model_id,
        vectors_bytes=photos * 2 * stamp.dim,
        index=index,
        index_behind=behind,
        index_bytes=_size_bytes(store.index_path(model_id)),
        recall=_recall(store.index_path(model_id)),
    )


def _recall(path: Path) -> float | None:
    try:
        return read_stamp(path).recall
    except (OSError, ValueError):
        return None


def _last_run(c: Connection, *, is_writing: bool) -> LastRun | None:
    for row in reading.last_runs(c):
        report = json.loads(row.report) if row.report else None
        if row.ended_at is None:
            state = "running" if is_writing else "killed"
        else:
            state = "interrupted" if report and report.get("interrupted") else "complete"
        return LastRun(row.kind, row.started_at, row.ended_at, state, report)
    return None


def _disk(c: Connection, folder: Path) -> Disk:
    return Disk(
        catalog=_size_bytes(folder / CATALOG_NAME),
        wal=_size_bytes(folder / f"{CATALOG_NAME}-wal"),
        indexes=sum(map(_size_bytes, folder.glob("vectors-*.faiss"))),
        thumbnails=checks.thumbnails_bytes(c),
    )


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def problem_rows(store: Store) -> list[tuple[bytes, str, str]]:
    """(absolute path, state, reason) of every file that could not be indexed."""
    with store.catalog.reading() as c:
        rows = reading.problem_files(c, [FileState.UNREADABLE, FileState.FAILED])
    return [(os.path.join(r.root, r.path), r.state, r.reason or "no reason was recorded") for r in rows]
