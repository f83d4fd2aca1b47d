"""How results show themselves: as text, and in Jupyter as pictures."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from library.records import SearchResult, Tag
from oko.shown import MOST_PICTURES, Results
from tests.oko.python_examples import count_models, example_photos, opened

RESULT = SearchResult(7, Path("/photos/a.jpg"), 0.25, 0.75, (), 64, 48, None, False)


class Reader(HTMLParser):
    """Collects the elements, and fails on one that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_text_says_how_many_there_are_and_what_is_below_the_line() -> None:
    assert repr(Results((RESULT,), 30, 5, 10)) == (
        " 11  0.75  /photos/a.jpg\n30 photos, 1 of them shown; 5 below the relevance line"
    )
    assert repr(Results((), 0)) == "0 photos"


def test_results_are_a_sequence() -> None:
    found = Results((RESULT, replace(RESULT, id=8)), 2)
    assert [r.id for r in found] == [7, 8]
    assert found[-1].id == 8
    assert found[1:] == (found[1],)
    assert RESULT in found
    assert found == Results((RESULT, replace(RESULT, id=8)), 2, _thumbnails=lambda ids: {})


def test_names_and_tags_are_no_markup() -> None:
    evil = '"><script>alert(1)</script><img src=x onerror="alert(1)">'
    result = replace(RESULT, path=Path(f"/p/{evil}.jpg"), tags=(Tag(evil, 0.5, "suggested"),))
    text = Results((result,), 1, _thumbnails=lambda ids: {7: b"picture"})._repr_html_()
    assert set(Reader(text).found) == {"div", "figure", "img", "figcaption", "b", "br", "p"}
    assert "<script" not in text


def test_a_path_that_is_no_text_shows() -> None:
    result = replace(RESULT, path=Path("/p/\udcff\n.jpg"))
    found = Results((result,), 1)
    assert b"figcaption" in found._repr_html_().encode()
    assert repr(found).encode().isascii()


def test_a_notebook_does_not_get_thousands_of_pictures() -> None:
    asked: list[int] = []
    found = Results(
        tuple(replace(RESULT, id=n) for n in range(1000)),
        1000,
        _thumbnails=lambda ids: asked.extend(ids) or {},
    )
    text = found._repr_html_()
    assert len(asked) == text.count("<figure") == MOST_PICTURES
    assert f"1,000 photos, {MOST_PICTURES} of them shown" in text


def test_jupyter_gets_what_it_asks_for() -> None:
    found = Results((RESULT,), 1)
    assert set(found._repr_mimebundle_()) == {"text/plain", "text/html"}
    assert set(found._repr_mimebundle_(include={"text/plain"})) == {"text/plain"}
    assert set(found._repr_mimebundle_(exclude={"text/plain"})) == {"text/html"}


def test_thumbnails_come_from_the_library_even_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_models(monkeypatch)
    with opened(tmp_path) as library:
        library.index([example_photos(tmp_path)])
        found, groups = library.search("red", everything=True), library.duplicates()
        while_open = found._repr_html_()
    assert len(re.findall(r"data:image/webp;base64,\w", while_open)) == 4
    assert found._repr_html_() == while_open
    assert groups._repr_html_().count("<img") == 2
    assert Reader(groups._repr_html_()).found.count("figure") == 2
    (tmp_path / "library").rename(tmp_path / "gone")
    assert "<img" not in found._repr_html_()
    assert "1 group; files too many: 1" in repr(groups)
