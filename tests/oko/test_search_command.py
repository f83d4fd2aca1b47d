"""`oko index`, `oko search` and `oko classify` as a person types them, with the built-in model and real photographs."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from oko.cli import main
from oko.demo import copy_photos

pytest.importorskip("skimage", reason="the photographs come with scikit-image")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A library of the demo's photographs; (its folder, the photos' folder)."""
    base = tmp_path_factory.mktemp("search")
    copy_photos(base / "photos")
    os.rename(base / "photos/coins.png", os.fsencode(base / "photos") + b"/coins \xff.png")
    assert main(["index", str(base / "photos"), "--library", str(base / "library"), "-q"]) == 0
    return base / "library", base / "photos"


@pytest.fixture
def oko(library: tuple[Path, Path], capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--library", str(library[0])])
        out, err = capfdbinary.readouterr()
        return code, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape")

    return run


def test_words_find_the_photo(oko: Run) -> None:
    code, out, _ = oko("search", "a", "cat", "--top", "3", "--all")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == 3
    assert "chelsea.png" in lines[0]


def test_words_may_follow_options(oko: Run) -> None:
    assert oko("search", "a", "-k", "2", "cat")[1] == oko("search", "a", "cat", "-k", "2")[1]


@pytest.mark.parametrize("query", ["kočka", "eine Katze", "un chat"])
def test_the_built_in_model_reads_other_languages(oko: Run, query: str) -> None:
    assert "chelsea.png" in oko("search", query, "-k", "1")[1]


def test_json_has_the_documented_fields(oko: Run) -> None:
    results = json.loads(oko("search", "a motorcycle", "--json", "-k", "20", "--all")[1])
    assert len(results) == 16
    assert Path(results[0]["path"]).name == "motorcycle_left.png"
    assert {"path", "score", "relevance", "id", "tags"} <= set(results[0])
    assert 1 > results[0]["relevance"] > 0.5 > results[1]["relevance"] > 0
    assert all(-1 <= r["score"] <= 1 for r in results)
    assert [r["relevance"] for r in results] == sorted((r["relevance"] for r in results), reverse=True)


def test_only_what_is_relevant_is_shown_and_the_rest_is_counted(oko: Run) -> None:
    code, out, err = oko("search", "a motorcycle", "--paths")
    assert code == 0
    assert [Path(line).name for line in out.splitlines()] == ["motorcycle_left.png"]
    assert "15 photos lie below the relevance line; --all shows them" in err
    code, out, err = oko("search", "a giraffe", "--paths")
    assert (code, out) == (0, "")
    assert "16 photos lie below the relevance line" in err


def test_a_path_that_is_not_utf8_comes_in_base64_too(oko: Run, library: tuple[Path, Path]) -> None:
    results = json.loads(oko("search", "coins", "--json", "-k", "20", "--all")[1])
    odd = [base64.b64decode(r["path_b64"]) for r in results if "path_b64" in r]
    assert odd == [os.fsencode(library[1]) + b"/coins \xff.png"]


def test_paths_are_exact_bytes(oko: Run, library: tuple[Path, Path]) -> None:
    lines = oko("search", "coins", "--paths", "-k", "16", "--all")[1].splitlines()
    nulls = oko("search", "coins", "-0", "-k", "16", "--all")[1].split("\0")
    assert len(lines) == 16
    assert lines == nulls[:-1]
    assert all(os.path.exists(os.fsencode(line)) for line in lines)


def test_csv_is_read_back_by_the_csv_module(oko: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(oko("search", "a cat", "--csv", "-k", "2", "--all")[1])))
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert rows[0]["path"].endswith("chelsea.png")


def test_a_picture_finds_itself_and_words_can_join_it(oko: Run, library: tuple[Path, Path]) -> None:
    flower = str(library[1] / "flower.jpg")
    alone = json.loads(oko("search", "--image", flower, "--json", "-k", "1")[1])[0]
    assert Path(alone["path"]).name == "flower.jpg"
    assert alone["score"] > 0.99
    both = [
        Path(r["path"]).name
        for r in json.loads(oko("search", "a cat", "--image", flower, "--json", "-k", "2", "--all")[1])
    ]
    assert set(both) == {"flower.jpg", "chelsea.png"}


def test_a_contact_sheet_is_a_picture(oko: Run, tmp_path: Path) -> None:
    sheet = tmp_path / "cats.png"
    code, _, err = oko("search", "a cat", "-k", "3", "--sheet", str(sheet))
    assert code == 0
    assert str(sheet) in err
    with Image.open(sheet) as image:
        assert image.width > 600
        assert len(image.convert("RGB").resize((100, 100)).getcolors(10_000) or []) > 50


