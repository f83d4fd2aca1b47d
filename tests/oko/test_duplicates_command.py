"""`oko duplicates` as a person types it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.oko import small_library
from tests.oko.small_library import SmallLibrary
from tests.pictures import jpeg_bytes, photo

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    """red.jpg and its copy, green, blue; and a scene with a smaller version."""
    made = small_library.make(tmp_path, monkeypatch)
    scene = photo(1, (400, 300))
    (made.photos / "scene.jpg").write_bytes(jpeg_bytes(scene))
    (made.photos / "sub/small.jpg").write_bytes(jpeg_bytes(scene.resize((200, 150))))
    made.index()
    return made


@pytest.fixture
def run(library: SmallLibrary, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    def duplicates(*arguments: object) -> tuple[int, str, str]:
        code = library.oko("duplicates", *arguments)
        out, err = capfdbinary.readouterr()
        return code, out.decode("utf-8", "surrogateescape"), err.decode()

    return duplicates


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_report_for_people(run: Run, library: SmallLibrary) -> None:
    before = contents(library.photos)
    code, out, err = run()
    assert code == 0
    assert "near (" in out
    assert "keep: most pixels" in out
    assert "same content" in out
    assert "2 groups (1 exact, 1 near): 2 files too many" in err
    assert "Nothing was deleted" in err
    assert contents(library.photos) == before


def test_json_is_one_object(run: Run, library: SmallLibrary) -> None:
    code, out, err = run("--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["kinds"] == ["exact", "near"]
    near, exact = found["groups"]
    assert (near["kind"], exact["kind"]) == ("near", "exact")
    assert [p["relation"] for p in near["photos"]] == ["kept", "near"]
    assert near["photos"][1]["distance_bits"] <= 8
    assert near["saved_bytes"] == (library.photos / "sub/small.jpg").stat().st_size
    assert [f["keep"] for f in exact["photos"][0]["files"]] == [True, False]
    assert found["saved_bytes"] == sum(group["saved_bytes"] for group in found["groups"])
    assert found["redundant_files"] == 2


def test_paths_list_what_is_redundant(run: Run, library: SmallLibrary) -> None:
    lines = run("--paths")[1].splitlines()
    assert len(lines) == 2
    assert str(library.photos / "sub/small.jpg") in lines
    assert {os.path.basename(line) for line in lines} <= {"small.jpg", "copy.jpg", "red.jpg"}
    assert run("-0")[1] == "".join(f"{line}\0" for line in lines)


def test_csv_has_a_line_for_each_file(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("--csv")[1])))
    assert [(row["group"], row["action"], row["relation"]) for row in rows] == [
        ("1", "keep", "kept"),
        ("1", "redundant", "near"),
        ("2", "keep", "kept"),
        ("2", "redundant", "exact"),
    ]


def test_kinds_folders_and_number(run: Run, library: SmallLibrary) -> None:
    assert len(json.loads(run("--kind", "exact", "--json")[1])["groups"]) == 1
    assert json.loads(run("--in", library.photos / "sub", "--json")[1])["groups"] == []
    assert len(json.loads(run("-k", "1", "--json")[1])["groups"]) == 1
    similar = json.loads(run("--kind", "similar", "--json")[1])["groups"]
    assert all(p["cosine"] >= 0.93 for group in similar for p in group["photos"][1:])


def test_copies_lie_side_by_side(run: Run, tmp_path: Path) -> None:
    code, _, err = run("--link-to", tmp_path / "look")
    assert code == 0
    assert "4 photos linked in" in err
    names = sorted(each.name for each in (tmp_path / "look").iterdir())
    assert names[:2] == ["001-scene.jpg", "002-small.jpg"]


def test_a_contact_sheet(run: Run, tmp_path: Path) -> None:
    code, _, err = run("--contact-sheet", tmp_path / "sheet.png", "-q")
    assert (code, err) == (0, "")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > sheet.width / 2
        assert len(sheet.convert("RGB").getcolors(1_000_000) or []) > 50


def test_nothing_to_report(run: Run, library: SmallLibrary) -> None:
    for name in ("sub/small.jpg", "sub/copy.jpg"):
        (library.photos / name).unlink()
    library.index()
    code, out, err = run()
    assert (code, out) == (0, "")
    assert "No duplicates" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kind", "alike"], "no kind alike"),
        (["--kind", ""], "no kind"),
        (["--distance", "40"], "from 0 to 12"),
        (["--cosine", "0.2"], "from 0.8 to 1"),
        (["--contact-sheet", "/no/such/folder/x.png"], "there is no folder"),
        (["--contact-sheet", "x.txt"], "must end in"),
        (["--copy-to", __file__], "this is a file"),
    ],
)
def test_errors_name_what_is_wrong(run: Run, arguments: list[str], words: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err
