"""Pages of a large library, found without looking at everything, against those found by looking at everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import update

from benchmarks.synthetic import World, WorldEncoder
from benchmarks.synthetic_library import fill, since
from library import indexes
from library.records import PhotoFilter
from library.schema import file, photo
from library.store import Store
from library.vectors import InvertedIndex, inverting
from search import answers, diversity
from search.query import parse
from search.rank import Searcher, SearchPage, Sort
from search.relevance import Nature

PHOTOS, DIM = 4_000, 32
WORLD = World(DIM)
ENCODER = WorldEncoder(WORLD)
FILTERS = {
    "all": None,
    "1 %": parse(f"after:{since(0.01)}").wanted,
    "10 %": parse(f"after:{since(0.1)}").wanted,
    "50 %": parse(f"after:{since(0.5)}").wanted,
    "a folder": parse("folder:2011").wanted,
    "nothing": parse("camera:nobody").wanted,
    "also missing": PhotoFilter(include_missing=True),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four thousand photos, of which a few are away, eighty look the same, and some have no date."""
    folder = tmp_path_factory.mktemp("large") / "library"
    fill(folder, WORLD, ENCODER.stamp, PHOTOS)
    with Store.open_writer(folder, purpose="test", timeout_s=5) as store:
        store.drop_vectors(1, [100])
        with store.catalog.writing() as c:
            c.execute(update(file).where(file.c.photo_id % 50 == 0).values(state="missing"))
            c.execute(update(photo).where(photo.c.id % 7 == 0).values(dated_at=None, taken_at=None))
            c.exec_driver_sql(
                "UPDATE embedding SET vector = (SELECT vector FROM embedding WHERE photo_id = 777) "
                "WHERE photo_id % 45 = 1"
            )
    return folder


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(indexes, "EXACT_UP_TO", 1_000 * DIM)
    monkeypatch.setattr(inverting, "LEAST", 1)
    monkeypatch.setattr(answers, "HEAD", 60)
    monkeypatch.setattr(diversity, "CANDIDATES", 40)
    with Store.open_writer(folder, purpose="test", timeout_s=5) as writer:
        writer.save_index(1, DIM)
    store = Store.open(folder)
    assert isinstance(store.vectors(1, DIM), InvertedIndex)
    yield store
    store.close()


def everywhere(store: Store) -> None:
    """Let the index look at everything, so that what it finds must be equal."""
    index = store.vectors(1, DIM)
    assert isinstance(index, InvertedIndex)
    index.budget = PHOTOS


def searcher(store: Store, *, exact: bool = False, line: float = 0.5) -> Searcher:
    return Searcher(store, ENCODER.stamp, lambda: ENCODER, line, exact=exact)


def queries(count: int, seed: int = 77) -> NDArray[np.float32]:
    return WORLD.queries(count, seed=seed)


def assert_same(fast: SearchPage, plain: SearchPage) -> None:
    assert [r.id for r in fast.results] == [r.id for r in plain.results]
    assert [r.relevance for r in fast.results] == pytest.approx(
        [r.relevance for r in plain.results], abs=1e-4
    )
    assert [r.score for r in fast.results] == pytest.approx([r.score for r in plain.results], abs=1e-6)
    assert replace(fast, results=(), total=0, cut=0, at_least=False) == replace(
        plain, results=(), total=0, cut=0
    )
    if fast.at_least:
        assert fast.total <= plain.total
    else:
        assert (fast.total, fast.cut) == (plain.total, plain.cut)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("sort", list(Sort))
def test_a_page_is_that_of_looking_at_everything(
    store: Store, name: str, everything: bool, sort: Sort
) -> None:
    everywhere(store)
    fast, plain = searcher(store), searcher(store, exact=True)
    for vector in queries(2):
        for offset, limit in ((0, 20), (15, 10), (50, 30), (300, 20), (5_000, 10)):
            asked = {"wanted": FILTERS[name], "everything": everything, "sort": sort}
            assert_same(
                fast.page(vector, offset=offset, limit=limit, **asked),
                plain.page(vector, offset=offset, limit=limit, **asked),
            )


@pytest.mark.parametrize("line", [0.0, 0.05, 0.5, 0.999, 1.0])
def test_the_line_cuts_the_same(store: Store, line: float) -> None:
    everywhere(store)
    for vector in queries(6, seed=5):
        assert_same(
            searcher(store, line=line).page(vector), searcher(store, exact=True, line=line).page(vector)
        )


