"""oko forget: what is asked for goes without a trace, everything else stays, photos are never touched."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from oko import exits, jobs
from oko.forgetting import cutoff
from tests.oko.small_library import COLOURS, SmallLibrary, make


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    return make(tmp_path, monkeypatch)


def forget(library: SmallLibrary, capsys: pytest.CaptureFixture[str], *more: object) -> dict[str, Any]:
    capsys.readouterr()
    assert library.oko("forget", "--yes", "--json", *more) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def rows(library: SmallLibrary, query: str, *values: object) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(library.folder / "catalog.sqlite")
    connection.execute("PRAGMA secure_delete = OFF")  # some builds of SQLite have it on
    try:
        found = connection.execute(query, values).fetchall()
        connection.commit()
        return found
    finally:
        connection.close()


def library_bytes(library: SmallLibrary) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(library.folder.iterdir()) if path.is_file())


def test_nothing_remains_of_a_photo(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    blue = library.photos / "blue.jpg"
    (photo_id,) = rows(library, "select photo_id from file where path = ?", b"blue.jpg")[0]
    facts = "select content_sha256 from photo where id = ?"
    traces = [blue.name.encode(), rows(library, facts, photo_id)[0][0], b"unlikely-tag-7141"]
    traces += rows(library, "select webp from thumbnail where photo_id = ?", photo_id)[0]
    traces += rows(library, "select vector from embedding where photo_id = ?", photo_id)[0]
    rows(library, "insert into tag values (?, 'unlikely-tag-7141', 'confirmed', 0.5, null)", photo_id)
    rows(library, "update photo set latitude = 12.3456789, lens = 'GPS 12.3456789' where id = ?", photo_id)
    traces.append(b"GPS 12.3456789")
    before = library_bytes(library)
    assert all(trace in before for trace in traces)

    report = forget(library, capsys, blue)
    assert (report["files"], report["photos"], report["decisions"]) == (1, 1, 1)
    after = library_bytes(library)
    assert [trace for trace in traces if trace in after] == []
    assert blue.exists()
    assert report["still_on_disk"] == 1
    assert library.oko("doctor", "--check") == 0


def test_old_copies_in_free_pages_go_too(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    (photo_id,) = rows(library, "select photo_id from file where path = ?", b"blue.jpg")[0]
    secret = b"old-thumbnail-of-blue" * 2_000  # fills pages of its own, which are freed below
    rows(library, "update thumbnail set webp = ? where photo_id = ?", secret, photo_id)
    rows(library, "update thumbnail set webp = x'00' where photo_id = ?", photo_id)
    assert b"old-thumbnail-of-blue" in library_bytes(library)
    forget(library, capsys, library.photos / "blue.jpg")
    assert b"old-thumbnail-of-blue" not in library_bytes(library)


def test_reports_of_earlier_runs_do_not_name_it(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "bad.jpg" in rows(library, "select report from run")[0][0]
    forget(library, capsys, library.photos / "bad.jpg")
    (report,) = rows(library, "select report from run")[0]
    assert "bad.jpg" not in report
    assert "zero.jpg" in report
    assert json.loads(report)["scanned"] == 6


def test_photo_with_another_copy_stays(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    report = forget(library, capsys, library.photos / "red.jpg")
    assert (report["files"], report["photos"], report["photos_kept"]) == (1, 0, 1)
    assert len(rows(library, "select * from photo")) == 3


def test_folder_and_return(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    sub = library.photos / "sub"
    shutil.copy(library.photos / "blue.jpg", sub / "other.jpg")
    library.index()
    assert forget(library, capsys, sub)["files"] == 2
    library.index()
    assert (b"sub/other.jpg",) in rows(library, "select path from file"), "an indexed folder brings it back"


def test_folder_that_is_gone(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(library.photos / "sub")
    report = forget(library, capsys, library.photos / "sub")
    assert (report["files"], report["still_on_disk"]) == (1, 0)


def test_whole_root(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    report = forget(library, capsys, library.photos)
    assert (report["files"], report["photos"]) == (6, 3)
    assert report["folders"] == [str(library.photos)]
    assert report["still_on_disk"] == 0
    for table in ("root", "file", "photo", "thumbnail", "embedding", "tag"):
        assert rows(library, f"select * from {table}") == []
    assert str(library.photos).encode() not in library_bytes(library)
    assert len(list(library.photos.rglob("*.jpg"))) == 6


def test_relative_paths_and_links(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library.photos)
    assert forget(library, capsys, "sub/../blue.jpg")["files"] == 1
    link = library.photos.parent / "link"
    link.symlink_to(library.photos)
    assert forget(library, capsys, link / "green.jpg")["files"] == 1


def test_unknown_path_deletes_nothing(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows(library, "select * from file")
    assert library.oko("forget", "--yes", library.photos / "red.jpg", library.photos / "nowhere.jpg") == 2
    assert "knows nothing about" in capsys.readouterr().err
    assert rows(library, "select * from file") == before


def test_a_name_that_begins_alike_is_another(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    (library.photos / "sub-2").mkdir()
    shutil.copy(library.photos / "blue.jpg", library.photos / "sub-2" / "x.jpg")
    library.index()
    assert forget(library, capsys, library.photos / "sub")["files"] == 1


def test_missing_files(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    (library.photos / "blue.jpg").unlink()
    library.index()
    assert forget(library, capsys, "--missing", "--older-than", "1d")["files"] == 0
    rows(library, "update file set missing_since = '2020-01-01T00:00:00+00:00' where state = 'missing'")
    assert forget(library, capsys, "--missing", "--older-than", "1d", library.photos / "sub")["files"] == 0
    report = forget(library, capsys, "--missing", "--older-than", "1y", library.photos)
    assert (report["files"], report["photos"]) == (1, 1)


@pytest.mark.parametrize("how", ["absent", "empty", "flagged"])
def test_missing_files_of_an_offline_folder_are_protected(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    away = library.photos.with_name("away")
    library.photos.rename(away)
    library.photos.mkdir()
    if how == "flagged":
        (library.photos / "stranger.txt").touch()
    library.index()
    if how == "absent":
        library.photos.rmdir()
    report = forget(library, capsys, "--missing")
    assert (report["files"], report["offline_folders"]) == (0, [str(library.photos)])
    assert library.oko("forget", "--missing", "--yes") == 0
    assert "seems to be offline" in capsys.readouterr().err
    assert forget(library, capsys, "--missing", "--include-offline")["photos"] == len(COLOURS)


def test_dry_run_deletes_nothing(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows(library, "select * from file")
    assert library.oko("forget", "--dry-run", library.photos / "blue.jpg") == 0
    out = capsys.readouterr().out
    assert out.splitlines() == [f"  {library.photos}/blue.jpg", "Would forget 1 file, 1 photo."]
    assert rows(library, "select * from file") == before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "left"), [("y\n", 2), ("Yes\n", 2), ("\n", 3), ("n\n", 3), ("", 3)])
def test_asks_on_a_terminal(
    library: SmallLibrary,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    left: int,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert library.oko("forget", library.photos / "blue.jpg") == 0
    assert "[y/N]" in capsys.readouterr().err
    assert len(rows(library, "select * from photo")) == left


def test_without_a_terminal_yes_is_needed(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert library.oko("forget", library.photos / "blue.jpg") == 2
    assert "--yes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["--older-than", "3d", "x"], ["--missing", "--older-than", "soon"]]
)
def test_wrong_usage(library: SmallLibrary, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert library.oko("forget", "--yes", *arguments) == 2
    assert "oko: " in capsys.readouterr().err


def test_ages() -> None:
    assert cutoff("1d") > cutoff("1w") > cutoff("1m") > cutoff("1y") > cutoff("99999y")


def test_reader_that_holds_the_log_is_reported(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("library.catalog.engine.BUSY_TIMEOUT_MS", 100)
    reader = sqlite3.connect(library.folder / "catalog.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM photo").fetchone()
    assert library.oko("forget", "--yes", library.photos / "blue.jpg") == 1
    assert "traces may remain" in capsys.readouterr().err
    reader.close()
    forget(library, capsys, library.photos / "green.jpg")
    assert b"blue.jpg" not in library_bytes(library)


def test_a_running_watcher_is_named_as_the_one_that_takes_a_file_again(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    with jobs.telling(library.folder, "watch"):
        assert library.oko("forget", library.photos / "red.jpg", "--yes") == exits.DONE
        assert f"`oko watch` (process {os.getpid()}) takes" in " ".join(capsys.readouterr().err.split())
