"""oko: find your own photos by words, on your own machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oko.api import Library

__version__ = "0.1.0"
__all__ = ["__version__", "open_library"]

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


def open_library(path: str | Path | None = None, *, model: str | None = None, **settings: Any) -> Library:
    """Open the library in `path` (default: `OKO_HOME`, else the platform's user data folder), made when first written.

    `model` names the CLIP model ("auto" when none is given); `settings` are those of config.toml.

        with oko.open_library() as library:
            library.index(["~/Pictures"])
            for result in library.search("a dog running on the beach", top=5):
                print(result.score, result.path)
    """
    from oko.api import Library

    return Library.open(path, model=model, **settings)
