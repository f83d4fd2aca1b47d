"""The query language: what a text means, where its errors are, and the one direction that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from library.errors import QueryError, UsageError
from library.fakes import FakeEncoder
from library.records import Bounds, Near, Orientation, PhotoFilter
from search.filters import FILTERS, TYPES
from search.query import MOST_CHARACTERS, NAMES, Part, Query, Term, parse, query_vector
from search.rank import Sort

RED = Image.new("RGB", (40, 30), (230, 25, 25))
ENCODER = FakeEncoder()


def parts(text: str) -> list[tuple[str, float]]:
    """The words of a query's parts, with their weights."""
    found = parse(text).parts
    assert all(part.kind == "text" for part in found)
    return [(part.text, part.weight) for part in found]


def read(text: str) -> Query | QueryError:
    try:
        return parse(text)
    except QueryError as e:
        return e


def wanted(text: str) -> PhotoFilter:
    return parse(text).wanted


# Words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a dog in the snow", [("a dog in the snow", 1)]),
        ("  a   dog\n\tsnow ", [("a dog snow", 1)]),
        ("dog + snow - people", [("dog", 1), ("snow", 1), ("people", -1)]),
        ("dog:2 + snow - people:0.5", [("dog", 2), ("snow", 1), ("people", -0.5)]),
        ("a brown dog:2 snow", [("a brown dog", 2), ("snow", 1)]),
        ("dog - two people:2 cars", [("dog", 1), ("two people", -2), ("cars", -1)]),
        ("dog -people beach", [("dog beach", 1), ("people", -1)]),
        ("dog +snow beach", [("dog beach", 1), ("snow", 1)]),
        ("-people", [("people", -1)]),
        ("- people", [("people", -1)]),
        ("dog −people − cars", [("dog", 1), ("people", -1), ("cars", -1)]),
        ('dog -"two people":.5', [("dog", 1), ("two people", -0.5)]),
        ('"a + b - c: d"', [("a + b - c: d", 1)]),
        ('"dog:2"', [("dog:2", 1)]),
        ('a "b" „c d“ “e” «f»', [("a b c d e f", 1)]),
        (r'"a \"quoted\" \\ word \n"', [(r'a "quoted" \ word \n', 1)]),
        ("t-shirt black-and-white rock-'n'-roll", [("t-shirt black-and-white rock-'n'-roll", 1)]),
        ("C++ a+b", [("C++ a+b", 1)]),
        ("Prague -- the castle", [("Prague -- the castle", 1)]),
        ("at 10:30, 16:9 or 1:2:3", [("at 10:30, 16:9 or 1:2:3", 1)]),
        ("sci-fi: a film", [("sci-fi: a film", 1)]),
        (":smile: :-) a: 5\" don't", [(":smile: :-) a: 5\" don't", 1)]),
        ("https://example.org/a?b=c", [("https://example.org/a?b=c", 1)]),
        ("kočka:2 + žluťoučký kůň", [("kočka", 2), ("žluťoučký kůň", 1)]),
        ("größer - Bäume", [("größer", 1), ("Bäume", -1)]),
        ("été à la mer", [("été à la mer", 1)]),
        ("🐶:2 👨‍👩‍👧 - 🌧️", [("🐶", 2), ("👨‍👩‍👧", 1), ("🌧️", -1)]),
        ("犬 + 雪", [("犬", 1), ("雪", 1)]),
        ("3d:2", [("3d", 2)]),
        ('"1984":2', [("1984", 2)]),
        ("half \ud83d pair", [("half � pair", 1)]),
        ("", []),
        (" \n ", []),
    ],
)
def test_words_and_signs(text: str, expected: list[tuple[str, float]]) -> None:
    assert parts(text) == expected


def test_photos_and_pictures_are_parts_among_words() -> None:
    assert parse("beach like:12:0.5 at night - like:7 picture:2").parts == (
        Part("text", "beach"),
        Part("photo", "12", 0.5),
        Part("text", "at night"),
        Part("photo", "7", -1),
        Part("picture", "1"),
    )
    assert parse("-like:7").parts[0].number == 7


