"""oko from Python: `oko.open_library()`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image

from indexer.pipeline import IndexRun, Progress
from library.config import Config, load_config
from library.encoder import Encoder
from library.folder import default_folder
from library.records import IndexReport, Label, PhotoFilter, SearchResult
from library.store import Store
from oko import assemble
from search.classify import Classifier
from search.query import Query, query_vector


class Library:
    """A library with its model loaded once. Not for several threads at a time."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config
        self._encoder: Encoder | None = None
        self._store: Store | None = None

    @classmethod
    def open(cls, path: str | Path | None = None, *, model: str | None = None, **settings: Any) -> Library:
        """See `oko.open_library`. Raises ConfigError for a wrong setting."""
        folder = Path(path).expanduser().absolute() if path is not None else default_folder(os.environ)
        return cls(
            folder, load_config(folder, environment=os.environ, flags={**settings, "model": model}).config
        )

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the model and the library's files."""
        if self._store is not None:
            self._store.close()
        if self._encoder is not None:
            self._encoder.close()
        self._store = self._encoder = None

    def index(
        self,
        paths: Sequence[str | Path] = (),
        *,
        retry: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Index folders, or refresh all that are known; `progress` is called as the run goes on.

        Raises UsageError for a folder that is not there, LibraryLocked if another process is writing.
        """
        places = [Path(path) for path in paths]
        assemble.check_paths(self.folder, self.config, places)
        with assemble.writing(
            self.folder, self.config, purpose="oko.Library.index", create=bool(places)
        ) as store:
            spec = assemble.choose_model(self.folder, self.config, store, lambda _: None)
            encoder = self._encoder = self._encoder or assemble.make_encoder(spec, self.config)
            settings = assemble.index_settings(self.config, self.folder, encoder, retry=retry)
            run = IndexRun(store, encoder, settings, model_name=spec.name)
            for step in run.steps(places):
                if progress is not None:
                    progress(step)
        return run.report

    def search(
        self,
        text: str = "",
        *,
        image: str | Path | Image.Image | None = None,
        top: int | None = None,
        wanted: PhotoFilter | None = None,
    ) -> list[SearchResult]:
        """The photos that answer words, a picture, or both, best first. Raises NoLibrary before the first `index`."""
        searcher = assemble.make_searcher(self._open_store(), self.encoder)
        pictures = [] if image is None else [self._picture(image)]
        return searcher.search(
            query_vector(Query([text], pictures), self.encoder), top or self.config.top, wanted=wanted
        )

    def classify(
        self, image: str | Path | Image.Image, labels: Sequence[str], *, top: int = 3
    ) -> list[Label]:
        """The most probable of the labels for one picture, with their probabilities."""
        from library.prompts import DEFAULT_TEMPLATES

        vector = self.encoder.encode_images(self.encoder.prepare(self._picture(image))[None])
        return Classifier(self.encoder, labels, templates=DEFAULT_TEMPLATES).best(vector, top)[0]

    @property
    def encoder(self) -> Encoder:
        """The model, loaded at its first use."""
        if self._encoder is None:
            with assemble.reading_if_there(self.folder, self.config) as store:
                spec = assemble.choose_model(self.folder, self.config, store, lambda _: None)
            self._encoder = assemble.make_encoder(spec, self.config)
        return self._encoder

    def _open_store(self) -> Store:
        if self._store is None:
            self._store = Store.open(self.folder, database_url=self.config.database_url)
        return self._store

    def _picture(self, image: str | Path | Image.Image) -> Image.Image:
        if isinstance(image, Image.Image):
            return image.convert("RGB")
        return assemble.read_picture(Path(image), self.config)
