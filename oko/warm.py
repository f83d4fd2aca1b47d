"""A library that stays open with its model loaded, for any number of threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from library.config import Config
from library.encoder import Encoder
from library.errors import NoLibrary
from library.models import ModelSpec
from library.store import Store
from oko import assemble, searching
from oko.context import Context
from search.rank import Searcher

log = logging.getLogger(__name__)

# Threads that read at the same moment; further ones wait. Together with what each may hold they stay below the 15
# connections that SQLAlchemy opens to a file by default.
MOST_AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model, and the library's own one when it was chosen."""

    spec: ModelSpec
    encoder: Encoder
    recorded: str | None


class WarmModel:
    """The model of a library and search with it: each made at its first use, shared by all threads."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config
        self._lock = threading.Lock()  # held for moments, never while a model is loaded
        self._chosen: Chosen | None = None
        self._searcher: tuple[Chosen, Searcher] | None = None

    def chosen(self, store: Store | None) -> Chosen:
        """The model, chosen at the first call, and again when the library's own has become another one.

        Its weights are read at its first use. Raises UnknownModel, UsageError.
        """
        recorded = store.default_model() if store is not None else None
        with self._lock:
            old = self._chosen
            if old is not None and (self.config.model != "auto" or old.recorded == recorded):
                return old
            spec = assemble.choose_model(self.folder, self.config, store, log.info)
            is_same = old is not None and old.spec == spec
            encoder = old.encoder if old and is_same else assemble.make_encoder(spec, self.config)
            if old is not None and not is_same:
                old.encoder.close()  # whoever is still at work with it has a hold of its weights
            log.info("the model is %s", spec.name)
            self._chosen = Chosen(spec, encoder, recorded)
            return self._chosen

    def searcher(self, store: Store) -> tuple[Chosen, Searcher]:
        """What answers words and pictures. Loads the model. Raises ModelMismatch for one that has seen no photo."""
        model = self.chosen(store)
        found = self._searcher
        if found is None or found[0] is not model or found[1].store is not store:
            searching.require_vectors(store, model.spec)
            made = assemble.make_searcher(store, model.encoder, self.config)
            with self._lock:  # of two who came at once, one makes it in vain
                found = self._searcher
                if found is None or found[0] is not model or found[1].store is not store:
                    found = self._searcher = (model, made)
        return found

    def close(self) -> None:
        """Release the model; it is chosen again at its next use."""
        with self._lock:
            model = self._chosen
            self._chosen = self._searcher = None
        if model is not None:
            model.encoder.close()


class WarmLibrary:
    """The open store, and the model with it: opened at the first use, closed, and opened again.

    What lies below copes with threads by itself: the catalog gives each a connection of its own, the vector index and
    the searcher have locks, and a model answers any number at once. What it does not cope with is kept here: a thing
    that is made twice by two who come first, more threads than there are connections, two writers in one process (they
    would take each other for another process), and the end of something that others still use.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.writes = threading.RLock()
        """Held by whoever needs the library's one writer, never inside `reading`."""
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._lock = threading.RLock()  # over the following; held for moments
        self._store: Store | None = None
        self._filterer: Searcher | None = None
        self._model = WarmModel(context.folder, context.config)

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """The open store, which nobody closes meanwhile. Not twice in one thread. Raises NoLibrary."""
        with self._places:
            yield self._opened()

    @contextmanager
    def reading_if_there(self) -> Iterator[Store | None]:
        """The same, or None where there is no library yet."""
        with self._places:
            try:
                store: Store | None = self._opened()
            except NoLibrary:
                store = None
            yield store

    @contextmanager
    def reading_in_passing(self) -> Iterator[Store]:
        """The open store; after `close` one that is open for this moment only."""
        with self._places:
            if self._store is not None:
                yield self._store
                return
            with assemble.reading(self.context.folder, self.context.config) as store:
                yield store

    def _opened(self) -> Store:
        with self._lock:
            if self._store is None:
                config = self.context.config
                self._store = Store.open(self.context.folder, database_url=config.database_url)
            return self._store

    def model(self, store: Store | None) -> tuple[ModelSpec, Encoder]:
        """The model of the library as it is now: see `WarmModel.chosen`."""
        model = self._model.chosen(store)
        return model.spec, model.encoder

    def comparing(self, store: Store) -> tuple[Encoder, Searcher]:
        """What answers a query with words or pictures. Loads the model."""
        model, searcher = self._model.searcher(store)
        return model.encoder, searcher

    def filtering(self, store: Store) -> Searcher | None:
        """What answers a query of filters alone, without the model; None before the first photo."""
        with self._lock:
            if self._filterer is None or self._filterer.store is not store:
                self._filterer = searching.filterer(store)
            return self._filterer

    def close(self) -> None:
        """Wait for those who are at work, and give everything back. Whoever comes later opens it again."""
        with self.writes, ExitStack() as places:
            for _ in range(MOST_AT_ONCE):
                places.enter_context(self._places)
            store = self._store
            self._store = self._filterer = None
            if store is not None:
                store.close()
            self._model.close()