# Filters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tag:dog", {"tags": ("dog",)}),
        ('tag:"birthday  cake"', {"tags": ("birthday cake",)}),
        ("tag:dog tag:snow TAG:dog", {"tags": ("dog", "snow")}),
        ("tag:dog,cat", {"any_of": (PhotoFilter(tags=("dog",)), PhotoFilter(tags=("cat",)))}),
        ('-tag:"a, b"', {"excluded": (PhotoFilter(tags=("a, b",)),)}),
        ("- tag:dog", {"excluded": (PhotoFilter(tags=("dog",)),)}),
        ("+tag:dog + tag:cat", {"tags": ("dog", "cat")}),
        ("folder:/a/b/../c", {"folders": (Path("/a/c"),)}),
        ("folder:Holiday/2023,Alps", {"folders": (Path("Holiday/2023"), Path("Alps"))}),
        ("folder:a folder:b", {"folders": (Path("a"),), "also": (PhotoFilter(folders=(Path("b"),)),)}),
        ("date:2023", {"taken_after": "2023", "taken_before": "2023"}),
        ("date:2023..2024-06", {"taken_after": "2023", "taken_before": "2024-06"}),
        ("date:2023-02-28..", {"taken_after": "2023-02-28"}),
        ("date:..2023", {"taken_before": "2023"}),
        ("after:2023 before:2024-02-29", {"taken_after": "2023", "taken_before": "2024-02-29"}),
        ("camera:pixel lens:50mm", {"camera": "pixel", "lens": "50mm"}),
        ("camera:canon camera:5d", {"camera": "canon", "also": (PhotoFilter(camera="5d"),)}),
        ("type:png,webp", {"formats": ("PNG", "WEBP")}),
        ("type:JPG", {"formats": ("JPEG", "MPO")}),
        ("size:>4mp", {"megapixels": Bounds(low=4, low_excluded=True)}),
        ("size:<=500kb", {"size_bytes": Bounds(high=500_000)}),
        ("size:2..8mp", {"megapixels": Bounds(2, 8)}),
        ("size:1mb..", {"size_bytes": Bounds(low=1e6)}),
        ("size:12MP", {"megapixels": Bounds(11.5, 12.5)}),
        ("ratio:>1.5", {"ratio": Bounds(low=1.5, low_excluded=True)}),
        ("ratio:1..16:9", {"ratio": Bounds(1, 16 / 9)}),
        ("orientation:Portrait", {"orientation": Orientation.PORTRAIT}),
        ("near:49.2,-16.6,500m", {"near": Near(49.2, -16.6, 0.5)}),
        ("near:-90,180", {"near": Near(-90, 180, 10)}),
        ('near:"49.2, 16.6, 3 km"', {"near": Near(49.2, 16.6, 3)}),
        ("has:gps is:favorite dup:no", {"has_gps": True, "favourite": True, "one_of_duplicates": True}),
        ("is:untagged", {"untagged": True}),
        (
            "-camera:canon,nikon",
            {"excluded": (PhotoFilter(any_of=(PhotoFilter(camera="canon"), PhotoFilter(camera="nikon"))),)},
        ),
    ],
)
def test_filters(text: str, expected: dict[str, Any]) -> None:
    query = parse(text)
    assert query.wanted == PhotoFilter(**expected)
    assert query.parts == ()
    assert parse(f"a dog {text} in the snow").wanted == query.wanted
    assert parse(str(query)) == query


def test_a_ratio_alone_is_meant_roughly() -> None:
    bounds = wanted("ratio:16:9").ratio
    assert bounds is not None
    assert bounds.low is not None
    assert bounds.high is not None
    assert bounds.low < 1366 / 768 < bounds.high < 1.85


def test_words_around_filters_are_one_part() -> None:
    assert [part.text for part in parse("two dogs sort:newest").parts] == ["two dogs"]
    assert parse("dog - tag:x - people").parts == (Part("text", "dog"), Part("text", "people", -1))


def test_the_order_and_the_terms_are_told_with_their_places() -> None:
    text = 'dog - tag:"a b",c sort:newest'
    query = parse(text)
    assert query.sort is Sort.NEWEST
    assert query.terms == (Term("tag", ("a b", "c"), True), Term("sort", ("newest",)))
    assert [text[term.start : term.end] for term in query.terms] == ['- tag:"a b",c', "sort:newest"]
    assert query.text == text
    assert [str(term) for term in query.terms] == ['-tag:"a b",c', "sort:newest"]


def test_every_filter_reads_its_example_and_its_choices() -> None:
    for kind in FILTERS.values():
        for value in (kind.example, *kind.choices):
            assert not wanted(f"{kind.name}:{value}").is_open
    assert {name for formats in TYPES.values() for name in formats} >= {"JPEG", "PNG", "HEIF", "RAW"}


