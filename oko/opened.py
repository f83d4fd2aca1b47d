"""An open library as Python programs hold it: its lifetime, and how they name its photos."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image

from library.catalog import reading
from library.config import Config, LoadedConfig, load_config
from library.encoder import Encoder
from library.folder import default_folder
from library.records import SearchResult
from library.store import Store
from oko import deciding
from oko.context import Context
from oko.warm import WarmLibrary

Picture = str | Path | Image.Image
"""A picture that need not be in the library: a file, or one that Pillow has opened."""
Photo = int | str | Path | SearchResult
"""A photo of the library: its id, one of its files, or a result that names it."""
Photos = Photo | Iterable[Photo]


class OpenedLibrary:
    """What `oko.api.Library` is built on."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config
        self._context = Context(folder, LoadedConfig(config, {}), quiet=True, purpose="oko.Library")
        self._warm = WarmLibrary(self._context)

    @classmethod
    def open(cls, path: str | Path | None = None, *, model: str | None = None, **settings: Any) -> Self:
        """See `oko.open_library`. Raises ConfigError for a wrong setting."""
        folder = Path(path).expanduser().absolute() if path is not None else default_folder(os.environ)
        return cls(
            folder, load_config(folder, environment=os.environ, flags={**settings, "model": model}).config
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the model and the library's files, after those who use them. Used again, it opens again."""
        self._warm.close()

    @property
    def encoder(self) -> Encoder:
        """The model, loaded at its first use."""
        with self._warm.reading_if_there() as store:
            return self._warm.model(store)[1]

    def _thumbnails(self, ids: Sequence[int]) -> Mapping[int, bytes]:
        """As WebP, for showing results, which outlive the library."""
        with self._warm.reading_in_passing() as store, store.catalog.reading() as c:
            return reading.thumbnails(c, ids)


def key_of(photo: Photo) -> str | int:
    """The photo as `deciding.find_photos` takes it."""
    if isinstance(photo, SearchResult):
        return photo.id
    return photo if isinstance(photo, (str, int)) else str(photo)


def keys_of(photos: Photos) -> list[str | int]:
    """The same of one or several."""
    if isinstance(photos, (int, str, Path, SearchResult)):
        return [key_of(photos)]
    return [key_of(photo) for photo in photos]


def id_of(store: Store, photo: Photo) -> int:
    """The id of a photo. Raises UsageError if the library does not have it."""
    return next(iter(deciding.find_photos(store, [key_of(photo)])))
