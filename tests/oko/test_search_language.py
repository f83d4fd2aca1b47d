"""`oko search` with the query language, as a person types it, over a small library and a fake model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oko.commands.search_ import ORDERS, readable
from search.rank import Sort
from tests.oko.small_library import SmallLibrary, make
from tests.pictures import photo as scene


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    return make(tmp_path, monkeypatch)


def found(library: SmallLibrary, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The names of the photos that answer, in order."""
    capsys.readouterr()
    assert library.oko("search", *arguments, "--all", "--json") == 0
    return [Path(row["path"]).name for row in json.loads(capsys.readouterr().out)]


RED, GREEN, BLUE = "red.jpg", "green.jpg", "blue.jpg"


def test_unwanted_words_push_photos_down(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(library, capsys, "red", "+", "blue", "-", "green")[-1] == GREEN
    assert found(library, capsys, "red", "blue", "-red")[0] == BLUE
    assert found(library, capsys, "-blue")[-1] == BLUE
    assert found(library, capsys, "red:0.2 + blue")[0] == BLUE


def test_photos_of_the_library_and_files_are_examples(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    library.oko("search", "blue", "-k", "1", "--json")
    number = json.loads(capsys.readouterr().out)[0]["id"]
    assert found(library, capsys, f"like:{number}")[0] == BLUE
    assert found(library, capsys, f"-like:{number}")[-1] == BLUE
    assert found(library, capsys, "--image", str(library.photos / GREEN))[0] == GREEN
    assert found(library, capsys, "--image", str(library.photos / GREEN), "-", "picture:1")[-1] == GREEN
    assert library.oko("search", "like:999") == 2
    assert "the library has no photo 999" in capsys.readouterr().err


def test_filters_in_the_text_and_as_flags_are_the_same(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    assert library.oko("tag", "--accept", "sea", str(library.photos / BLUE)) == 0
    assert library.oko("tag", "--favourite", str(library.photos / GREEN), str(library.photos / BLUE)) == 0
    assert found(library, capsys, "red", "tag:sea") == found(library, capsys, "red", "--tag", "sea") == [BLUE]
    assert set(found(library, capsys, "-tag:SEA")) == {"red.jpg", "green.jpg"}
    assert set(found(library, capsys, "is:favourite")) == set(found(library, capsys, "--is", "favourite"))
    assert set(found(library, capsys, "is:favourite", "-tag:sea")) == {GREEN}
    assert found(library, capsys, "--size", "<1mp", "--orientation", "portrait") == []
    assert len(found(library, capsys, "near:49.19,16.6", "type:jpg", "has:gps")) == 3
    assert found(library, capsys, "--near", "-49.19,16.6,20") == []
    assert found(library, capsys, "folder:sub", "red") == found(
        library, capsys, "--in", str(library.photos / "sub"), "red"
    )
    assert found(library, capsys, "folder:sub") == found(library, capsys, "--folder", "sub") == [RED]
    assert len(found(library, capsys, "dup:no")) == 3


def test_flags_take_lists_as_the_text_does(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    assert library.oko("tag", "--accept", "sea", str(library.photos / BLUE)) == 0
    assert library.oko("tag", "--accept", "cake, big", str(library.photos / GREEN)) == 0
    for value in ('sea,"cake, big"', ' "sea" , "cake, big"'):
        assert set(found(library, capsys, "--tag", value)) == {BLUE, GREEN}
        assert set(found(library, capsys, f"tag:{value.strip().replace(' , ', ',')}")) == {BLUE, GREEN}
    assert found(library, capsys, "--tag", "sea", "--tag", '"cake, big"') == []
    assert len(found(library, capsys, "--camera", "nothing,secretcam")) == 3


def test_ranks_count_from_the_first_answer(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    capsys.readouterr()
    assert library.oko("search", "red", "--all", "--offset", "1", "--copy-to", str(tmp_path / "best")) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["2", "3"]
    assert [path.name[:4] for path in sorted((tmp_path / "best").iterdir())] == ["002-", "003-"]
    assert library.oko("search", "red", "--all", "--offset", "2", "--csv") == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("3,")


def test_a_query_of_filters_alone_loads_no_model(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from oko import assemble

    def refuse(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(assemble, "make_encoder", refuse)
    assert len(found(library, capsys, "camera:secret")) == 3
    assert (
        found(library, capsys, "camera:secret", "--offset", "1", "--sort", "oldest")
        == found(library, capsys, "camera:secret sort:oldest")[1:]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["dog fodler:x"],
            ["there is no filter fodler:", "dog fodler:x", "         ^^^^^^^", "Did you mean folder:?"],
        ),
        (["dog", "date:2023-13"], ["2023-13 is not a date", "^^^^^^^"]),
        (["dog", "-"], ["there is nothing after -"]),
        (["red - red"], ["cancel each other out"]),
        (["red", "-json"], ["does not know -json"]),
        (["red", "--date", "soon"], ["--date soon: soon is not a date"]),
        (
            ["red", "picture:2"],
            ["there is no picture 2: none came with the query", f"\n     {' ' * 4}^^^^^^^^^\n"],
        ),
        (["red", "-like:999:2"], ["no photo 999", "red -like:999:2\n", f"\n     {' ' * 5}^^^^^^^^^^\n"]),
        (["-dup:no"], ["     -dup:no\n", "There is only dup:no."]),
        (["--tag", '"sea'], ["the quote is not closed"]),
        (["--tag", '"sea" side'], ["no comma after the closing quote"]),
        (["--camera", ""], ["--camera needs a value", "--camera pixel"]),
        (["--type", "png,"], ["--type needs a value"]),
        ([], ["there is nothing to search for"]),
        (["   "], ["there is nothing to search for"]),
    ],
)
def test_errors_show_the_place(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    try:
        code = library.oko("search", *arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err


def test_words_that_begin_with_a_hyphen_are_no_options() -> None:
    given = [
        "search",
        "dog",
        "-people",
        "-tag:dog",
        "-k5",
        "-qv",
        "-json",
        "-",
        "--all",
        "-0",
        "-é",
        "-2024",
        "--",
        "-x y",
    ]
    read = readable(given)
    assert [a for a, b in zip(given, read, strict=True) if a != b] == [
        "-people",
        "-tag:dog",
        "-é",
        "-2024",
        "-x y",
    ]
    assert readable(["tag", "-people"]) == ["tag", "-people"]
    assert readable([]) == []


def test_every_order_is_a_choice() -> None:
    assert tuple(order.value for order in Sort) == ORDERS


def test_of_photos_that_look_the_same_one_answers(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    """The copy has other bytes, so it is a photo of its own; with the original out of the way it answers itself."""
    scene(1, (640, 480)).save(library.photos / "scene.png")
    scene(1, (640, 480)).resize((320, 240)).save(library.photos / "sub" / "small.png")
    library.index()
    assert len(found(library, capsys, "type:png")) == 2
    assert found(library, capsys, "type:png dup:no") == ["scene.png"]
    assert found(library, capsys, "red", "--type", "png", "--dup", "no") == ["scene.png"]
    assert found(library, capsys, "type:png dup:no folder:sub") == ["small.png"]
    assert len(found(library, capsys, "dup:no")) == 4