# Errors


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("dog foo:bar", "foo:", 'no filter foo: quote them: "foo:bar"'),
        ("dog fodler:x", "fodler:", "Did you mean folder:?"),
        ("dog -Kamera:x", "Kamera:", "Did you mean camera:?"),
        ("year:2023 x", "year:", "Did you mean date:?"),
        ("a tag: dog", "tag:", "tag: needs a value, without a space"),
        ("tag:a,,b", "", "tag: needs a value"),
        ('tag:"" x', '""', "nothing between the quotes"),
        ('say "hello', '"', "not closed"),
        ("tag:„hello x", "„", "not closed"),
        ('"a"b c', "b", "no space after the closing quote"),
        ('tag:"a"b c', "b", "no space after the closing quote"),
        ("dog -", "-", "nothing after -"),
        ("dog - + cat", "- +", "two signs in a row"),
        ("dog - -cat", "- -", "two signs in a row"),
        ("dog --cat", "--", "two signs in a row"),
        ("dog:0", "0", "not a weight"),
        ("dog:101", "101", "up to 100"),
        ("dog:-2", "-2", "not a weight"),
        ("dog:2,5", "2,5", "not a weight"),
        ('"dog":x', "x", "not a weight"),
        ("like:x", "like:x", "like: needs a number"),
        ("like:1,2", "like:1,2", "for two"),
        ("like:1:x", "x", "not a weight"),
        ("picture:0", "picture:0", "picture:1 is the first"),
        ("sort:best", "best", "relevance, newest, oldest, diverse"),
        ("sort:newest sort:oldest", "sort:oldest", "two orders"),
        ("-sort:newest", "-sort:newest", "cannot be left out"),
        ("date:2023-02-30", "2023-02-30", "Write 2023, 2023-07"),
        ("date:20230714", "20230714", "not a date"),
        ("date:2024..2023", "2024..2023", "no photo was taken"),
        ("date:..", "..", "a date before or after"),
        ("after:0000", "0000", "not a date"),
        ("type:png,pgn", "pgn", "Did you mean type:png?"),
        ("size:4", "4", "has no unit"),
        ("size:>4gp", ">4gp", "not a size"),
        ("size:1mp..2mb", "1mp..2mb", "mixes pixels and bytes"),
        ("size:8mp..2mp", "8mp..2mp", "ends before it begins"),
        ("ratio:16:0", "16:0", "not a ratio"),
        ("orientation:up", "up", "portrait, landscape, square, panorama"),
        ("near:Brno", "Brno", "Write latitude, longitude"),
        ("near:91,0", "91,0", "not a latitude"),
        ("near:0,181,1", "0,181,1", "not a longitude"),
        ("near:0,0,0", "0,0,0", "not a distance"),
        ("has:cats", "cats", "There are gps, tags"),
        ("is:favourit", "favourit", "Did you mean is:favourite?"),
        ("dup:yes", "yes", "There is only dup:no."),
        ("-dup:no", "-dup:no", "cannot be negated"),
        ("folder:..", "..", "no folder's name"),
    ],
)
def test_errors_point_at_the_place(text: str, place: str, words: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    error = caught.value
    assert text[error.start : error.end] == place
    said = f"{error.message} {error.hint}"
    assert all(word in said for word in words.split()), said
    shown, marks = str(error).splitlines()[1:]
    assert shown.strip() == text
    assert marks[5 + error.start :] == "^" * max(len(place), 1)


def test_marks_stand_below_what_they_mark() -> None:
    def lines(text: str) -> list[str]:
        with pytest.raises(QueryError) as caught:
            parse(text)
        return str(caught.value).splitlines()[1:]

    assert lines("犬🐶 foo:bar")[1] == "     " + "     " + "^^^^"  # two columns a sign
    assert lines("cafe\N{COMBINING ACUTE ACCENT} foo:bar")[1] == "     " + "     " + "^^^^"
    long = lines("x " * 200 + "foo:bar" + " y" * 200)
    assert all(len(line) < 140 for line in long)
    assert long[0][long[1].index("^") : long[1].rindex("^") + 1] == "foo:"
    assert "\n" not in lines("a\nb\tfoo:bar")[0]


@pytest.mark.parametrize(
    "text", ["x" * (MOST_CHARACTERS + 1), "+ a " * 101, "tag:a " * 201, "type:" + "png," * 300]
)
def test_a_query_has_an_end(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text)


def test_the_longest_query_is_read_quickly() -> None:
    for text in (
        "x " * 5000,
        "a" * MOST_CHARACTERS,
        '"' + "\\" * 9_998 + '"',
        "9" * 9_990 + ":2",
        "a:" * 5000,
    ):
        found = read(text)
        assert not isinstance(found, QueryError) or len(f"{found}\n{found.hint}") < 500


# Whatever is typed

SNIPPETS = st.sampled_from(
    [
        "dog",
        "snow",
        "-",
        "+",
        "−",
        '"',
        "„",
        "“",
        "«",
        "\\",
        ":",
        ",",
        "..",
        ">",
        "2",
        "0.5",
        " ",
        "\n",
        "é",
        "🐶",
        "\ud800",
    ]
    + [f"{name}:" for name in NAMES]
    + [f"{kind.name}:{value}" for kind in FILTERS.values() for value in (kind.example, *kind.choices)]
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(SNIPPETS, max_size=12).map("".join))


@given(TEXTS)
@example("tag:\udc80")
@example('folder:"\udcff"')
@example("near:1,2,3,")
@example("size:..mp")
def test_any_text_is_a_query_or_a_query_error(text: str) -> None:
    query = read(text)
    if isinstance(query, QueryError):
        assert 0 <= query.start <= query.end <= len(text)
        assert query.message
        assert "^" in str(query).split("\n")[2]
        return
    assert parse(str(query)) == query, "the fixed form says the same"
    assert str(parse(str(query))) == str(query)
    assert all(0 < abs(part.weight) <= 100 for part in query.parts)


# The direction


def embedded(text: str) -> np.ndarray:
    return ENCODER.encode_texts([text])[0]


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def test_a_text_is_its_embedding() -> None:
    vector = query_vector(parse("red"), ENCODER)
    assert vector is not None
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, embedded("red"), atol=1e-6)


