"""The one place where configuration becomes objects: store, registry, encoder, indexing run, searcher."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from library.config import Config
from library.encoder import ClipEncoder, Encoder, load_encoder
from library.errors import NoLibrary, PictureError, UnknownModel, UsageError
from library.models import ModelSpec, Registry
from library.prompts import TextEncoder
from library.records import display_path
from library.remembered import Remembered
from library.store import Store

if TYPE_CHECKING:  # a search does not index: neither shall wait for what the other needs
    from PIL import Image

    from indexer.decode import Limits
    from indexer.pipeline import Settings
    from indexer.scan import Rules
    from search.rank import Searcher

log = logging.getLogger(__name__)


@contextmanager
def reading(folder: Path, config: Config) -> Iterator[Store]:
    """The library, for questions."""
    store = Store.open(folder, database_url=config.database_url)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def reading_if_there(folder: Path, config: Config) -> Iterator[Store | None]:
    """The library, for questions that have an answer without one, too."""
    try:
        store: Store | None = Store.open(folder, database_url=config.database_url)
    except NoLibrary:
        store = None
    try:
        yield store
    finally:
        if store is not None:
            store.close()


def decode_workers(config: Config) -> int:
    """How many threads read and decode photos."""
    return config.decode_workers or max(2, os.cpu_count() or 1)


def check_paths(folder: Path, config: Config, paths: Sequence[Path]) -> None:
    """Raises UsageError for what cannot be indexed, before a library is made or a lock is waited for."""
    from indexer.targets import planned_targets, require_known

    with reading_if_there(folder, config) as store:
        targets = planned_targets(store, paths, scan_rules(config, folder))
        if store is not None:
            require_known(store, targets)


@contextmanager
def writing(folder: Path, config: Config, *, purpose: str, create: bool = False) -> Iterator[Store]:
    """The library, as its one writer."""
    with Store.open_writer(
        folder,
        purpose=purpose,
        timeout_s=config.lock_timeout_s,
        database_url=config.database_url,
        create=create,
    ) as store:
        yield store


def choose_model(folder: Path, config: Config, store: Store | None, say: Callable[[str], None]) -> ModelSpec:
    """The model to use: the one named, else the library's own, else what `auto` takes, which is said."""
    registry = Registry(folder)
    if config.model != "auto":
        return _finder(registry.resolve(config.model))
    recorded = store.default_model() if store else None
    if recorded is not None:
        try:
            return registry.resolve(recorded)
        except UnknownModel as e:
            e.hint = (
                f"This library was indexed with it. Add it again (oko models add {recorded} ...), "
                "or name another: --model builtin"
            )
            raise
    choice = registry.auto()
    say(choice.sentence)
    return choice.spec


def _finder(spec: ModelSpec) -> ModelSpec:
    """The model, if it is one that finds pictures. Raises UsageError."""
    if spec.kind != "clip":
        raise UsageError(
            f"{spec.name} paints pictures; it cannot find them", hint="oko models list shows those that can."
        )
    return spec


def make_encoder(spec: ModelSpec, config: Config) -> Encoder:
    """The model, ready to embed; its weights are read at the first use."""
    return load_encoder(spec, device=config.device, precision=config.precision)


def scan_rules(config: Config, folder: Path) -> Rules:
    """Which files are taken; the library in `folder` never is."""
    from indexer.scan import Rules

    return Rules(
        include=config.include,
        exclude=config.exclude,
        hidden=config.include_hidden,
        follow_symlinks=config.follow_symlinks,
        own_folders=frozenset({os.path.realpath(os.fsencode(folder))}),
    )


def index_settings(
    config: Config, folder: Path, encoder: Encoder, *, retry: bool = False, limit: int | None = None
) -> Settings:
    """What an indexing run needs to know."""
    from indexer.pipeline import Settings

    return Settings(
        rules=scan_rules(config, folder),
        limits=decode_limits(config, encoder),
        batch_size=config.batch_size,
        workers=decode_workers(config),
        retry=retry,
        limit=limit,
    )


def decode_limits(config: Config, encoder: Encoder) -> Limits:
    """How much one file may cost."""
    from indexer.decode import Limits

    side = max(encoder.min_side_px, config.thumbnail_px) if config.reduced_decoding else None
    return Limits(
        config.max_file_mb * 1_000_000, config.max_megapixels * 1_000_000, side, config.thumbnail_px
    )


def make_searcher(store: Store, encoder: Encoder, config: Config) -> Searcher:
    """Search in one library with one model."""
    from search.rank import Searcher

    return Searcher(store, encoder.stamp, lambda: remembering(encoder), config.relevance)


def remembering(encoder: Encoder) -> TextEncoder:
    """The model for the texts that are asked in every library: what this machine has embedded is not embedded again."""
    return Remembered(encoder) if isinstance(encoder, ClipEncoder) else encoder


def as_picture(given: str | Path | Image.Image, config: Config) -> Image.Image:
    """A file, or a picture that Pillow has opened, as RGB; the latter as it lies. Raises PictureError."""
    from PIL import Image

    from library.pixels import to_rgb

    return to_rgb(given) if isinstance(given, Image.Image) else read_picture(Path(given), config)


def read_picture(path: Path, config: Config) -> Image.Image:
    """An upright RGB picture from a file, within the limits. Raises PictureError, naming the file."""
    from library import images

    try:
        data = images.read_bytes(path.expanduser(), max_bytes=config.max_file_mb * 1_000_000)
        return images.decode(data, name=str(path), max_pixels=config.max_megapixels * 1_000_000).image
    except PictureError as e:
        e.message = f"{display_path(path)}: {e.message}"
        raise
