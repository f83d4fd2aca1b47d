"""Ranking in a real library, against a plain matrix product."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from library.catalog import reading
from library.errors import ModelMismatch
from library.fakes import COLOURS, FakeEncoder
from library.records import PhotoFilter
from library.store import Store
from search import ordering
from search.query import parse, query_vector
from search.rank import Searcher, Sort
from search.relevance import Nature
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
    found = query_vector(parse(text), ENCODER)
    assert found is not None
    return found


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


# Pages


@pytest.fixture
def judged(searcher: Searcher) -> Searcher:
    """The same, able to tell relevance."""
    return Searcher(searcher.store, ENCODER.stamp, lambda: ENCODER)


@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize("limit", [1, 3, 4])
def test_pages_neither_overlap_nor_miss_any(judged: Searcher, sort: Sort, limit: int) -> None:
    asked = functools.partial(judged.page, vector("red"), sort=sort, everything=True)
    whole = asked(limit=100)
    pages = [asked(offset=at, limit=limit) for at in range(0, 14, limit)]
    found = [result.id for page in pages for result in page.results]
    assert found == [result.id for result in whole.results]
    assert len(set(found)) == len(found) == whole.total == 11
    assert {page.total for page in pages} == {11}


@pytest.mark.parametrize("asked", [None, "red"])
def test_beyond_the_end_a_page_is_empty(judged: Searcher, asked: str | None) -> None:
    page = judged.page(None if asked is None else vector(asked), offset=50_000, everything=True)
    assert (page.results, page.offset, page.total) == ((), 50_000, 11)


def test_what_is_there_is_shown_and_the_rest_is_counted(judged: Searcher) -> None:
    page = judged.page(vector("red"))
    assert page.results[0].path.name == "red.png"
    assert page.total == len(page.results) < 11
    assert page.total + page.cut == 11
    relevances = [result.relevance for result in judged.page(vector("red"), everything=True).results]
    assert all(value is not None for value in relevances)
    assert relevances == sorted(relevances, key=lambda value: -(value or 0))
    assert sum((value or 0) >= 0.5 for value in relevances) == page.total


def test_the_line_is_a_setting(searcher: Searcher) -> None:
    totals = [
        Searcher(searcher.store, ENCODER.stamp, lambda: ENCODER, line).page(vector("red")).total
        for line in (0, 0.1, 0.5, 0.999)
    ]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] == 11
    assert totals[-1] < 11


def test_scores_stay_cosines_and_relevance_does_not_depend_on_the_filter(
    judged: Searcher, photos: Path
) -> None:
    (every,) = (r for r in judged.page(vector("red"), everything=True).results if r.path.name == "orange.png")
    wanted = PhotoFilter(folders=(photos / "home",), formats=("PNG",))
    (some,) = (
        r
        for r in judged.page(vector("red"), wanted=wanted, everything=True).results
        if r.path.name == "orange.png"
    )
    own = query_vector(parse("red"), ENCODER) @ judged._vectors(np.array([every.id]))[0]
    assert every.score == pytest.approx(float(own), abs=1e-5)
    assert (some.score, some.relevance) == (every.score, every.relevance)


def test_without_words_every_photo_that_passes_answers(judged: Searcher) -> None:
    page = judged.page(None, limit=4)
    assert (len(page.results), page.total, page.cut) == (4, 11, 0)
    assert {result.relevance for result in page.results} == {None}


def test_by_date_in_both_directions_and_in_one_of_a_million_ways(
    judged: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = [result.id for result in judged.page(None, sort=Sort.NEWEST).results]
    oldest = [result.id for result in judged.page(None, sort=Sort.OLDEST).results]
    assert newest == oldest[::-1]
    monkeypatch.setattr(ordering, "ONE_BY_ONE", 0)  # as in a large library
    assert [result.id for result in judged.page(None, sort=Sort.NEWEST).results] == newest
    assert [result.id for result in judged.page(None, sort=Sort.OLDEST).results] == oldest


def test_pictures_are_judged_by_other_pictures(judged: Searcher, photos: Path) -> None:
    with Image.open(photos / "home/red.png") as picture:
        own = ENCODER.encode_images(ENCODER.prepare(picture)[None])[0]
    page = judged.page(own, nature=Nature.PICTURES, everything=True)
    assert page.results[0].path.name == "red.png"
    assert page.results[0].score == pytest.approx(1, abs=1e-3)
    assert judged.page(vector("red"), nature=Nature.UNWANTED).total == 11