def test_the_formula() -> None:
    vector = query_vector(parse("red:2 + blue - green:0.5"), ENCODER)
    expected = unit(2 * embedded("red") + embedded("blue") - 0.5 * embedded("green"))
    np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_no_part_drowns_another() -> None:
    """A picture's vector that is not of length one, as any caller may hand it in, counts like the words."""
    text = embedded("blue")
    picture = ENCODER.encode_images(ENCODER.prepare(RED)[None])[0]
    for given_picture in (RED, picture, picture * 1000):
        vector = query_vector(parse("blue"), ENCODER, pictures=[given_picture])
        assert vector is not None
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        assert vector @ text == pytest.approx(vector @ picture, abs=1e-5)


def test_pictures_can_be_named_and_unwanted() -> None:
    picture = ENCODER.encode_images(ENCODER.prepare(RED)[None])[0]
    vector = query_vector(parse("blue - picture:1:0.5"), ENCODER, pictures=[RED])
    np.testing.assert_allclose(vector, unit(embedded("blue") - 0.5 * picture), atol=1e-6)
    both = parse("- picture:2").with_pictures(2).parts
    assert both == (Part("picture", "1", -1), Part("picture", "0"))
    with pytest.raises(QueryError, match="no picture 2: 1 came"):
        query_vector(parse("picture:2"), ENCODER, pictures=[RED])


def test_photos_of_the_library_come_from_their_stored_vectors() -> None:
    stored = {3: embedded("green"), 9: embedded("red")}
    asked: list[list[int]] = []

    def vectors_of(ids: Any) -> np.ndarray:
        asked.append(list(ids))
        return np.stack([stored[key] for key in ids]) * 7

    vector = query_vector(parse("like:9 - like:3 blue like:9"), ENCODER, vectors_of=vectors_of)
    expected = unit(2 * embedded("red") - embedded("green") + embedded("blue"))
    np.testing.assert_allclose(vector, expected, atol=1e-6)
    assert asked == [[9, 3]]
    with pytest.raises(UsageError, match="like:"):
        query_vector(parse("like:9"), ENCODER)


def test_unwanted_parts_alone_ask_for_what_is_least_like_them() -> None:
    np.testing.assert_allclose(query_vector(parse("- red"), ENCODER), -embedded("red"), atol=1e-6)


@pytest.mark.parametrize("text", ["red - red", "red:0.5 - red:.5", "red + blue - red - blue", "- red + red"])
def test_parts_that_cancel_each_other_out_are_refused(text: str) -> None:
    with pytest.raises(QueryError, match="cancel each other out"):
        query_vector(parse(text), ENCODER)


def test_what_is_left_of_a_repeated_word_counts() -> None:
    np.testing.assert_allclose(query_vector(parse("red:2 - red"), ENCODER), embedded("red"), atol=1e-6)


@pytest.mark.parametrize("text", ["", "  ", "tag:dog", "sort:newest"])
def test_filters_alone_have_no_direction(text: str) -> None:
    assert query_vector(parse(text), ENCODER) is None
    assert parse(text).is_empty == (not text.strip())
