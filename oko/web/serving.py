"""What lives as long as the server: the open library, the model, and what is remembered between requests."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from library.config import Config
from library.encoder import Encoder
from library.errors import ModelMismatch, NoLibrary
from library.records import ModelStamp
from library.store import Store
from library.vocabulary import Vocabulary, load_vocabulary
from oko import assemble, searching
from oko.warm import MOST_AT_ONCE, WarmModel
from search.rank import Searcher

if TYPE_CHECKING:
    from oko.web.desk import JobDesk
    from oko.web.duplicates import DuplicatesCache
    from oko.web.pictures import Pictures
    from oko.web.previews import PreviewCache
    from oko.web.suggesting import CountsCache

P = ParamSpec("P")
R = TypeVar("R")

# Threads that answer, and threads that decode pictures, so that ten large photos do not keep a search waiting. Together
# with what each may hold they stay below the 15 connections that SQLAlchemy opens to a file by default.
QUICK_THREADS = MOST_AT_ONCE
SLOW_THREADS = 2
PICTURES_REMEMBERED = 500  # a vector of 1,024 numbers has 4 kB


@dataclass(frozen=True, slots=True)
class Model:
    """The model at work: its name in the registry, the encoder, and search with it."""

    name: str
    encoder: Encoder
    stamp: ModelStamp
    searcher: Searcher


@dataclass
class Serving:
    """One library being served. Any thread may use it."""

    folder: Path
    config: Config
    store: Store
    pictures: Pictures
    previews: PreviewCache
    jobs: JobDesk
    counts: CountsCache
    duplicates: DuplicatesCache
    warm: WarmModel
    stopping: threading.Event = field(default_factory=threading.Event)
    slow: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(SLOW_THREADS))
    # However many pages follow a job: they wait for each other, and no search waits for them.
    following: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))

    def model(self) -> Model:
        """The model, loaded at the first call; another one once the library's own has changed.

        Raises UnknownModel, ModelUnavailable, ModelMismatch and the like.
        """
        chosen, searcher = self.warm.searcher(self.store)
        return Model(chosen.spec.name, chosen.encoder, searcher.stamp, searcher)

    def filterer(self) -> Searcher | None:
        """What answers a query of filters alone, for which any model will do; None before the first photo."""
        try:
            return self.model().searcher
        except ModelMismatch:  # the model has seen no photo here
            return searching.filterer(self.store)

    def warm_up(self) -> None:
        """Load the model and the vectors, and use both once: the first one who asks must not wait for that.

        Raises ModelMismatch where the vectors are another model's, or of other weights.
        """
        model = self.model()
        vector = model.encoder.encode_texts(["a photo"])[0]
        with contextlib.suppress(NoLibrary):  # before the first photo there is nothing to look through
            model.searcher.page(vector, limit=1)

    async def slowly(
        self, request: Request, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run what decodes pictures in one of the few threads for that; not for somebody who has gone meanwhile."""

        def work() -> R:
            if anyio.from_thread.run(request.is_disconnected):
                raise HTTPException(499, "nobody waits for the answer")
            return function(*args, **kwargs)

        return await anyio.to_thread.run_sync(work, limiter=self.slow)

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The tags that are suggested."""
        return load_vocabulary(self.config.tags, self.config.tags_file)


@contextlib.contextmanager
def serving(folder: Path, config: Config, *, job_options: Sequence[str] = ()) -> Iterator[Serving]:
    """Open the library to be served. Raises NoLibrary and the other LibraryErrors."""
    from oko.web.desk import JobDesk
    from oko.web.duplicates import DuplicatesCache
    from oko.web.pictures import Pictures
    from oko.web.previews import PreviewCache
    from oko.web.suggesting import CountsCache

    with assemble.reading(folder, config) as store:
        cache = PreviewCache(folder, most_bytes=config.preview_cache_mb * 1_000_000)
        yield Serving(
            folder,
            config,
            store,
            pictures=Pictures(PICTURES_REMEMBERED),
            previews=cache,
            jobs=JobDesk(folder, job_options),
            counts=CountsCache(),
            duplicates=DuplicatesCache(),
            warm=WarmModel(folder, config),
        )


def _serving_of(request: Request) -> Serving:
    found = request.app.state.serving
    assert isinstance(found, Serving)
    return found


Desk = Annotated[Serving, Depends(_serving_of)]
