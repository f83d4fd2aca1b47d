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
from library.errors import UsageError
from library.prompts import DEFAULT_TEMPLATES
from library.records import FailedFile, FileStamp, Label, display_path
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
    """The labels of every photo at or below the paths, batch by batch, in order.

    Raises UsageError for a path that is not there before any work is done.
    """
    labels = read_labels(args.labels, args.labels_file)
    places = [_files(context, path) for path in args.paths]
    with assemble.reading_if_there(context.folder, context.config) as store:
        spec = assemble.choose_model(context.folder, context.config, store, context.note)
    encoder = assemble.make_encoder(spec, context.config)
    with status(context, "Reading the labels"):
        classifier = Classifier(encoder, labels, templates=args.template or DEFAULT_TEMPLATES)
    for folder, stamps in places:
        yield from _classify_all(context, encoder, classifier, folder, stamps, args.top)


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


def _classify_all(
    context: Context,
    encoder: Encoder,
    classifier: Classifier,
    folder: Path,
    stamps: Iterator[FileStamp],
    top: int,
) -> Iterator[Classified]:
    limits = assemble.decode_limits(context.config, encoder)
    decoder = Decoder(folder, limits, frozenset(), encoder.prepare)
    size = context.config.batch_size
    workers = assemble.decode_workers(context.config)
    decoded = ordered_map(decoder, stamps, workers=workers, ahead=size + 2 * workers)
    while batch := list(islice(decoded, size)):
        pixels = [item.pixels for item in batch if isinstance(item, Prepared)]
        answers = iter(classifier.best(encoder.encode_images(np.stack(pixels)), top) if pixels else [])
        for item in batch:
            path = os.path.join(os.fsencode(folder), item.stamp.path)
            if isinstance(item, FailedFile):
                yield Classified(path, problem=item.reason)
            else:
                yield Classified(path, next(answers))
