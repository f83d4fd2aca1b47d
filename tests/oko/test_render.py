"""What `oko search` prints and writes, with a small library and a fake model."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from library.records import SearchResult
from oko import render
from oko.sheet import shown_date
from tests.oko import small_library
from tests.oko.small_library import SmallLibrary

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    return small_library.make(tmp_path, monkeypatch)


@pytest.fixture
def search(library: SmallLibrary, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = library.oko("search", "red", "--all", *arguments)
        out, err = capfd.readouterr()
        return code, out, err

    return run


RESULT = SearchResult(
    id=7,
    path=Path("/photos/a.jpg"),
    score=0.25,
    relevance=0.875,
    copies=(),
    width=640,
    height=480,
    taken_at="2023-05-01T10:00:00",
    missing=False,
    format="JPEG",
    size_bytes=1234,
    taken_from="file",
)


def test_json_has_every_field(search: Run) -> None:
    found = json.loads(search("--json")[1])
    first = found[0]
    assert Path(first["path"]).name in ("red.jpg", "copy.jpg")
    assert first["format"] == "JPEG"
    assert first["size_bytes"] == Path(first["path"]).stat().st_size
    assert first["camera"] == "Secretcam"
    assert first["favourite"] is False
    assert (first["latitude"], first["longitude"]) == pytest.approx(small_library.PLACE, abs=1e-4)
    assert first["taken_from"] == "file"
    assert first["taken_at"]


def test_csv_and_json_agree(search: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(search("--csv")[1])))
    objects = json.loads(search("--json")[1])
    for row, each in zip(rows, objects, strict=True):
        assert row["path"] == each["path"]
        assert float(row["score"]) == pytest.approx(each["score"], abs=1e-6)
        relevance = "" if each["relevance"] is None else f"{each['relevance']:.6f}"
        assert row["relevance"] == relevance


def test_what_is_not_known_is_not_shown() -> None:
    unknown = dataclasses.replace(RESULT, relevance=None, score=0.0)
    assert render._figure_columns([unknown]) == []
    assert render._figure_columns([unknown, RESULT]) == ["score", "relevance"]
    assert render._figures(dataclasses.replace(RESULT, relevance=None), ["score", "relevance"]) == [
        "0.250",
        "-",
    ]


def test_a_date_of_the_file_is_marked() -> None:
    assert shown_date("2023-05-01T10:00:00", "file") == "~2023-05-01"
    assert shown_date("2023-05-01T10:00:00", "exif") == "2023-05-01"
    assert shown_date(None, None) == ""


def test_copies_keep_the_order_of_the_results(search: Run, tmp_path: Path) -> None:
    code, out, err = search("--paths", "--copy-to", tmp_path / "best")
    copied = sorted((tmp_path / "best").iterdir())
    assert code == 0
    assert [path.read_bytes() for path in copied] == [Path(line).read_bytes() for line in out.splitlines()]
    assert "3 photos copied to" in err


def test_a_photo_that_is_gone_is_a_failure(search: Run, library: SmallLibrary, tmp_path: Path) -> None:
    (library.photos / "blue.jpg").unlink()
    code, _, err = search("--link-to", tmp_path / "best")
    assert code == 1
    assert "blue.jpg" in err
    assert "2 photos linked in" in err


@pytest.mark.parametrize("flag", ["--contact-sheet", "--sheet"])
def test_a_contact_sheet_by_either_name(search: Run, tmp_path: Path, flag: str) -> None:
    assert search(flag, tmp_path / "sheet.webp")[0] == 0
    with Image.open(tmp_path / "sheet.webp") as sheet:
        assert sheet.width > 600


def test_previews_need_a_terminal(search: Run) -> None:
    code, out, err = search("--preview")
    assert (code, out) == (2, "")
    assert "--contact-sheet" in err


def test_no_thumbnails_on_a_pipe(search: Run) -> None:
    assert search("--thumbnails", "always")[1] == search()[1]
