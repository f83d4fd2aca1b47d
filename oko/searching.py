"""From the command line's words, pictures and filters to a query."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import search.query
from library.catalog import reading, tagging
from library.config import Config
from library.encoder import Encoder
from library.errors import ModelMismatch, UsageError
from library.presets import ModelSpec
from library.records import ModelStamp, PhotoFilter
from library.store import Store
from oko import assemble
from oko.context import Context
from oko.tagnames import TagNames

DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")


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
    if args.after and args.before and args.after[: len(args.before)] > args.before[: len(args.after)]:
        raise UsageError(f"no photo was taken after {args.after} and before {args.before}")
    return PhotoFilter(
        folders=tuple(Path(folder).expanduser().resolve() for folder in args.folders),
        taken_after=args.after,
        taken_before=args.before,
        camera=args.camera,
        tags=tuple(args.tags),
        include_missing=args.missing,
    )


def with_known_tags(store: Store, config: Config, wanted: PhotoFilter) -> PhotoFilter:
    """The filter with its tags in the spelling that the library has them in, whatever their capitals were."""
    if not wanted.tags:
        return wanted
    names = TagNames.of(store, config)
    return replace(wanted, tags=tuple(names.known(name) for name in wanted.tags))


def _about_tags(store: Store, config: Config, wanted: PhotoFilter) -> str:
    """A sentence on the first tag of a filter that no photo has, or ""."""
    names = TagNames.of(store, config)
    with store.catalog.reading() as c:
        counts = tagging.tag_counts(c)
    for name in wanted.tags:
        has = counts.get(name, {})
        if has.get(tagging.SUGGESTED) or has.get(tagging.CONFIRMED):
            continue
        if name in names:
            return f"No photo has the tag {name}. Suggest tags for all photos: oko tag"
        near = names.near(name)
        return f"There is no tag {name}." + (f" Did you mean {' or '.join(near)}?" if near else "")
    return ""


def require_vectors(store: Store, spec: ModelSpec) -> None:
    """Raises ModelMismatch for a model that has seen no photo here, before it is loaded or downloaded."""
    with store.catalog.reading() as c:
        used = [stamp.name for _, stamp, _ in reading.models(c)]
    if used and spec.canonical_name not in used:
        raise ModelMismatch(
            f"this library has no vectors made by {spec.name}; it has those of {', '.join(used)}",
            hint=f"Make them: oko index --model {spec.name}",
        )


def query_vector(
    context: Context, encoder: Encoder, text: str, pictures: Sequence[Path]
) -> NDArray[np.float32]:
    """The direction (D,) of some words and some picture files. Raises UsageError, PictureError, ModelError."""
    found = search.query.Query([text], [assemble.read_picture(path, context.config) for path in pictures])
    return search.query.query_vector(found, encoder)


def why_nothing(store: Store, config: Config, stamp: ModelStamp, wanted: PhotoFilter) -> str:
    """A sentence for an empty answer."""
    about_tags = _about_tags(store, config, wanted) if wanted.tags else ""
    with store.catalog.reading() as c:
        model_id = reading.model_id(c, stamp)
        if model_id is None or not reading.embedding_count(c, model_id):
            return "The library has no photos yet. Index some: oko index ~/Pictures"
        if about_tags:
            return about_tags
        if not wanted.is_open and not len(reading.matching_photo_ids(c, wanted)):
            return "No photo passes these filters."
    return "No photo is on disk at the moment; --missing shows those that were."
