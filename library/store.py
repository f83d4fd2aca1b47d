"""The library on disk: the only writer of the catalog and of the vector index.

A write is one SQLite transaction; the index in memory follows it, and its file is a cache that is caught up
or made anew when the library is opened. So `kill -9` at any moment loses at most the batch in flight.
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.catalog import Catalog, favourites, forgetting, open_catalog, reading, tagging, writing
from library.catalog.batch import Written, write_batch
from library.catalog.forgetting import Chosen
from library.catalog.tagging import Calibration
from library.errors import LibraryUnreadable, ModelMismatch, NoLibrary
from library.folder import CATALOG_NAME, create_folder, refuse_network, writer_lock
from library.indexes import Indexes
from library.records import FailedFile, FileStamp, FileState, KnownPhoto, ModelStamp, NewPhoto, Root
from library.vectors import VectorIndex


class Store:
    """An open library. Use `Store.open` to read and `Store.open_writer` to write."""

    def __init__(self, folder: Path, catalog: Catalog, *, writer: bool) -> None:
        self.folder = folder
        self.catalog = catalog
        self.writer = writer
        self.indexes = Indexes(folder, catalog)

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
                store.indexes.tidy_up()
                yield store
            finally:
                store.close()

    def close(self) -> None:
        """Save what is only in memory, as far as that is possible, and give the files back."""
        try:
            if self.writer:
                self.indexes.save_all()
        finally:
            self.catalog.close()

    def _ensure_id(self) -> None:
        with self.catalog.writing() as c:
            if reading.get_meta(c, "library_id") is None:
                writing.set_meta(c, "library_id", uuid.uuid4().hex)

    # Vectors

    def index_path(self, model_id: int) -> Path:
        """Where the index of one model is cached."""
        return self.indexes.path(model_id)

    def model_id(self, stamp: ModelStamp) -> int:
        """The id of a model that has vectors here. Raises ModelMismatch naming those that have."""
        with self.catalog.reading() as c:
            found = reading.model_id(c, stamp)
            if found is not None:
                return found
            others: dict[str, int] = {}  # by name: several may have the same, with other weights
            for _, other, n in reading.models(c):
                if n:
                    others[other.name] = max(n, others.get(other.name, 0))
        if not others:
            raise NoLibrary(self.folder)
        if stamp.name in others:
            raise ModelMismatch(
                f"oko now has other weights named {stamp.name} than those that this library's "
                f"{_photos(others[stamp.name])} were read with",
                hint=f"Read them once more (tags and decisions stay): {self.index_command(stamp.name)}",
            )
        raise ModelMismatch(
            f"this library has no vectors made by {stamp.name}; "
            f"it has those of {', '.join(f'{name} ({_photos(n)})' for name, n in others.items())}",
            hint=f"Make them: {self.index_command(stamp.name)}",
        )

    def index_command(self, name: str) -> str:
        """What a person types to have all photos read by a model; the library's own need not be named."""
        return "oko index" if name == self.default_model() else f"oko index --model {name}"

    def use_model(self, stamp: ModelStamp) -> int:
        """The id of a model, recorded if it is new here."""
        with self.catalog.writing() as c:
            return writing.ensure_model(c, stamp)

    def vectors(self, model_id: int, dim: int) -> VectorIndex:
        """The index of one model, agreeing with the catalog as it is now."""
        return self.indexes.get(model_id, dim)

    def save_index(self, model_id: int, dim: int) -> None:
        """Bring the cached index of a model up to date on disk; quick when it is already."""
        self.indexes.save(model_id, dim)

    def rebuild_index(self, model_id: int, dim: int) -> bool:
        """Make the cached index of a model anew from the catalog; returns whether it could be saved."""
        return self.indexes.rebuild(model_id, dim)

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
        self.indexes.follow(model_id, written)
        return written.lost

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
            writing.date_photos_of(c, [key for key, _ in (*moved, *returned, *restamped)])
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
            self.indexes.replace(model_id, stamp.dim)
        return photos, forgetting.compact(self.catalog)

    def forget_model(self, model_id: int) -> tuple[int, bool]:
        """Delete the vectors of one model and all that was worked out with it; photos, tags and decisions stay.

        Returns (vectors deleted, whether their bytes are gone from the database file too, as `forget`).
        """
        with self.catalog.writing() as c:
            deleted = forgetting.delete_vectors(c, model_id)
            writing.next_revision(c)  # so that who has them in memory looks again
        self.indexes.delete(model_id)
        return deleted, forgetting.compact(self.catalog)

    def drop_vectors(self, model_id: int, photo_ids: Sequence[int]) -> None:
        """Delete vectors of one model, so that the next run makes them anew."""
        with self.catalog.writing() as c:
            writing.forget_vectors(c, photo_ids, writing.next_revision(c), model_id=model_id)

    def delete_photos_without_files(self, photo_ids: Sequence[int]) -> int:
        """Delete those of the photos that no file row names. Returns how many went."""
        with self.catalog.writing() as c:
            return len(writing.delete_orphans(c, photo_ids))

    def set_decisions(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write tags (photo_id, name, state, score, decided_at), replacing those of the same names."""
        with self.catalog.writing() as c:
            writing.set_decisions(c, rows)

    def add_decisions(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write decisions where there is none yet; returns how many were new."""
        with self.catalog.writing() as c:
            new = list(tagging.undecided(c, rows))
            writing.set_decisions(c, new)
        return len(new)

    def set_favourite(self, photo_ids: Sequence[int], is_favourite: bool) -> None:
        """Make photos favourites, or none, as decided now."""
        values = {"is_favourite": int(is_favourite), "decided_at": writing.now()}
        self.set_favourites([{"photo_id": key, **values} for key in photo_ids])

    def set_favourites(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write which photos are favourites (photo_id, is_favourite, decided_at), replacing what was decided."""
        with self.catalog.writing() as c:
            favourites.set_favourites(c, rows)

    def clear_decisions(self, name: str, photo_ids: Sequence[int]) -> None:
        """Take back what people decided about a tag of these photos."""
        with self.catalog.writing() as c:
            tagging.clear_decisions(c, name, photo_ids)

    def drop_suggestions(self, name: str) -> int:
        """Delete a tag wherever it is only suggested; returns for how many photos."""
        with self.catalog.writing() as c:
            return tagging.drop_suggestions(c, name)

    def set_suggestions(
        self, photo_ids: Sequence[int], rows: Sequence[tuple[int, str, float]], *, model_id: int | None = None
    ) -> int:
        """Replace the photos' suggested tags by these (photo, tag, score); decisions stay. Returns their number.

        With the model that suggested them they count as tagged.
        """
        with self.catalog.writing() as c:
            return tagging.replace_suggestions(c, photo_ids, rows, model_id=model_id)

    def remember_tag_vectors(
        self, model_id: int, digests: Sequence[bytes], vectors: NDArray[np.float32]
    ) -> None:
        """Keep the vectors (n, D) of prompt sets, known by their digests."""
        with self.catalog.writing() as c:
            tagging.remember_text_vectors(c, model_id, digests, vectors)

    def remember_calibration(self, model_id: int, found: Calibration) -> None:
        """Keep the score distribution of a model."""
        with self.catalog.writing() as c:
            tagging.remember_calibration(c, model_id, found)

    def set_meta(self, key: str, value: str) -> None:
        """Remember a value for the library as a whole."""
        with self.catalog.writing() as c:
            writing.set_meta(c, key, value)

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
        self.set_meta("model", name)

    def default_model(self) -> str | None:
        """The model this library uses when none is named, or None in a new one."""
        with self.catalog.reading() as c:
            return reading.get_meta(c, "model")


def _photos(n: int) -> str:
    return f"{n:,} photo{'' if n == 1 else 's'}"


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
