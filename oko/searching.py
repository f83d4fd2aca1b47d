"""From the command line's words, pictures and filters to a query, and from the query to its answers."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from library.catalog import reading
from library.config import Config
from library.encoder import Encoder
from library.errors import ModelMismatch, UsageError
from library.overview import library_model
from library.presets import ModelSpec
from library.records import ModelStamp, PhotoFilter
from library.store import Store
from oko import assemble
from oko.context import Context
from search import values
from search.filters import FILTERS, advice, any_of
from search.query import Query, parse, query_vector
from search.rank import Searcher, SearchPage, Sort
from search.stored import vectors_of
from search.words import listed

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Request:
    """One search, as it was asked for."""

    query: Query
    pictures: Sequence[Path | Image.Image | NDArray[np.float32]] = ()  # or vectors (D,) of such, L2 norm 1
    wanted: PhotoFilter = PhotoFilter()  # noqa: RUF009 - frozen; with the query's own filters
    sort: Sort | None = None
    offset: int = 0
    limit: int = 20
    everything: bool = False

    @property
    def is_of_filters_alone(self) -> bool:
        """Whether nothing is compared, so that no model is needed."""
        return not self.query.parts and not self.pictures


def request(args: argparse.Namespace, config: Config) -> Request:
    """What the arguments of `oko search` ask for. Raises UsageError for nothing at all, QueryError for a bad text."""
    # `readable` has put minus signs in place of hyphens: errors show what was typed.
    query = parse(" ".join(re.sub("^\N{MINUS SIGN}", "-", word) for word in args.query))
    flags = photo_filter(args)
    if query.is_empty and not args.image and flags.is_open:
        raise UsageError(
            "there is nothing to search for",
            hint='Give words, a picture or a filter: oko search "a red boat", --image FILE, oko search tag:dog',
        )
    return Request(
        query,
        tuple(args.image),
        flags & query.wanted,
        Sort(args.sort) if args.sort else query.sort,
        args.offset,
        config.top,
        args.all,
    )


@contextmanager
def status(context: Context, text: str) -> Iterator[None]:
    """A spinner while something takes a moment, on a terminal only."""
    if context.quiet or not sys.stderr.isatty() or not context.notes.is_terminal:  # the last loads rich
        yield
        return
    with context.notes.status(text):
        yield


def photo_filter(args: argparse.Namespace) -> PhotoFilter:
    """The filters that were given as flags. Raises UsageError for a value that makes no sense."""
    found = PhotoFilter(folders=tuple(map(_folder, args.folders)), include_missing=args.missing)
    for name in FILTERS:
        for text in _given(args, name):
            found &= _read(name, text)
    try:
        values.check_order(found.taken_after, found.taken_before)
    except ValueError as e:
        raise UsageError(str(e)) from None
    return found


def _given(args: argparse.Namespace, name: str) -> Sequence[str]:
    """The values of one filter's flag, as often as it was given."""
    if name == "tag":
        return list(args.tags)
    if name in ("after", "before", "camera"):
        return [value] if (value := getattr(args, name)) is not None else []
    return list(getattr(args, f"filter_{name}", ()))


def _folder(given: Path | str) -> Path:
    try:
        return Path(os.path.expanduser(given)).resolve()
    except (OSError, ValueError, RuntimeError) as e:  # a loop of links, or what no folder can be called
        raise UsageError(f"--in {str(given)!r} is no folder: {e}") from e


def _read(name: str, given: str) -> PhotoFilter:
    """What a flag's value passes: commas and quotes mean in it what they mean behind `name:` in a query."""
    kind = FILTERS[name]
    found = []
    for text in listed(given) if kind.takes_list else [given.strip()]:
        if not text:
            raise UsageError(f"--{name} needs a value", hint=f"For example --{name} {kind.example}")
        try:
            found.append(kind.read(text))
        except ValueError as e:
            raise UsageError(f"--{name} {text}: {e}", hint=advice(kind, text)) from None
    return any_of(found)