@pytest.mark.parametrize("nature", list(Nature))
def test_whatever_the_query_was_made_of(store: Store, nature: Nature) -> None:
    everywhere(store)
    for vector in WORLD.photos(3, seed=5):
        assert_same(
            searcher(store).page(vector, nature=nature),
            searcher(store, exact=True).page(vector, nature=nature),
        )


def test_many_that_look_the_same_stand_in_the_order_of_their_dates(store: Store) -> None:
    everywhere(store)
    (twin,) = searcher(store)._vectors(np.array([777]))
    fast, plain = searcher(store), searcher(store, exact=True)
    for offset in range(0, 100, 20):
        asked = {"offset": offset, "limit": 20, "everything": True, "nature": Nature.PICTURES}
        assert_same(fast.page(twin, **asked), plain.page(twin, **asked))


@pytest.mark.parametrize("name", ["all", "10 %", "50 %", "a folder"])
@pytest.mark.parametrize("sort", [Sort.RELEVANCE, Sort.DIVERSE])
def test_with_lists_too_pages_neither_overlap_nor_miss_any(store: Store, name: str, sort: Sort) -> None:
    fast = searcher(store)
    for vector in queries(2, seed=3):
        first = fast.page(vector, wanted=FILTERS[name], everything=True, sort=sort, limit=25)
        found = [
            result.id
            for at in range(0, first.total + 25, 25)
            for result in fast.page(
                vector, wanted=FILTERS[name], everything=True, sort=sort, offset=at, limit=25
            ).results
        ]
        assert len(set(found)) == len(found) == first.total
        every = searcher(store, exact=True).page(vector, wanted=FILTERS[name], everything=True, limit=PHOTOS)
        assert sorted(found) == sorted(r.id for r in every.results)


@pytest.mark.parametrize("name", [each for each in FILTERS if each != "nothing"])
def test_with_lists_nearly_all_of_the_ten_best_are_found_and_k_always(store: Store, name: str) -> None:
    index = store.vectors(1, DIM)
    assert isinstance(index, InvertedIndex)
    assert index.budget < 0.8 * PHOTOS
    fast, plain = searcher(store), searcher(store, exact=True)
    met = 0
    for vector in queries(60, seed=9):
        ask = {"wanted": FILTERS[name], "everything": True}
        found, best = fast.page(vector, limit=20, **ask), plain.page(vector, limit=20, **ask)
        assert len(found.results) == len(best.results) == 20
        met += len({r.id for r in found.results[:10]} & {r.id for r in best.results[:10]})
    assert met / 600 >= 0.98


def test_the_first_pages_do_not_look_at_everything(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fast, vector = searcher(store), queries(1)[0]
    monkeypatch.setattr(InvertedIndex, "scores", lambda *_: pytest.fail("it looked at everything"))
    for wanted in FILTERS.values():
        assert fast.page(vector, wanted=wanted, everything=True, limit=20).total >= 0
        fast.page(vector, wanted=wanted, limit=20)
        fast.rank(vector, 20, wanted=wanted)


def test_the_page_at_the_end_of_what_is_known_counts_all(store: Store) -> None:
    fast, vector = searcher(store, line=1e-9), queries(1)[0]
    plain = searcher(store, exact=True, line=1e-9).page(vector)
    first = fast.page(vector, limit=20)
    assert first.at_least
    assert first.total <= answers.HEAD < plain.total
    last = fast.page(vector, offset=first.total - 20, limit=20)
    assert (last.at_least, last.total, last.cut) == (False, plain.total, plain.cut)


def test_what_was_asked_of_a_filter_is_forgotten_when_something_is_written(
    folder: Path, store: Store
) -> None:
    fast, vector, wanted = searcher(store), queries(1)[0], FILTERS["10 %"]
    assert wanted is not None
    before = fast.page(vector, wanted=wanted, everything=True)
    gone = before.results[0].id
    with Store.open_writer(folder, purpose="test", timeout_s=5) as writer, writer.catalog.writing() as c:
        c.execute(update(file).where(file.c.photo_id == gone).values(state="missing"))
    after = fast.page(vector, wanted=wanted, everything=True)
    assert gone not in [r.id for r in after.results]
    assert after.total == before.total - 1
    with Store.open_writer(folder, purpose="test", timeout_s=5) as writer, writer.catalog.writing() as c:
        c.execute(update(file).where(file.c.photo_id == gone).values(state="indexed"))
    assert fast.page(vector, wanted=wanted, everything=True) == before
