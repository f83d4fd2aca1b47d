"""An indexed album that most tests of the indexer start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.albums import Album


@pytest.fixture
def album(tmp_path: Path) -> Album:
    """Six photos, a to f, indexed; a has a confirmed tag, b another."""
    album = Album(tmp_path)
    for seed, name in enumerate("abcdef"):
        album.put(f"{name}.png", seed)
    album.index()
    album.tag("a.png", "Anna")
    album.tag("b.png", "Bert")
    return album
