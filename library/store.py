"""The library on disk: the only writer of the catalog and of the vector index.

A write is one SQLite transaction; the index in memory follows it, and its file is a cache that is caught up
or made anew when the library is opened. So `kill -9` at any moment loses at most the batch in flight.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from library.catalog import Catalog, Connection, forgetting, open_catalog, reading, writing
from library.catalog.batch import Written, write_batch
from library.catalog.forgetting import Chosen
from library.errors import LibraryUnreadable, ModelMismatch, NoLibrary
from library.folder import CATALOG_NAME, create_folder, refuse_network, writer_lock
from library.records import FailedFile, FileStamp, FileState, KnownPhoto, ModelStamp, NewPhoto, Root
from library.vectors import TEMPORARY_SUFFIX, FlatIndex, IndexStamp, VectorIndex, read_stamp

log = logging.getLogger(__name__)

# A reader that had to catch up by more vectors than this saves the index for the next one.
SAVE_AFTER = 2_000
# A temporary index file older than this is nobody's any more: the largest is written within seconds.
STALE_AFTER_S = 600


@dataclass(slots=True)
class _Loaded:
    """One model's index in memory, and which state of the catalog it reflects. -1: none, nothing."""

    index: FlatIndex
    revision: int = -1
    saved_revision: int = -1
    checked: bool = False  # against the number of vectors in the catalog, at `revision`


