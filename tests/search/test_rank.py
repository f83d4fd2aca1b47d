"""Ranking in a real library, against a plain matrix product."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from library.catalog import reading
from library.errors import ModelMismatch
from library.fakes import COLOURS, FakeEncoder
from library.records import PhotoFilter
from library.store import Store
from search.query import Query, query_vector
from search.rank import Searcher
from tests.libraries import index, paint

ENCODER = FakeEncoder()
NAMES = {
    f"{place}/{colour}.png": colour for place in ("home", "trip") for colour in COLOURS if colour != "gray"
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return paint(
        tmp_path / "photos", {name: colour for name, colour in NAMES.items() if name.startswith("home")}
    )


@pytest.fixture
def searcher(tmp_path: Path, photos: Path) -> Iterator[Searcher]:
    index(tmp_path / "library", photos)
    store = Store.open(tmp_path / "library")
    yield Searcher(store, ENCODER.stamp)
    store.close()


def vector(text: str) -> np.ndarray:
    return query_vector(Query([text]), ENCODER)


def test_the_ranking_is_that_of_a_plain_matrix_product(searcher: Searcher) -> None:
    with searcher.store.catalog.reading() as c:
        parts = list(reading.embeddings(c, searcher.store.model_id(ENCODER.stamp), ENCODER.stamp.dim))
    ids, matrix = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    for colour in COLOURS:
        scores = matrix @ vector(colour)
        hits = searcher.rank(vector(colour), 5)
        assert [hit.id for hit in hits] == ids[np.argsort(-scores, kind="stable")[:5]].tolist()
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1][:5], atol=1e-6)


def test_results_show_path_size_and_copies(searcher: Searcher, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "home/red.png", photos / "home/again.png")
    index(tmp_path / "library", photos)
    best = searcher.search(vector("red"), 1)[0]
    assert best.path == photos / "home/again.png"
    assert best.copies == (photos / "home/red.png",)
    assert (best.width, best.height, best.missing) == (64, 48, False)
    assert best.relevance is None


def test_k_results_come_back_whenever_k_photos_pass_the_filter(
    searcher: Searcher, photos: Path, tmp_path: Path
) -> None:
    # The trip is made of the colours least like the query, so a filter after the ranking would find none.
    paint(photos, {"trip/blue.png": "blue", "trip/purple.png": "purple", "trip/black.png": "black"})
    for name in ("blue", "purple", "black"):
        (photos / f"home/{name}.png").unlink()
    index(tmp_path / "library", photos)
    found = searcher.search(vector("yellow"), 3, wanted=PhotoFilter(folders=(photos / "trip",)))
    assert sorted(result.path.name for result in found) == ["black.png", "blue.png", "purple.png"]


def test_a_photo_that_is_not_on_disk_is_shown_only_when_asked_for(
    searcher: Searcher, photos: Path, tmp_path: Path
) -> None:
    (photos / "home/red.png").unlink()
    index(tmp_path / "library", photos)
    assert searcher.search(vector("red"), 1)[0].path.name != "red.png"
    best = searcher.search(vector("red"), 1, wanted=PhotoFilter(include_missing=True))[0]
    assert (best.path.name, best.missing) == ("red.png", True)


def test_an_open_searcher_follows_the_library(searcher: Searcher, photos: Path, tmp_path: Path) -> None:
    assert searcher.search(vector("red"), 1)[0].path.name == "red.png"
    (photos / "home/red.png").rename(photos / "home/crimson.png")
    index(tmp_path / "library", photos)
    assert searcher.search(vector("red"), 1)[0].path.name == "crimson.png"


def test_another_models_vectors_are_refused_by_name(searcher: Searcher) -> None:
    other = Searcher(searcher.store, FakeEncoder(name="other").stamp)
    with pytest.raises(ModelMismatch, match=r"other.*fake"):
        other.rank(vector("red"), 1)


def test_the_same_name_with_other_weights_is_another_model(searcher: Searcher) -> None:
    stamp = dataclasses.replace(ENCODER.stamp, weights_sha256="0" * 64)
    with pytest.raises(ModelMismatch):
        Searcher(searcher.store, stamp).rank(vector("red"), 1)
