"""Zero-shot classification of files, folders and indexed photos, as the command line asks for it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.decode import Decoder, Prepared
from indexer.scan import Scan
from library.ahead import ordered_map
from library.catalog import Connection, reading
from library.encoder import Encoder
from library.errors import UsageError
from library.prompts import DEFAULT_TEMPLATES
from library.records import FailedFile, FileStamp, FileState, Label, ModelStamp, display_path
from library.store import Store
from oko import assemble
from oko.context import Context
from oko.coverage import about_none, about_part
from oko.labels import LabelVectors, labels_of, warn_of_scripts
from oko.render import path_fields
from oko.transfers import transfer_bar
from search.classify import Classifier, distinct_labels

# Stored vectors are looked up for so many files at once; a thousand labels of them are 8 MB.
STEP = 2_000


@dataclass(frozen=True, slots=True)
class Classified:
    """One photo and its labels, most probable first; or what is the matter with it."""

    raw_path: bytes
    labels: Sequence[Label] = ()
    problem: str = ""

    @property
    def path(self) -> str:
        """The path as any terminal can print it."""
        return display_path(self.raw_path)

    @property
    def path_fields(self) -> dict[str, str]:
        """The path for JSON."""
        return path_fields(Path(os.fsdecode(self.raw_path)))


def classify(context: Context, args: argparse.Namespace) -> Iterator[Classified]:
    """The labels of every photo at or below the paths, or of every indexed one, batch by batch, in order.

    A file that is indexed and unchanged is not read: its stored vector serves. Raises UsageError for a path that is
    not there before any work is done.
    """
    labels = labels_of(args)
    places = [_files(context, path) for path in args.paths]
    with assemble.reading_if_there(context.folder, context.config) as store:
        spec = assemble.choose_model(context.folder, context.config, store, context.note)
        encoder = assemble.make_encoder(spec, context.config)
        if not places:
            _check_indexed(context, store, encoder.stamp)
        templates = args.template or context.config.prompt_templates or DEFAULT_TEMPLATES
        warn_of_scripts(context, distinct_labels(labels), spec)
        embed = LabelVectors(context, store, encoder, templates)
        classifier = Classifier(
            encoder, labels, templates=templates, independent=args.independent, embed=embed
        )
        stored = StoredVectors(store, encoder.stamp) if store is not None else None
        run = _Run(context, encoder, classifier, args.top)
        if not places and stored is not None:
            yield from counted(context, args, run.indexed(stored))
        for folder, stamps in places:
            yield from counted(context, args, run.files(folder, stamps, stored))


def _check_indexed(context: Context, store: Store | None, stamp: ModelStamp) -> None:
    """Say which of the indexed photos this model has no vectors of. Raises ModelMismatch or UsageError: of none."""
    if store is None:
        raise UsageError(
            "there is nothing to classify", hint="Name photos or folders, or index some: oko index"
        )
    key = store.model_id(stamp)
    with store.catalog.reading() as c:
        have = reading.embedding_count(c, key)
        any_photos = reading.photo_count(c) > 0
    if any_photos and (lacking := about_part(store, stamp, have=have) or about_none(store, stamp)):
        context.note(lacking)


def counted(context: Context, args: argparse.Namespace, found: Iterator[Classified]) -> Iterator[Classified]:
    """The same, with a count on the terminal where nothing else is printed until the end."""
    if not (args.json or args.evaluate):
        yield from found
        return
    with transfer_bar(context, "Classifying") as progress:
        for done, photo in enumerate(found, 1):
            progress(done, None)
            yield photo


def _files(context: Context, path: Path) -> tuple[Path, Iterator[FileStamp]]:
    """The folder that holds them, and the photos: all below a folder, or the one named (whatever it is called)."""
    path = path.expanduser().absolute()
    if path.is_dir():
        return path, Scan(path, assemble.scan_rules(context.config, context.folder)).stamps()
    if not path.exists():
        raise UsageError(
            f"there is no file or folder {path}", hint="Look at the spelling, or connect the drive."
        )
    seen = path.stat()
    return path.parent, iter([FileStamp(os.fsencode(path.name), seen.st_size, seen.st_mtime_ns, 0)])


class StoredVectors:
    """The vectors that a library has of one model, by file."""

    def __init__(self, store: Store, stamp: ModelStamp) -> None:
        self._store = store
        self._dim = stamp.dim
        with store.catalog.reading() as c:
            self._model_id = reading.model_id(c, stamp)
            self._roots = reading.roots(c)

    def of_files(self, folder: Path, stamps: Sequence[FileStamp]) -> dict[bytes, NDArray[np.float32]]:
        """Vectors (D,) of those files, named relative to the folder, that are indexed and unchanged since."""
        root = next((r for r in self._roots if r.path == folder or r.path in folder.parents), None)
        if root is None or self._model_id is None:
            return {}
        below = os.fsencode(folder.relative_to(root.path)) if folder != root.path else b""
        paths = {os.path.join(below, stamp.path): stamp for stamp in stamps}
        with self._store.catalog.reading() as c:
            rows = reading.rows_at(c, root.id, list(paths))
            owners = {
                paths[r.path].path: r.photo_id
                for r in rows
                if r.state == FileState.INDEXED
                and (r.size_bytes, r.mtime_ns) == (paths[r.path].size_bytes, paths[r.path].mtime_ns)
            }
            vectors = self._of(c, list(owners.values()))
        return {path: vectors[key] for path, key in owners.items() if key in vectors}

    def _of(self, c: Connection, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        assert self._model_id is not None
        parts = reading.embeddings(c, self._model_id, self._dim, ids=ids)
        return {int(key): v for keys, vectors in parts for key, v in zip(keys, vectors, strict=True)}

    def everything(self) -> Iterator[tuple[list[bytes], NDArray[np.float32]]]:
        """(paths, vectors (n, D)) of all photos on disk, a step at a time."""
        if self._model_id is None:
            return
        with self._store.catalog.reading() as c:
            ids = [int(key) for key in reading.embedded_photo_ids(c, self._model_id)]
        for start in range(0, len(ids), STEP):
            part = ids[start : start + STEP]
            with self._store.catalog.reading() as c:
                files, vectors = reading.photo_files(c, part), self._of(c, part)
            there = [key for key in part if key in files and key in vectors]
            if there:
                yield [os.fsencode(files[key][0][0]) for key in there], np.stack([vectors[k] for k in there])


@dataclass(frozen=True, slots=True)
class _Run:
    context: Context
    encoder: Encoder
    classifier: Classifier
    top: int

    def indexed(self, stored: StoredVectors) -> Iterator[Classified]:
        """Everything in the library, nothing decoded."""
        for paths, vectors in stored.everything():
            answers = self.classifier.best(vectors, self.top)
            yield from (Classified(path, labels) for path, labels in zip(paths, answers, strict=True))

    def files(
        self, folder: Path, stamps: Iterator[FileStamp], stored: StoredVectors | None
    ) -> Iterator[Classified]:
        """The files of a folder: what is not stored is decoded and embedded."""
        while step := list(islice(stamps, STEP if stored is not None else self.context.config.batch_size)):
            known = stored.of_files(folder, step) if stored is not None else {}
            fresh = self._decoded(folder, [stamp for stamp in step if stamp.path not in known])
            answers = dict(zip(known, self._best(list(known.values())), strict=True))
            for stamp in step:
                path = os.path.join(os.fsencode(folder), stamp.path)
                yield Classified(path, answers[stamp.path]) if stamp.path in answers else next(fresh)

    def _best(self, vectors: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> list[list[Label]]:
        return self.classifier.best(np.stack(list(vectors)), self.top) if len(vectors) else []

    def _decoded(self, folder: Path, stamps: Sequence[FileStamp]) -> Iterator[Classified]:
        config = self.context.config
        limits = assemble.decode_limits(config, self.encoder)
        decoder = Decoder(folder, limits, frozenset(), self.encoder.prepare)
        workers = assemble.decode_workers(config)
        decoded = ordered_map(decoder, iter(stamps), workers=workers, ahead=config.batch_size + 2 * workers)
        while batch := list(islice(decoded, config.batch_size)):
            pixels = [item.pixels for item in batch if isinstance(item, Prepared)]
            answers = iter(self._best(self.encoder.encode_images(np.stack(pixels))) if pixels else [])
            for item in batch:
                path = os.path.join(os.fsencode(folder), item.stamp.path)
                if isinstance(item, FailedFile):
                    yield Classified(path, problem=item.reason)
                else:
                    yield Classified(path, next(answers))
