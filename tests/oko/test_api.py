"""oko from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import oko
from library.errors import ConfigError, NoLibrary
from oko.demo import copy_photos

pytest.importorskip("skimage", reason="the photographs come with scikit-image")


def test_index_search_and_classify(tmp_path: Path) -> None:
    photos = copy_photos(tmp_path / "photos")
    seen = []
    with oko.open_library(tmp_path / "library", model="builtin", batch_size=8) as library:
        report = library.index([tmp_path / "photos"], progress=seen.append)
        best = library.search("a cat", top=2)
        alike = library.search(image=photos[0], top=1)
        label = library.classify(tmp_path / "photos/chelsea.png", ["a dog", "a cat"], top=1)[0]
    assert (report.embedded, report.unreadable) == (16, 0)
    assert [(step.done, step.total) for step in seen if step.phase == "index"] == [(0, 16), (8, 16), (16, 16)]
    assert next(result.path.name for result in best) == "chelsea.png"
    assert alike[0].path == photos[0]
    assert (label.name, label.probability > 0.9) == ("a cat", True)


def test_the_library_is_where_oko_home_says(oko_home: Path) -> None:
    with oko.open_library() as library:
        assert library.folder == oko_home


def test_a_wrong_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        oko.open_library(batchsize=8)
    assert "batch_size" in caught.value.hint


def test_searching_before_indexing_says_what_to_do(tmp_path: Path) -> None:
    with (
        oko.open_library(tmp_path / "library", model="builtin") as library,
        pytest.raises(NoLibrary) as caught,
    ):
        library.search("a cat")
    assert "oko index" in caught.value.hint
