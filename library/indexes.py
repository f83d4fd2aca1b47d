"""The vector indexes of a library: loaded when first asked for, caught up with the catalog, saved as a cache."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from library.catalog import Catalog, Connection, checks, reading
from library.catalog.batch import Written
from library.vectors import (
    TEMPORARY_SUFFIX,
    FlatIndex,
    IndexStamp,
    InvertedIndex,
    VectorIndex,
    read_index,
    read_stamp,
)
from library.vectors.files import invalidate
from library.vectors.inverting import Coarse, Known, write_inverted

log = logging.getLogger(__name__)

# A reader that had to catch up by more vectors than this saves the index for the next one.
SAVE_AFTER = 2_000
# A temporary index file older than this is nobody's any more: a million vectors take two minutes.
STALE_AFTER_S = 3_600
# Of a library with more numbers (photos times dimensions) search is no longer exact: looking at all of them takes
# longer than 10 ms from here on (50,000 photos of 512 numbers, two cores).
EXACT_UP_TO = 25_600_000
# An inverted index is exact again below this share of that, so that a library at the border does not go to and fro.
EXACT_AGAIN = 0.8
# A larger share of changes than this, and the file of an inverted index is made anew; fewer are caught up with.
CHANGED_SHARE = 0.02
# With so many times the vectors that its centroids were made for, they are made anew, too.
GROWN = 2.0
# Texts that the library remembers, asked as trials of an inverted index.
TRIAL_TEXTS = 2_000


@dataclass(slots=True)
class _Loaded:
    """One model's index in memory, and which state of the catalog it reflects. -1: none, nothing."""

    index: FlatIndex | InvertedIndex
    revision: int = -1
    saved_revision: int = -1
    checked: bool = False  # against the number of vectors in the catalog, at `revision`
    seen: tuple[int, int] | None = None  # the file on disk as it was last looked at; None: none


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
        """Bring the cached index of a model up to date on disk; quick when it is already.

        For writers alone: that of a large library is inverted here, which takes minutes for a million photos, and then
        only when so much has changed that catching up with it would be felt.
        """
        if self._is_large(model_id, dim):
            self._save_inverted(model_id, dim)
            return
        if model_id not in self._loaded and self.is_saved(model_id, dim):
            return
        self.get(model_id, dim)
        self._save_flat(model_id)

    def save_all(self) -> None:
        """Save what is only in memory, as far as that is possible."""
        for model_id, loaded in list(self._loaded.items()):
            self.save(model_id, loaded.index.dim)

    def replace(self, model_id: int, dim: int) -> None:
        """Save the index as the catalog is now; the old file does not survive a failure to do so."""
        if self._is_large(model_id, dim):
            known = self._trained(model_id, dim)
            with self._lock:
                self._loaded.pop(model_id, None)  # which has the file mapped
                self._delete(self.path(model_id))
            self._invert(model_id, dim, *known)
            return
        with self._lock:
            self.get(model_id, dim)
            self._flatten(model_id)
            self._delete(self.path(model_id))
            self._loaded[model_id].saved_revision = -1
            self._save_flat(model_id)

    def delete(self, model_id: int) -> None:
        """Delete the index of a model that has no vectors any more."""
        with self._lock:
            self._loaded.pop(model_id, None)
            self._delete(self.path(model_id))

    def _delete(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as e:  # on Windows, if another process searches in it
            log.warning(
                "the vector index %s could not be deleted (%s) and holds vectors of forgotten photos until it is: stop"
                " every other oko and run `oko index`, or delete the file",
                path,
                e,
            )
            with contextlib.suppress(OSError):
                invalidate(path)

    def rebuild(self, model_id: int, dim: int) -> bool:
        """Make the cached index of a model anew from the catalog; returns whether it could be saved."""
        with self._lock:
            if self._is_large(model_id, dim):
                self._invert(model_id, dim)
            else:
                self._loaded[model_id] = _Loaded(FlatIndex(dim))
                self.get(model_id, dim)
                self._save_flat(model_id)
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
            index, stamp = read_index(path)
        except FileNotFoundError:
            return _Loaded(FlatIndex(dim))
        except (ValueError, OSError) as e:
            log.info("the vector index %s is made anew: %s", path, e)
            return _Loaded(FlatIndex(dim))
        wanted = (library_id, model_id, dim)
        if (stamp.library_id, stamp.model_id, stamp.dim) != wanted or stamp.revision > newest:
            log.info("the vector index %s belongs to another state of the library and is made anew", path)
            return _Loaded(FlatIndex(dim))
        if isinstance(index, InvertedIndex):
            index.mend = partial(self._mended, model_id)
        return _Loaded(index, stamp.revision, stamp.revision)

    def _mended(self, model_id: int, damaged: InvertedIndex) -> FlatIndex:
        """All vectors of a model from the catalog, because the file that `damaged` has mapped is."""
        with self._lock:
            if model_id not in self._loaded or self._loaded[model_id].index is damaged:
                log.warning("the vector index %s is damaged and is made anew", self.path(model_id))
                self._loaded[model_id] = _Loaded(FlatIndex(damaged.dim))
                self._catch_up(model_id)
            index = self._loaded[model_id].index
            return _flattened(index) if isinstance(index, InvertedIndex) else index

    def _take_over(self, model_id: int) -> None:
        """Load what another process has saved meanwhile if it is of the other kind, or an inverted index with less to
        catch up with. A flat one is worth no more than the one in memory.
        """
        loaded = self._loaded[model_id]
        before, loaded.seen = loaded.seen, _identity(self.path(model_id))
        if loaded.revision < 0:
            return
        try:
            stamp = read_stamp(self.path(model_id))
        except (OSError, ValueError):
            return
        if isinstance(loaded.index, InvertedIndex) != (stamp.recall is not None):
            if loaded.seen == before:
                return  # it was of no use
        elif isinstance(loaded.index, FlatIndex) or stamp.revision <= loaded.saved_revision:
            return
        else:
            with self.catalog.reading() as c:
                changes = loaded.index.changed + checks.changes_since(c, model_id, loaded.revision)
            if changes <= CHANGED_SHARE * len(loaded.index):
                return
        found = self._load(model_id, loaded.index.dim)
        if found.revision >= 0:
            found.seen = loaded.seen
            self._loaded[model_id] = found

    def _catch_up(self, model_id: int) -> None:
        loaded = self._loaded[model_id]
        with self.catalog.reading() as c:
            newest = reading.revision(c)
        is_level = loaded.checked and newest == loaded.revision
        if is_level and loaded.seen == _identity(self.path(model_id)):
            return
        self._take_over(model_id)
        loaded, added = self._loaded[model_id], 0
        with self.catalog.reading() as c:
            newest = reading.revision(c)
            if newest != loaded.revision:
                if loaded.revision >= 0:
                    loaded.index.remove(reading.removals(c, model_id, loaded.revision))
                added = _add_all(c, loaded.index, model_id, loaded.revision)
            if len(loaded.index) != reading.embedding_count(c, model_id):
                log.info(
                    "the vector index of model %d did not agree with the catalog and is made anew", model_id
                )
                loaded = self._loaded[model_id] = _Loaded(FlatIndex(loaded.index.dim), seen=loaded.seen)
                added = _add_all(c, loaded.index, model_id, -1)
        loaded.revision, loaded.checked = newest, True
        if added > SAVE_AFTER or loaded.saved_revision < 0:
            self._save_flat(model_id)

    def _save_flat(self, model_id: int) -> None:
        """Save an index that is exact; an inverted one becomes so if its library has become small."""
        with self._lock:
            loaded = self._loaded[model_id]
            numbers = len(loaded.index) * loaded.index.dim
            if isinstance(loaded.index, InvertedIndex) and numbers > EXACT_AGAIN * EXACT_UP_TO:
                return
            index, loaded = self._flatten(model_id), self._loaded[model_id]
            if loaded.saved_revision == loaded.revision:
                return
            with self.catalog.reading() as c:
                library_id = reading.get_meta(c, "library_id") or ""
            stamp = IndexStamp(library_id, model_id, index.dim, loaded.revision, len(index))
            try:
                index.write(self.path(model_id), stamp)
                loaded.saved_revision = loaded.revision
            except OSError as e:
                # Only a cache: the next opening makes it anew from the catalog.
                log.warning("the vector index could not be saved (%s); the next search makes it anew", e)

    def _flatten(self, model_id: int) -> FlatIndex:
        """Make what is loaded exact, if it is not; its file is mapped no more."""
        index = self._loaded[model_id].index
        if isinstance(index, FlatIndex):
            return index
        flat = _flattened(index)
        loaded = self._loaded[model_id]  # another one if the file was found to be damaged
        loaded.index, loaded.saved_revision = flat, -1
        return flat

    # Inverted indexes

    def _is_large(self, model_id: int, dim: int) -> bool:
        with self.catalog.reading() as c:
            return reading.embedding_count(c, model_id) * dim > EXACT_UP_TO

    def _save_inverted(self, model_id: int, dim: int) -> None:
        with self.catalog.reading() as c:
            library_id = reading.get_meta(c, "library_id")
            count = reading.embedding_count(c, model_id)
            path = self.path(model_id)
            try:
                saved = read_stamp(path) if _belongs(path, library_id, reading.revision(c)) else None
            except OSError:
                saved = None
            is_inverted = saved is not None and saved.recall is not None and saved.dim == dim
            if is_inverted and saved is not None:
                changes = checks.changes_since(c, model_id, saved.revision)
                if changes <= CHANGED_SHARE * count:
                    return
        known = self._trained(model_id, dim) if is_inverted else (None, 0)
        if known[1] * GROWN < count:
            known = (None, 0)
        self._invert(model_id, dim, *known)

    def _trained(self, model_id: int, dim: int) -> tuple[Coarse | None, int]:
        """The lists of the saved index with the number of vectors they were made for, if there are any."""
        try:
            index, _ = read_index(self.path(model_id))
        except (OSError, ValueError):
            return None, 0
        if not isinstance(index, InvertedIndex) or index.dim != dim:
            return None, 0
        axes, centroids = index.coarse
        return (np.array(axes), np.array(centroids)), index.trained_on

    def _invert(self, model_id: int, dim: int, coarse: Coarse | None = None, trained_on: int = 0) -> None:
        """Make the file of an inverted index from the catalog; the next search opens it."""
        with self._lock:
            self._loaded.pop(model_id, None)  # the old file may be mapped, and is replaced
        path = self.path(model_id)
        try:
            with self.catalog.reading() as c:
                library_id, newest = reading.get_meta(c, "library_id") or "", reading.revision(c)
                count = reading.embedding_count(c, model_id)
                texts = reading.remembered_texts(c, model_id, dim, TRIAL_TEXTS)
                stamp = IndexStamp(library_id, model_id, dim, newest, count)
                known = Known(texts, coarse, trained_on)
                write_inverted(path, stamp, reading.halves(c, model_id, dim), known)
        except OSError as e:
            log.warning("the vector index could not be saved (%s); the next search makes it anew", e)


def _flattened(index: InvertedIndex) -> FlatIndex:
    ids, vectors = index.contents()
    order = np.argsort(ids)
    flat = FlatIndex(index.dim)
    flat.add(ids[order], vectors[order])
    return flat


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _belongs(path: Path, library_id: str | None, newest: int) -> bool:
    try:
        stamp = read_stamp(path)
    except ValueError:
        return False
    return stamp.library_id == library_id and stamp.revision <= newest


def _add_all(c: Connection, index: FlatIndex | InvertedIndex, model_id: int, since: int) -> int:
    added = 0
    for ids, vectors in reading.embeddings(c, model_id, index.dim, since_revision=since):
        index.add(ids, vectors)
        added += len(ids)
    return added