def test_filters(oko: Run, library: tuple[Path, Path], tmp_path: Path) -> None:
    assert json.loads(oko("search", "a cat", "--json", "--in", str(tmp_path))[1]) == []
    assert len(json.loads(oko("search", "a cat", "--json", "--all", "--in", str(library[1]))[1])) == 16
    code, out, err = oko("search", "a cat", "--camera", "no such camera")
    assert (code, out) == (0, "")
    assert "No photo passes these filters" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search"], "nothing to search for"),
        (["search", "a cat", "--after", "yesterday"], "not a date"),
        (["search", "a cat", "--after", "2023-13"], "not a date"),
        (["search", "a cat", "--after", "2023", "--before", "2021"], "no photo was taken"),
        (["search", "a cat", "--model", "ViT-B-32/laion2b_s34b_b79k"], "it has those of builtin"),
        (["search", "a cat", "--sheet", "/no/such/folder/x.png"], "there is no folder"),
        (["demo", "--into", __file__], "cannot write"),
        (["search", "a cat", "--model", "bultin"], "builtin"),
        (["search", "--image", "/no/such/file.jpg"], "/no/such/file.jpg"),
        (["search", "a cat", "--sheet", "/tmp/x.txt"], "must end in"),
        (["search", "a cat", "--top", "0"], "top"),
        (["index", "/no/such/folder"], "/no/such/folder"),
        (["classify", "/no/such/folder", "--labels", "a,b"], "/no/such/folder"),
        (["classify", "/", "/no/such/folder", "--labels", "a,b"], "/no/such/folder"),
    ],
)
def test_errors_name_what_is_wrong(oko: Run, arguments: list[str], words: str) -> None:
    code, out, err = oko(*arguments)
    assert code in (1, 2)
    assert out == ""
    assert words in err
    assert "Traceback" not in err


def test_no_library_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "a cat", "--library", str(tmp_path / "none")]) == 1
    assert "oko index" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_typo_leaves_no_library_behind(tmp_path: Path) -> None:
    assert main(["index", str(tmp_path / "Pictres"), "--library", str(tmp_path / "library")]) == 2
    assert not (tmp_path / "library").exists()


def test_an_empty_library_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    assert main(["index", str(tmp_path / "photos"), "--library", str(tmp_path / "library")]) == 0
    assert main(["search", "a cat", "--library", str(tmp_path / "library")]) == 0
    assert "no photos yet" in capsys.readouterr().err


def test_a_second_run_embeds_nothing(oko: Run, library: tuple[Path, Path]) -> None:
    report = json.loads(oko("index", str(library[1]), "--json")[1])
    assert (report["embedded"], report["unchanged"]) == (0, 16)


def test_a_dry_run_writes_nothing(
    tmp_path: Path, library: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", str(library[1]), "--dry-run", "--json", "--library", str(tmp_path / "new")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["embedded"], report["planned"]) == (16, True)
    assert not (tmp_path / "new").exists()


def test_classify(oko: Run, library: tuple[Path, Path], tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a cat\na motorcycle, parked\na building\n", encoding="utf-8")
    found = json.loads(
        oko("classify", str(library[1]), "--labels-file", str(labels), "--json", "-k", "1")[1]
    )["photos"]
    best = {Path(photo["path"]).name: photo["labels"][0]["name"] for photo in found}
    assert len(found) == 16
    assert (best["chelsea.png"], best["motorcycle_left.png"], best["china.jpg"]) == (
        "a cat",
        "a motorcycle, parked",
        "a building",
    )


def test_classify_says_what_cannot_be_read(oko: Run, library: tuple[Path, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    code, out, err = oko("classify", str(broken), str(library[1] / "chelsea.png"), "--labels", "a cat,a dog")
    assert code == 0
    assert "chelsea.png: a cat" in out
    assert "broken.jpg: not a picture" in err


def test_classify_in_json_says_what_cannot_be_read(oko: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_text("no picture")
    code, out, _ = oko("classify", str(tmp_path), "--labels", "a cat", "--json")
    found = json.loads(out)
    assert (code, found["photos"]) == (1, [])
    assert [Path(problem["path"]).name for problem in found["problems"]] == ["broken.jpg"]


@pytest.mark.parametrize(
    "arguments", [["index", "--limit", "-1"], ["classify", ".", "--labels", "a", "--top", "0"]]
)
def test_counts_are_at_least_one(oko: Run, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        oko(*arguments)
    assert ended.value.code == 2
