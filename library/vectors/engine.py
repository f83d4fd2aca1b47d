"""FAISS itself: the only file that imports it."""

from __future__ import annotations

import warnings
from types import ModuleType


def faiss() -> ModuleType:
    """The module, imported when it is first needed."""
    with warnings.catch_warnings():
        # SWIG's generated types trip Python's own deprecation check at import.
        warnings.filterwarnings(
            "ignore", message="builtin type .* has no __module__ attribute", category=DeprecationWarning
        )
        import faiss as module

    found: ModuleType = module
    return found