class Store:
    """An open library. Use `Store.open` to read and `Store.open_writer` to write."""

    def __init__(self, folder: Path, catalog: Catalog, *, writer: bool) -> None:
        self.folder = folder
        self.catalog = catalog
        self.writer = writer
        self._loaded: dict[int, _Loaded] = {}
        self._lock = threading.RLock()  # over what is loaded; the indexes and the catalog have their own

    @classmethod
    def open(cls, folder: Path, *, database_url: str = "") -> Store:
        """Open an existing library for reading. Raises NoLibrary and the other LibraryErrors."""
        if not database_url and not _exists(folder):
            raise NoLibrary(folder)
        refuse_network(folder)
        return cls(folder, open_catalog(folder, database_url, create=False), writer=False)

    @classmethod
    @contextlib.contextmanager
    def open_writer(
        cls, folder: Path, *, purpose: str, timeout_s: float, database_url: str = "", create: bool = False
    ) -> Iterator[Store]:
        """Open a library for writing, as the only writer, made if `create` is given and it is not there.

        Raises LibraryLocked if another writer holds it for longer than `timeout_s`.
        """
        if create:
            create_folder(folder)
        elif not database_url and not _exists(folder):
            raise NoLibrary(folder)
        refuse_network(folder)
        with writer_lock(folder, purpose=purpose, timeout_s=timeout_s):
            catalog = open_catalog(folder, database_url, create=create or not database_url)
            store = cls(folder, catalog, writer=True)
            try:
                store._ensure_id()
                store._tidy_up()
                yield store
            finally:
                store.close()

    def close(self) -> None:
        """Save what is only in memory, as far as that is possible, and give the files back."""
        try:
            if self.writer:
                for model_id in self._loaded:
                    self._save(model_id)
        finally:
            self.catalog.close()

    def _ensure_id(self) -> None:
        with self.catalog.writing() as c:
            if reading.get_meta(c, "library_id") is None:
                writing.set_meta(c, "library_id", uuid.uuid4().hex)

    def _tidy_up(self) -> None:
        """Delete index files that are not of this catalog, and parts of some that a killed process left behind.

        An index ahead of the catalog (restored from a backup, or cut back by a power failure) must go before new
        revisions catch up with it.
        """
        with self.catalog.reading() as c:
            library_id, newest = reading.get_meta(c, "library_id"), reading.revision(c)
        for path in self.folder.glob("vectors-*.faiss*"):
            with contextlib.suppress(OSError):
                if path.suffix == TEMPORARY_SUFFIX:
                    stale = time.time() - path.stat().st_mtime > STALE_AFTER_S
                else:
                    stale = not _belongs(path, library_id, newest)
                if stale:
                    log.info("%s belongs to another state of the library and is deleted", path)
                    path.unlink()

    # Vectors

    def index_path(self, model_id: int) -> Path:
        """Where the index of one model is cached."""
        return self.folder / f"vectors-{model_id}.faiss"

    def model_id(self, stamp: ModelStamp) -> int:
        """The id of a model that has vectors here. Raises ModelMismatch naming those that have."""
        with self.catalog.reading() as c:
            found = reading.model_id(c, stamp)
            if found is not None:
                return found
            others = [f"{s.name} ({n:,} photos)" for _, s, n in reading.models(c) if n]
        if not others:
            raise NoLibrary(self.folder)
        raise ModelMismatch(
            f"this library has no vectors made by {stamp.name} with these weights; "
            f"it has those of {', '.join(others) or 'no model'}",
            hint=f"Make them: oko index --model {stamp.name}",
        )

    def use_model(self, stamp: ModelStamp) -> int:
        """The id of a model, recorded if it is new here."""
        with self.catalog.writing() as c:
            return writing.ensure_model(c, stamp)

    def vectors(self, model_id: int, dim: int) -> VectorIndex:
        """The index of one model, agreeing with the catalog as it is now."""
        with self._lock:
            if model_id not in self._loaded:
                self._loaded[model_id] = self._load(model_id, dim)
            self._catch_up(model_id)
            return self._loaded[model_id].index

    def _load(self, model_id: int, dim: int) -> _Loaded:
        with self.catalog.reading() as c:
            library_id, newest = reading.get_meta(c, "library_id"), reading.revision(c)
        path = self.index_path(model_id)
        try:
            index, stamp = FlatIndex.read(path)
        except FileNotFoundError:
            return _Loaded(FlatIndex(dim))
        except (ValueError, OSError) as e:
            log.info("the vector index %s is made anew: %s", path, e)
            return _Loaded(FlatIndex(dim))
        wanted = (library_id, model_id, dim)
        if (stamp.library_id, stamp.model_id, stamp.dim) != wanted or stamp.revision > newest:
            log.info("the vector index %s belongs to another state of the library and is made anew", path)
            return _Loaded(FlatIndex(dim))
        return _Loaded(index, stamp.revision, stamp.revision)

    def _catch_up(self, model_id: int) -> None:
        loaded = self._loaded[model_id]
        added = 0
        with self.catalog.reading() as c:
            newest = reading.revision(c)
            if loaded.checked and newest == loaded.revision:
                return
            if newest != loaded.revision:
                if loaded.revision >= 0:
                    loaded.index.remove(reading.removals(c, model_id, loaded.revision))
                added = _add_all(c, loaded.index, model_id, loaded.revision)
            if len(loaded.index) != reading.embedding_count(c, model_id):
                log.info(
                    "the vector index of model %d did not agree with the catalog and is made anew", model_id
                )
                loaded = self._loaded[model_id] = _Loaded(FlatIndex(loaded.index.dim))
                added = _add_all(c, loaded.index, model_id, -1)
        loaded.revision, loaded.checked = newest, True
        if added > SAVE_AFTER or loaded.saved_revision < 0:
            self._save(model_id)

    def _save(self, model_id: int) -> None:
        with self._lock:
            loaded = self._loaded[model_id]
            if loaded.saved_revision == loaded.revision:
                return
            with self.catalog.reading() as c:
                library_id = reading.get_meta(c, "library_id") or ""
            index = loaded.index
            stamp = IndexStamp(library_id, model_id, index.dim, loaded.revision, len(index))
            try:
                index.write(self.index_path(model_id), stamp)
                loaded.saved_revision = loaded.revision
            except OSError as e:
                # Only a cache: the next opening makes it anew from the catalog.
                log.warning("the vector index could not be saved (%s); the next search makes it anew", e)

    def save_index(self, model_id: int, dim: int) -> None:
        """Bring the cached index of a model up to date on disk; quick when it is already."""
        if model_id not in self._loaded and self._is_saved(model_id, dim):
            return
        self.vectors(model_id, dim)
        self._save(model_id)

    def _is_saved(self, model_id: int, dim: int) -> bool:
        with self.catalog.reading() as c:
            count, newest = reading.embedding_count(c, model_id), reading.revision(c)
            wanted = IndexStamp(reading.get_meta(c, "library_id") or "", model_id, dim, newest, count)
        try:
            return read_stamp(self.index_path(model_id)) == wanted
        except (OSError, ValueError):
            return False

    # Writing

    def add(
        self,
        root_id: int,
        model_id: int,
        new: Sequence[NewPhoto],
        known: Sequence[KnownPhoto] = (),
        failed: Sequence[FailedFile] = (),
    ) -> list[FileStamp]:
        """Write one batch in one transaction. Returns the files whose content turned out not to be known."""
        written: Written
        with self.catalog.writing() as c:
            written = write_batch(c, root_id, model_id, new, known, failed)
            writing.fill_thumbnails(c, new)
        with self._lock:
            self._follow(model_id, written)
        return written.lost

    def _follow(self, model_id: int, written: Written) -> None:
        """Bring the index in memory to where the batch brought the catalog, if it was there before."""
        loaded = self._loaded.get(model_id)
        if loaded is None or loaded.revision < written.revision - 1:
            return
        loaded.index.remove(np.array(written.removed, np.int64))
        if len(written.ids):
            loaded.index.add(written.ids, written.vectors)
        # A deletion of orphans counts a revision of its own.
        loaded.revision, loaded.checked = written.revision + bool(written.removed), False

    def add_root(self, path: Path) -> Root:
        """The root at `path` (absolute), made if it is new."""
        with self.catalog.writing() as c:
            return Root(writing.ensure_root(c, path), path)

    def apply(
        self,
        root_id: int,
        *,
        moved: Sequence[tuple[int, FileStamp]] = (),
        returned: Sequence[tuple[int, FileStamp]] = (),
        restamped: Sequence[tuple[int, FileStamp]] = (),
        missing: Sequence[int] = (),
        offline: bool = False,
    ) -> None:
        """Write what a scan found out without opening a file, in one transaction."""
        with self.catalog.writing() as c:
            writing.move_files(c, moved)
            writing.set_returned(c, returned)
            writing.update_files(c, [(key, writing.stamp_values(stamp)) for key, stamp in restamped])
            writing.set_missing(c, missing)
            writing.mark_scanned(c, root_id, offline=offline, back=bool(returned))

    def absorb(self, root_id: int, companions: Mapping[bytes, bytes]) -> None:
        """Files that were photos of their own and are now companions (path -> main path): their tags go along."""
        paths = [*companions, *companions.values()]
        with self.catalog.writing() as c:
            rows = {r.path: r for part in reading.chunked(paths) for r in reading.rows_at(c, root_id, part)}
            # As long as its main picture has not been read, a companion goes on as the photo that it was.
            pairs = [
                (rows[a], rows[b])
                for a, b in companions.items()
                if a in rows and b in rows and rows[b].state == FileState.INDEXED
            ]
            heirs = [(a.photo_id, b.photo_id) for a, b in pairs if a.photo_id not in (None, b.photo_id)]
            writing.copy_decisions(c, heirs)
            writing.delete_files(c, [a.id for a, _ in pairs])

    def forget(self, files: Sequence[Chosen], *, root_ids: Sequence[int] = ()) -> tuple[int, bool]:
        """Delete files, folders, and photos left without any file, with everything known about them.

        Returns (photos deleted, whether their bytes are gone from the database file too: another program
        that reads the catalog at this moment, or a full disk, can prevent that).
        """
        with self.catalog.writing() as c:
            going = [root.path for root in reading.roots(c) if root.id in root_ids]
            photos = writing.delete_files(c, [each.id for each in files])
            forgetting.delete_roots(c, root_ids)
            forgetting.scrub_runs(c, [*going, *(each.path for each in files)])
            models = reading.models(c)
        for model_id, stamp, _ in models:
            self.vectors(model_id, stamp.dim)
            self.index_path(model_id).unlink(
                missing_ok=True
            )  # the old one must not survive a failure to save
            self._loaded[model_id].saved_revision = -1
            self._save(model_id)
        return photos, forgetting.compact(self.catalog)

    def drop_vectors(self, model_id: int, photo_ids: Sequence[int]) -> None:
        """Delete vectors of one model, so that the next run makes them anew."""
        with self.catalog.writing() as c:
            writing.forget_vectors(c, photo_ids, writing.next_revision(c), model_id=model_id)

    def delete_photos_without_files(self, photo_ids: Sequence[int]) -> int:
        """Delete those of the photos that no file row names. Returns how many went."""
        with self.catalog.writing() as c:
            return len(writing.delete_orphans(c, photo_ids))

    def rebuild_index(self, model_id: int, dim: int) -> bool:
        """Make the cached index of a model anew from the catalog; returns whether it could be saved."""
        with self._lock:
            self._loaded[model_id] = _Loaded(FlatIndex(dim))
            self.save_index(model_id, dim)
            return self._is_saved(model_id, dim)

    def set_decisions(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write tags (photo_id, name, state, score, decided_at), replacing those of the same names."""
        with self.catalog.writing() as c:
            writing.set_decisions(c, rows)

    def start_run(self, kind: str) -> int:
        """Open the record of a run."""
        with self.catalog.writing() as c:
            return writing.start_run(c, kind)

    def finish_run(self, run_id: int, report: str) -> None:
        """Close the record of a run with its report as JSON."""
        with self.catalog.writing() as c:
            writing.finish_run(c, run_id, report)

    def set_default_model(self, name: str) -> None:
        """Record which model this library uses when none is named."""
        with self.catalog.writing() as c:
            writing.set_meta(c, "model", name)

    def default_model(self) -> str | None:
        """The model this library uses when none is named, or None in a new one."""
        with self.catalog.reading() as c:
            return reading.get_meta(c, "model")


def _belongs(path: Path, library_id: str | None, newest: int) -> bool:
    try:
        stamp = read_stamp(path)
    except ValueError:
        return False
    return stamp.library_id == library_id and stamp.revision <= newest


def _exists(folder: Path) -> bool:
    try:
        return stat.S_ISREG(os.stat(folder / CATALOG_NAME).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as e:
        raise LibraryUnreadable(
            f"the library folder {folder} cannot be read: {e.strerror}",
            hint="Look at its owner and permissions.",
        ) from e


def _add_all(c: Connection, index: FlatIndex, model_id: int, since: int) -> int:
    added = 0
    for ids, vectors in reading.embeddings(c, model_id, index.dim, since_revision=since):
        index.add(ids, vectors)
        added += len(ids)
    return added
