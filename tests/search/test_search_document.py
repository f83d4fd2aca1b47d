"""docs/search.md says what the parser does: every example in it is read, every filter stands in it."""

from __future__ import annotations

import re

import pytest

from library.errors import QueryError
from library.records import PhotoFilter
from search.filters import FILTERS
from search.query import parse
from search.rank import Sort
from tests.house.source import ROOT

TEXT = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
FIRST_CELLS = [line.split(" | ")[0].strip("| ") for line in TEXT.splitlines() if line.startswith("| `")]
EXAMPLES = [example for cell in FIRST_CELLS for example in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_queries(example: str) -> None:
    query = parse(example)
    assert not query.is_empty
    assert parse(str(query)) == query


def test_every_filter_has_its_example() -> None:
    named = {term.name for example in EXAMPLES for term in parse(example).terms}
    assert named == {*FILTERS, "sort"}
    for kind in FILTERS.values():
        assert all(choice in TEXT for choice in kind.choices)
    assert all(order.value in TEXT for order in Sort)


def test_what_the_text_says_of_single_queries() -> None:
    assert [p.text for p in parse("dog -people playing").parts] == ["dog playing", "people"]
    for word in ("10:30", "16:9", "sci-fi: a film", ":-)", "t-shirt", "black-and-white", "C++"):
        assert [p.text for p in parse(word).parts] == [word]
    assert parse('tag:"birthday cake",dog').terms[0].values == ("birthday cake", "dog")
    assert parse("- tag:dog").wanted == parse("-tag:dog").wanted != PhotoFilter()
    assert parse("- people").parts[0].weight == -1


def test_the_error_shown_is_the_error_raised() -> None:
    shown = TEXT.split("$ oko search ")[1].split("```")[0].splitlines()
    with pytest.raises(QueryError) as caught:
        parse(shown[0])
    assert f"oko: {caught.value}\n     {caught.value.hint}".splitlines() == shown[1:]
