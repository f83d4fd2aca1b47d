"""The vector indexes of a library: loaded when first asked for, caught up with the catalog, saved as a cache."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from library.catalog import Catalog, Connection, reading
from library.catalog.batch import Written
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


class Indexes:
    """Every model's index of one library. Any thread may call anything."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self.folder = folder
        self.catalog = catalog
        self._loaded: dict[int, _Loaded] = {}
        self._lock = threading.RLock()  # over what is loaded; the indexes and the catalog have their own

    def path(self, model_id: int) -> Path:
        """Where the index of one model is cached."""
        return self.folder / f"vectors-{model_id}.faiss"

    def tidy_up(self) -> None:
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

    def get(self, model_id: int, dim: int) -> VectorIndex:
        """The index of one model, agreeing with the catalog as it is now."""
        with self._lock:
            if model_id not in self._loaded:
                self._loaded[model_id] = self._load(model_id, dim)
            self._catch_up(model_id)
            return self._loaded[model_id].index

    def follow(self, model_id: int, written: Written) -> None:
        """Bring the index in memory to where the batch brought the catalog, if it was there before."""
        with self._lock:
            loaded = self._loaded.get(model_id)
            if loaded is None or loaded.revision < written.revision - 1:
                return
            loaded.index.remove(np.array(written.removed, np.int64))
            if len(written.ids):
                loaded.index.add(written.ids, written.vectors)
            # A deletion of orphans counts a revision of its own.
            loaded.revision, loaded.checked = written.revision + bool(written.removed), False

    def save(self, model_id: int, dim: int) -> None:
        """Bring the cached index of a model up to date on disk; quick when it is already."""
        if model_id not in self._loaded and self.is_saved(model_id, dim):
            return
        self.get(model_id, dim)
        self._save(model_id)

    def save_all(self) -> None:
        """Save what is only in memory, as far as that is possible."""
        for model_id in self._loaded:
            self._save(model_id)

    def replace(self, model_id: int, dim: int) -> None:
        """Save the index as the catalog is now; the old file does not survive a failure to do so."""
        self.get(model_id, dim)
        self.path(model_id).unlink(missing_ok=True)
        self._loaded[model_id].saved_revision = -1
        self._save(model_id)

    def rebuild(self, model_id: int, dim: int) -> bool:
        """Make the cached index of a model anew from the catalog; returns whether it could be saved."""
        with self._lock:
            self._loaded[model_id] = _Loaded(FlatIndex(dim))
            self.save(model_id, dim)
            return self.is_saved(model_id, dim)

    def is_saved(self, model_id: int, dim: int) -> bool:
        """Whether the file on disk reflects the catalog as it is now."""
        with self.catalog.reading() as c:
            count, newest = reading.embedding_count(c, model_id), reading.revision(c)
            wanted = IndexStamp(reading.get_meta(c, "library_id") or "", model_id, dim, newest, count)
        try:
            return read_stamp(self.path(model_id)) == wanted
        except (OSError, ValueError):
            return False

    def _load(self, model_id: int, dim: int) -> _Loaded:
        with self.catalog.reading() as c:
            library_id, newest = reading.get_meta(c, "library_id"), reading.revision(c)
        path = self.path(model_id)
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
                index.write(self.path(model_id), stamp)
                loaded.saved_revision = loaded.revision
            except OSError as e:
                # Only a cache: the next opening makes it anew from the catalog.
                log.warning("the vector index could not be saved (%s); the next search makes it anew", e)


def _belongs(path: Path, library_id: str | None, newest: int) -> bool:
    try:
        stamp = read_stamp(path)
    except ValueError:
        return False
    return stamp.library_id == library_id and stamp.revision <= newest


def _add_all(c: Connection, index: FlatIndex, model_id: int, since: int) -> int:
    added = 0
    for ids, vectors in reading.embeddings(c, model_id, index.dim, since_revision=since):
        index.add(ids, vectors)
        added += len(ids)
    return added
