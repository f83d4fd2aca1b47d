"""The one place where configuration becomes objects: store, registry, encoder, indexing run, searcher."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from indexer.decode import Limits
from indexer.pipeline import Settings
from indexer.scan import Rules
from library.config import Config
from library.encoder import Encoder, load_encoder
from library.errors import UnknownModel
from library.models import ModelSpec, Registry
from library.store import Store
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
        return registry.resolve(config.model)
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


def make_encoder(spec: ModelSpec, config: Config) -> Encoder:
    """The model, ready to embed; its weights are read at the first use."""
    return load_encoder(spec, device=config.device, precision=config.precision)


def index_settings(
    config: Config, folder: Path, encoder: Encoder, *, retry: bool = False, limit: int | None = None
) -> Settings:
    """What an indexing run needs to know."""
    rules = Rules(
        include=config.include,
        exclude=config.exclude,
        hidden=config.include_hidden,
        follow_symlinks=config.follow_symlinks,
        own_folders=frozenset({os.path.realpath(os.fsencode(folder))}),
    )
    return Settings(
        rules=rules,
        limits=decode_limits(config, encoder),
        batch_size=config.batch_size,
        workers=config.decode_workers or max(2, os.cpu_count() or 1),
        retry=retry,
        limit=limit,
    )


def decode_limits(config: Config, encoder: Encoder) -> Limits:
    """How much one file may cost."""
    side = max(encoder.min_side_px, config.thumbnail_px) if config.reduced_decoding else None
    return Limits(
        config.max_file_mb * 1_000_000, config.max_megapixels * 1_000_000, side, config.thumbnail_px
    )


def make_searcher(store: Store, encoder: Encoder) -> Searcher:
    """Search in one library with one model."""
    return Searcher(store, encoder.stamp)