def answer(context: Context, store: Store, asked: Request) -> tuple[SearchPage, ModelStamp | None]:
    """The page of photos that answers, and the model that was used; a query of filters alone needs none.

    Raises ModelError, PictureError, UsageError.
    """
    if asked.is_of_filters_alone:
        return by_filters(store, context.config, asked, filterer(store))
    spec = assemble.choose_model(context.folder, context.config, store, context.note)
    require_vectors(store, spec)
    encoder = assemble.make_encoder(spec, context.config)
    with status(context, "Searching"):
        searcher = assemble.make_searcher(store, encoder, context.config)
        return by_likeness(store, context.config, asked, encoder, searcher), encoder.stamp


def filterer(store: Store) -> Searcher | None:
    """What answers a query of filters alone; None before the first photo."""
    own = library_model(store)
    return Searcher(store, own[1]) if own is not None else None


def by_filters(
    store: Store, config: Config, asked: Request, searcher: Searcher | None
) -> tuple[SearchPage, ModelStamp | None]:
    """Answer a query of filters alone: without a model, which is None where the library has none yet."""
    wanted = with_known_tags(store, config, asked.wanted)
    if searcher is None:
        return SearchPage((), asked.offset, 0, 0), None
    return _page(searcher, None, replace(asked, wanted=wanted)), searcher.stamp


def by_likeness(
    store: Store, config: Config, asked: Request, encoder: Encoder, searcher: Searcher
) -> SearchPage:
    """Answer a query with words or pictures in it, or of filters alone. Raises ModelError, PictureError, UsageError."""
    wanted = with_known_tags(store, config, asked.wanted)
    pictures = [
        each if isinstance(each, np.ndarray) else assemble.as_picture(each, config) for each in asked.pictures
    ]
    vector = query_vector(
        asked.query, encoder, pictures=pictures, vectors_of=vectors_of(store, encoder.stamp)
    )
    return _page(searcher, vector, replace(asked, wanted=wanted))


def _page(searcher: Searcher, vector: NDArray[np.float32] | None, asked: Request) -> SearchPage:
    return searcher.page(
        vector,
        wanted=asked.wanted,
        sort=asked.sort or Sort.RELEVANCE,
        offset=asked.offset,
        limit=asked.limit,
        everything=asked.everything,
        nature=asked.query.with_pictures(len(asked.pictures)).nature,
    )


def tags_in(wanted: PhotoFilter) -> Iterator[str]:
    """Every tag that a filter names, wherever in it."""
    yield from wanted.tags
    for inside in (*wanted.excluded, *wanted.any_of, *wanted.also):
        yield from tags_in(inside)


def with_known_tags(store: Store, config: Config, wanted: PhotoFilter) -> PhotoFilter:
    """The filter with its tags in the spelling that the library has them in, whatever their capitals were."""
    if next(tags_in(wanted), None) is None:
        return wanted
    from oko.tagnames import TagNames

    names = TagNames.of(store, config)

    def known(part: PhotoFilter) -> PhotoFilter:
        return replace(
            part,
            tags=tuple(names.known(name) for name in part.tags),
            excluded=tuple(map(known, part.excluded)),
            any_of=tuple(map(known, part.any_of)),
            also=tuple(map(known, part.also)),
        )

    return known(wanted)


def require_vectors(store: Store, spec: ModelSpec) -> None:
    """Raises ModelMismatch for a model that has seen no photo here, before it is loaded or downloaded."""
    with store.catalog.reading() as c:
        used = list(dict.fromkeys(stamp.name for _, stamp, _ in reading.models(c)))
    if used and spec.canonical_name not in used:
        raise ModelMismatch(
            f"this library has no vectors made by {spec.name}; it has those of {', '.join(used)}",
            hint=f"Make them: oko index --model {spec.name}",
        )
