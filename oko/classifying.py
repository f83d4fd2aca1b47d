"""Zero-shot classification of files and folders, as the command line asks for it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from indexer.decode import Decoder, Prepared, ordered_map
from indexer.scan import Scan
from library.encoder import Encoder
from library.errors import NoLibrary, UsageError
from library.prompts import DEFAULT_TEMPLATES
from library.records import FailedFile, FileStamp, Label, display_path
from library.store import Store
from oko import assemble
from oko.context import Context
from oko.render import path_fields
from oko.searching import status
from search.classify import Classifier


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
    """The labels of every photo at or below the paths, batch by batch, in order."""
    labels = read_labels(args.labels, args.labels_file)
    encoder = _encoder(context)
    with status(context, "Reading the labels"):
        classifier = Classifier(encoder, labels, templates=args.template or DEFAULT_TEMPLATES)
    for path in args.paths:
        yield from _classify_path(context, encoder, classifier, path, args.top)


def read_labels(listed: str | None, file: Path | None) -> list[str]:
    """Labels from a list with commas, or from a file with one a line (where commas are part of a label).

    Raises UsageError if the file cannot be read.
    """
    if file is None:
        return (listed or "").split(",")
    try:
        return file.expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"the labels file {file} cannot be read: {e}") from e


def _encoder(context: Context) -> Encoder:
    try:
        store: Store | None = Store.open(context.folder, database_url=context.config.database_url)
    except NoLibrary:
        store = None
    try:
        return assemble.make_encoder(
            assemble.choose_model(context.folder, context.config, store, context.note), context.config
        )
    finally:
        if store is not None:
            store.close()


def _classify_path(
    context: Context, encoder: Encoder, classifier: Classifier, path: Path, top: int
) -> Iterator[Classified]:
    root, stamps = _files(context, encoder, path)
    decoder = Decoder(root, assemble.decode_limits(context.config, encoder), frozenset(), encoder.prepare)
    workers = context.config.decode_workers or max(2, os.cpu_count() or 1)
    decoded = ordered_map(decoder, stamps, workers=workers, ahead=2 * context.config.batch_size)
    while batch := list(islice(decoded, context.config.batch_size)):
        prepared = [item for item in batch if isinstance(item, Prepared)]
        best: list[list[Label]] = []
        if prepared:
            best = classifier.best(encoder.encode_images(np.stack([item.pixels for item in prepared])), top)
        answers = iter(best)
        for item in batch:
            raw = os.path.join(os.fsencode(root), item.stamp.path)
            yield (
                Classified(raw, problem=item.reason)
                if isinstance(item, FailedFile)
                else Classified(raw, next(answers))
            )


def _files(context: Context, encoder: Encoder, path: Path) -> tuple[Path, Iterator[FileStamp]]:
    """The folder that holds them, and the photos: all below a folder, or the one named (whatever it is called)."""
    path = path.expanduser().absolute()
    if path.is_dir():
        return path, Scan(
            path, assemble.index_settings(context.config, context.folder, encoder).rules
        ).stamps()
    if not path.exists():
        raise UsageError(
            f"there is no file or folder {path}", hint="Look at the spelling, or connect the drive."
        )
    status_ = path.stat()
    return path.parent, iter([FileStamp(os.fsencode(path.name), status_.st_size, status_.st_mtime_ns, 0)])
