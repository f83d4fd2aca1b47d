"""An inverted index whose file rotted, or that Windows would not rename or delete."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from library.vectors import InvertedIndex, files, read_index
from tests.library.test_inverted import COUNT, DIM, assert_same, flat_of, halves, made, texts


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "v.faiss"
    made(path, np.arange(10, 10 + COUNT, dtype=np.int64), halves())
    return path


def mapped_files() -> str:
    return Path("/proc/self/maps").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has mapped is told by Linux")
def test_no_file_is_renamed_or_deleted_while_it_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows would refuse."""
    seen = []
    rename, unlink = os.replace, Path.unlink

    def watched_rename(source: Path, to: Path) -> None:
        seen.append(("renamed", str(source) in mapped_files()))
        rename(source, to)

    def watched_unlink(self: Path, missing_ok: bool = False) -> None:
        if self.exists():
            seen.append(("deleted", str(self) in mapped_files()))
        unlink(self, missing_ok)

    monkeypatch.setattr(files.os, "replace", watched_rename)
    monkeypatch.setattr(Path, "unlink", watched_unlink)
    index = made(tmp_path / "v.faiss", np.arange(COUNT, dtype=np.int64), halves())
    assert seen == [("renamed", False), ("deleted", False)]
    assert str(tmp_path / "v.faiss") in mapped_files(), f"or nothing is tested: {len(index)}"


def test_a_file_that_is_made_invalid_is_refused_but_read_on(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "v.faiss"
    copy.write_bytes(path.read_bytes())
    index, _ = read_index(copy)
    files.invalidate(copy)
    with pytest.raises(ValueError, match="not oko's"):
        read_index(copy)
    assert len(index.search(texts(1)[0], 5)[0]) == 5


@pytest.mark.parametrize("half", [b"\xff\xff", b"\x00\x7c"], ids=["nan", "infinite"])
@pytest.mark.parametrize("first", ["search", "only", "scores", "sample", "vectors", "contents"])
def test_no_score_is_ever_no_number(path: Path, tmp_path: Path, half: bytes, first: str) -> None:
    """Vectors that rotted on the disk, which no checksum tells when the file is opened."""
    whole, copy = path.read_bytes(), tmp_path / "v.faiss"
    end = whole.rindex(b'{"library_id"')
    rotten = COUNT * 9 // 10 * DIM * 2
    copy.write_bytes(whole[: end - rotten] + half * (rotten // 2) + whole[end:])
    index, _ = read_index(copy)
    good, _ = read_index(path)
    assert isinstance(index, InvertedIndex)
    assert isinstance(good, InvertedIndex)
    flat, asked = flat_of(good), []
    index.mend = lambda damaged: asked.append(damaged) or flat  # type: ignore[func-returns-value]
    query, some = texts(1, seed=4)[0], np.arange(10, 1500, dtype=np.int64)
    ask = {
        "search": lambda: index.search(query, 600),
        "only": lambda: index.search(query, 600, only=some),
        "scores": lambda: index.scores(query),
        "sample": lambda: index.sample(500),
        "vectors": lambda: index.vectors(some),
        "contents": index.contents,
    }
    ask[first]()
    assert asked == [index]
    for other in ask.values():
        other()
    assert asked == [index], "once"
    assert_same(index.search(query, 600), flat.search(query, 600))
    assert_same(index.search(query, 600, only=some), flat.search(query, 600, only=some))
    np.testing.assert_array_equal(index.scores(query)[1], flat.scores(query)[1])
    np.testing.assert_allclose(index.sample(500), flat.sample(500), atol=1e-6)
    assert (len(index), index.count(without=some), index.vectors(some)) == (COUNT, COUNT - len(some), None)
