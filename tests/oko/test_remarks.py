"""What is said of an answer: that a tag of the same name would find more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from library.config import Config
from library.records import PhotoFilter
from library.store import Store
from oko import remarks
from oko.searching import Request
from oko.web.serving import serving
from search.query import parse
from search.rank import SearchPage
from tests.oko import small_library
from tests.oko.small_library import SmallLibrary

NOTHING = SearchPage((), 0, 0, 3)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    """One photo is tagged food, two have a birthday cake, and one of Ann's was rejected."""
    library = small_library.make(tmp_path, monkeypatch)
    with library.writer() as store:
        store.set_suggestions([1, 2, 3], [(1, "food", 0.9), (2, "birthday cake", 0.9)])
        store.set_decisions(
            [
                {"photo_id": photo, "name": name, "state": state, "decided_at": "2026-01-01T00:00:00Z"}
                for photo, name, state in (
                    (3, "birthday cake", "confirmed"),
                    (1, "Ann", "confirmed"),
                    (2, "Ann", "rejected"),
                )
            ]
        )
    return library


@pytest.fixture
def store(library: SmallLibrary) -> Iterator[Store]:
    found = Store.open(library.folder)
    yield found
    found.close()


def said(store: Store, text: str, page: SearchPage = NOTHING, **asked: object) -> str:
    query = parse(text)
    found = remarks.tagged(store, Request(query, wanted=query.wanted, **asked), page)  # type: ignore[arg-type]
    return "" if found is None else str(found)


def test_a_tag_that_finds_more_is_told(store: Store) -> None:
    assert said(store, "food") == "1 photo has the tag food: oko search tag:food"
    assert said(store, "Birthday  Cake") == (
        "2 photos have the tag birthday cake: oko search 'tag:\"birthday cake\"'"
    )
    assert said(store, "ann") == "1 photo has the tag Ann: oko search tag:Ann", "rejected ones do not count"
    assert parse('tag:"birthday cake"').wanted.tags == ("birthday cake",)


@pytest.mark.parametrize(
    "text", ["food on a table", "- food", "food + cake", "food like:1", "food has:gps", "tag:food", "nothing"]
)
def test_other_queries_are_left_alone(store: Store, text: str) -> None:
    assert said(store, text) == ""


def test_only_where_it_would_help(store: Store, library: SmallLibrary) -> None:
    assert said(store, "food", SearchPage((), 0, 1, 0)) == "", "as many were found"
    assert said(store, "food", SearchPage((), 0, 0, 0, True)) == "", "many were found, and not counted"
    assert said(store, "food", everything=True) == ""
    assert said(store, "food", offset=20) == ""
    assert said(store, "food", pictures=[library.photos / "red.jpg"]) == ""
    query = parse("food")
    in_a_folder = Request(query, wanted=query.wanted & PhotoFilter(folders=(library.photos,)))
    assert remarks.tagged(store, in_a_folder, NOTHING) is None


def test_the_command_line_says_it_with_and_without_a_server(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.oko.web.conftest import client_of

    with library.writer() as store:
        store.set_suggestions([1, 2, 3], [(n, "red", 0.9) for n in (1, 2, 3)])
    sentence = "3 photos have the tag red: oko search tag:red"
    assert library.oko("search", "red") == 0
    assert capsys.readouterr().err.splitlines()[-1] == sentence
    assert library.oko("search", "red", "--all") == 0
    assert sentence not in capsys.readouterr().err
    with serving(library.folder, Config()) as desk, client_of(desk) as client:
        answer = client.get("/api/search", params={"q": "red"}).json()
        assert answer["tagged"] == {"tag": "red", "photos": 3, "query": "tag:red"}
        assert sentence not in answer["notes"], "the page has a button instead"
        assert client.get("/api/search", params={"q": answer["tagged"]["query"]}).json()["total"] == 3
        assert client.get("/api/search", params={"q": "green"}).json()["tagged"] is None
