"""oko: find your own photos by words, on your own machine. docs/api.md describes what Python programs may use."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from library.errors import OkoError
    from library.records import PhotoFilter, SearchResult
    from oko.api import Library
    from oko.shown import Results

__version__ = "0.1.0"
__all__ = ["Library", "OkoError", "PhotoFilter", "Results", "SearchResult", "__version__", "open_library"]

# Where they come from; loaded when they are asked for, so that `import oko` stays quick.
_PLACES = {
    "Library": "oko.api",
    "OkoError": "library.errors",
    "PhotoFilter": "library.records",
    "Results": "oko.shown",
    "SearchResult": "library.records",
}

NEIGHBOURS = ("library", "indexer", "search", "generate", "training")


def _check_neighbours() -> None:
    """oko's packages have plain names; another package of the same name must not take their place."""
    here = Path(__file__).resolve().parent.parent
    for name in NEIGHBOURS:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if found is None or found.parent.parent != here:
            raise ImportError(
                f"oko needs its own package {name!r} in {here}, but Python finds {found or 'none'}. "
                "Another package or a folder of that name in the current directory takes its place: "
                "install oko into an environment of its own, or run it from another folder."
            )


_check_neighbours()


if not TYPE_CHECKING:  # a type checker shall not take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in _PLACES:
            return getattr(importlib.import_module(_PLACES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def open_library(path: str | Path | None = None, *, model: str | None = None, **settings: Any) -> Library:
    """Open the library in `path` (default: `OKO_HOME`, else the platform's user data folder), made when first written.

    `model` names the CLIP model ("auto" when none is given); `settings` are those of config.toml. Any number of threads
    may use what it returns.

        with oko.open_library() as library:
            library.index(["~/Pictures"])
            for result in library.search("a dog running on the beach", limit=5):
                print(result.relevance, result.path)
    """
    from oko.api import Library

    return Library.open(path, model=model, **settings)
