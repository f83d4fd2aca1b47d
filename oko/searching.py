"""From the command line's words, pictures and filters to a query."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import search.query
from library.catalog import reading
from library.encoder import Encoder
from library.errors import UsageError
from library.records import ModelStamp, PhotoFilter
from library.store import Store
from oko import assemble
from oko.context import Context

DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


@contextmanager
def status(context: Context, text: str) -> Iterator[None]:
    """A spinner while something takes a moment, on a terminal only."""
    if context.quiet or not context.notes.is_terminal:
        yield
        return
    with context.notes.status(text):
        yield


def photo_filter(args: argparse.Namespace) -> PhotoFilter:
    """The filters of a command. Raises UsageError for a date that is none."""
    for flag in ("after", "before"):
        value = getattr(args, flag)
        if value is not None and not DATE.fullmatch(value):
            raise UsageError(f"--{flag} {value} is not a date", hint="Write 2023, 2023-07 or 2023-07-14.")
    return PhotoFilter(
        folders=tuple(Path(folder).expanduser().resolve() for folder in args.folders),
        taken_after=args.after,
        taken_before=args.before,
        camera=args.camera,
        tags=tuple(args.tags),
        include_missing=args.missing,
    )


def query_vector(
    context: Context, encoder: Encoder, text: str, pictures: Sequence[Path]
) -> NDArray[np.float32]:
    """The direction (D,) of some words and some picture files. Raises UsageError, PictureError, ModelError."""
    found = search.query.Query([text], [assemble.read_picture(path, context.config) for path in pictures])
    return search.query.query_vector(found, encoder)


def why_nothing(store: Store, stamp: ModelStamp, wanted: PhotoFilter) -> str:
    """A sentence for an empty answer."""
    with store.catalog.reading() as c:
        model_id = reading.model_id(c, stamp)
        if model_id is None or not reading.embedding_count(c, model_id):
            return "The library has no photos yet. Index some: oko index ~/Pictures"
        if not wanted.is_open and not len(reading.matching_photo_ids(c, wanted)):
            return "No photo passes these filters."
    return "No photo is on disk at the moment; --missing shows those that were."
