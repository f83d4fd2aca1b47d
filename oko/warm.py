"""A library that stays open with its model loaded, for any number of threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

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
class _Model:
    spec: ModelSpec
    encoder: Encoder
    recorded: str | None  # the library's own model when this one was chosen


class WarmLibrary:
    """The open store, the model and search with it: each made at its first use, shared by all threads.

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
        self._lock = threading.RLock()  # over the following; held for moments, never while a model is loaded
        self._store: Store | None = None
        self._model: _Model | None = None
        self._searcher: tuple[_Model, Searcher] | None = None
        self._filterer: Searcher | None = None

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
        """The model, chosen at the first call, and again when the library's own has become another one.

        Its weights are read at its first use. Raises UnknownModel, UsageError.
        """
        chosen = self._chosen(store)
        return chosen.spec, chosen.encoder

    def _chosen(self, store: Store | None) -> _Model:
        recorded = store.default_model() if store is not None else None
        with self._lock:
            model, config = self._model, self.context.config
            if model is None or (config.model == "auto" and model.recorded != recorded):
                spec = assemble.choose_model(self.context.folder, config, store, log.info)
                is_same = model is not None and model.spec == spec
                encoder = model.encoder if model and is_same else assemble.make_encoder(spec, config)
                model = self._model = _Model(spec, encoder, recorded)
            return model

    def comparing(self, store: Store) -> tuple[Encoder, Searcher]:
        """What answers a query with words or pictures. Loads the model."""
        model = self._chosen(store)
        found = self._searcher
        if found is None or found[0] is not model or found[1].store is not store:
            searching.require_vectors(store, model.spec)
            made = assemble.make_searcher(store, model.encoder, self.context.config)
            with self._lock:  # of two who came at once, one makes it in vain
                found = self._searcher
                if found is None or found[0] is not model or found[1].store is not store:
                    found = self._searcher = (model, made)
        return model.encoder, found[1]

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
            store, model = self._store, self._model
            self._store = self._model = self._searcher = self._filterer = None
            if store is not None:
                store.close()
            if model is not None:
                model.encoder.close()
