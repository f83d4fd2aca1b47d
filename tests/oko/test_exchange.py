"""oko export and oko import: decisions survive the way out and back; embeddings come in clip-retrieval's layout."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from library import exchange
from library.catalog import reading
from library.embeddings import export_embeddings
from library.errors import UsageError
from library.store import Store
from tests.oko.small_library import SmallLibrary, make

EARLY, LATE = "2024-01-01T00:00:00+00:00", "2025-01-01T00:00:00+00:00"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    return make(tmp_path, monkeypatch)


def decide(library: SmallLibrary, photo_id: int, name: str, state: str, when: str | None = None) -> None:
    row = {"photo_id": photo_id, "name": name, "state": state, "score": 0.25, "decided_at": when}
    with library.writer() as store:
        store.set_decisions([row])


def tags(library: SmallLibrary) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(library.folder / "catalog.sqlite")
    try:
        return connection.execute("select * from tag order by photo_id, name").fetchall()
    finally:
        connection.close()


def clear(library: SmallLibrary) -> None:
    connection = sqlite3.connect(library.folder / "catalog.sqlite")
    connection.execute("delete from tag")
    connection.commit()
    connection.close()


def sha256(library: SmallLibrary, photo_id: int) -> str:
    with library.writer() as store, store.catalog.reading() as c:
        found: bytes = reading.photo_rows(c, [photo_id])[photo_id].content_sha256
        return found.hex()


def imported(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], path: Path, *more: str
) -> dict[str, Any]:
    capsys.readouterr()
    assert library.oko("import", path, "--json", *more) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def written(tmp_path: Path, *lines: object) -> Path:
    """A file with the header and these lines: objects as JSON, text as it is."""
    path = tmp_path / "tags.jsonl"
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join([json.dumps({"format": "oko-tags", "version": 1}), *text]) + "\n")
    return path


def test_export(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    decide(library, 1, "sea", "confirmed", EARLY)
    decide(library, 2, "dog", "rejected")
    decide(library, 3, "cat", "suggested")
    capsys.readouterr()
    assert library.oko("export") == 0
    header, *lines = map(json.loads, capsys.readouterr().out.splitlines())
    assert (header["format"], header["version"]) == ("oko-tags", 1)
    assert [(row["name"], row["state"]) for row in lines] == [("sea", "confirmed"), ("dog", "rejected")]
    first = lines[0]
    assert (first["score"], first["decided_at"]) == (0.25, EARLY)
    assert first["content_sha256"] == sha256(library, 1)
    assert all(Path(path).is_file() for path in first["paths"])


def test_round_trip_through_a_file(
    library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for photo_id, name in ((1, "sea"), (1, "moře 🏖"), (2, 'a "quoted"\nname')):
        decide(library, photo_id, name, "confirmed", EARLY)
    before, path = tags(library), tmp_path / "out.jsonl"
    assert library.oko("export", path) == 0
    clear(library)
    assert imported(library, capsys, path)["written"] == 3
    assert tags(library) == before
    assert imported(library, capsys, path) | {"lines": 0} == {
        **dict.fromkeys(("lines", "written", "older", "unknown_photos", "malformed"), 0),
        "unchanged": 3,
        "problems": [],
        "planned": False,
    }


decisions = st.dictionaries(
    st.tuples(st.integers(1, 3), st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)),
    st.tuples(
        st.sampled_from(exchange.STATES),
        st.none() | st.floats(-1, 1),
        st.none() | st.datetimes().map(lambda moment: moment.isoformat() + "+00:00"),
    ),
    max_size=8,
)


@given(decisions)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip_of_any_decisions(
    library: SmallLibrary, wanted: dict[tuple[int, str], tuple[str, float | None, str | None]]
) -> None:
    rows = [
        {"photo_id": key, "name": name, "state": state, "score": score, "decided_at": when}
        for (key, name), (state, score, when) in wanted.items()
    ]
    clear(library)
    with library.writer() as store:
        store.set_decisions(rows)
        before = tags(library)
        lines = list(exchange.export_lines(store))
        clear(library)
        report = exchange.import_lines(store, [line.encode() for line in lines])
    assert (report.written, report.malformed) == (len(rows), 0)
    assert tags(library) == before


@pytest.mark.parametrize(
    ("there", "comes", "counted"),
    [
        (("suggested", None), ("confirmed", None), "written"),
        (("confirmed", EARLY), ("rejected", LATE), "written"),
        (("confirmed", None), ("rejected", EARLY), "written"),
        (("confirmed", LATE), ("rejected", EARLY), "older"),
        (("confirmed", EARLY), ("rejected", None), "older"),
        (("confirmed", EARLY), ("rejected", EARLY), "older"),
        (("confirmed", EARLY), ("confirmed", EARLY), "unchanged"),
        (("confirmed", EARLY), ("confirmed", "2024-01-01T02:00:00+02:00"), "unchanged"),
    ],
)
def test_newer_decision_wins(
    library: SmallLibrary,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    there: tuple[str, str | None],
    comes: tuple[str, str | None],
    counted: str,
) -> None:
    decide(library, 1, "sea", *there)
    row = {"content_sha256": sha256(library, 1), "name": "sea", "state": comes[0], "decided_at": comes[1]}
    report = imported(library, capsys, written(tmp_path, row))
    assert [name for name in ("written", "older", "unchanged") if report[name]] == [counted]
    assert tags(library)[0][2] == (comes if counted == "written" else there)[0]


def test_last_word_within_one_file(
    library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"content_sha256": sha256(library, 1), "name": "sea"}
    late, early = (
        {**row, "state": s, "decided_at": t} for s, t in (("rejected", LATE), ("confirmed", EARLY))
    )
    imported(library, capsys, written(tmp_path, late, early))
    assert tags(library) == [(1, "sea", "rejected", None, LATE)]


def test_bad_lines_are_named_and_skipped(
    library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {"content_sha256": sha256(library, 1), "name": "sea", "state": "confirmed"}
    bad: list[object] = [
        "{",
        "[]",
        {**good, "content_sha256": "ff"},
        {**good, "content_sha256": "é" * 64},
        {**good, "name": " "},
        {**good, "name": "\ud800"},
        {**good, "state": "suggested"},
        {**good, "state": []},
        {**good, "score": "high"},
        {**good, "score": float("nan")},
        {**good, "score": 10**400},
        {**good, "decided_at": "yesterday"},
        {**good, "decided_at": 5},
        "[" * 100_000,
    ]
    unknown = {**good, "content_sha256": "00" * 32}
    report = imported(library, capsys, written(tmp_path, *bad, "", unknown, good))
    assert report["malformed"] == len(bad)
    assert [problem.split(":")[0] for problem in report["problems"]] == [
        f"line {number}" for number in range(2, 2 + len(bad))
    ]
    assert (report["written"], report["unknown_photos"], report["lines"]) == (1, 1, len(bad) + 2)


def test_dry_run_writes_nothing(
    library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, {"content_sha256": sha256(library, 1), "name": "sea", "state": "confirmed"})
    assert imported(library, capsys, path, "--dry-run")["written"] == 1
    assert tags(library) == []
    assert library.oko("import", path, "--dry-run") == 0
    assert capsys.readouterr().err == "1 decision would be taken over.\n"


@pytest.mark.parametrize("first", [b"", b"hello", b"[1]", b'{"format": "x", "version": 1}', b"\xff\xfe"])
def test_other_files_are_refused(
    library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str], first: bytes
) -> None:
    path = tmp_path / "other"
    path.write_bytes(first + b"\n")
    assert library.oko("import", path) == 2
    assert "first line" in capsys.readouterr().err


def test_newer_format_and_missing_file(
    library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "newer"
    path.write_text('{"format": "oko-tags", "version": 2}\n')
    assert library.oko("import", path) == 2
    assert "newer oko" in capsys.readouterr().err
    assert library.oko("import", tmp_path / "none") == 2
    assert library.oko("export", tmp_path / "none" / "x.jsonl") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_path_that_is_not_utf8(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    (library.photos / "blue.jpg").rename(library.photos / "bl\udcffe.jpg")
    library.index()
    for photo_id in (1, 2, 3):
        decide(library, photo_id, "sea", "confirmed")
    capsys.readouterr()
    assert library.oko("export") == 0
    rows = list(map(json.loads, capsys.readouterr().out.splitlines()))[1:]
    assert sum("paths_b64" in row for row in rows) == 1


def test_embeddings(library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    out = tmp_path / "out"
    assert library.oko("export", "--embeddings", out) == 0
    assert "3 vectors of one (64 dimensions)" in capsys.readouterr().err
    matrix = np.load(out / "img_emb" / "img_emb_0.npy")
    assert (matrix.shape, matrix.dtype) == ((3, 64), np.float16)
    assert np.linalg.norm(matrix.astype(np.float32), axis=1) == pytest.approx(np.ones(3), abs=1e-3)
    table = parquet.read_table(out / "metadata" / "metadata_0.parquet").to_pylist()
    assert [row["id"] for row in table] == [1, 2, 3]
    assert {(row["width"], row["height"]) for row in table} == {(64, 48)}
    with library.writer() as store:
        found, _ = store.vectors(1, 64).search(matrix[2].astype(np.float32), 1)
    assert found.tolist() == [3]
    assert all(Path(row["image_path"]).is_file() for row in table)
    assert library.oko("export", "--embeddings", out) == 2, "what is there is not overwritten"


def test_embeddings_in_shards(library: SmallLibrary, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    store, steps = Store.open(library.folder), []
    number = export_embeddings(
        store, 1, 64, tmp_path / "out", shard_rows=2, progress=lambda done, total: steps.append((done, total))
    )
    store.close()
    assert (number, steps) == (3, [(2, 3), (3, 3)])
    shards = [np.load(tmp_path / "out" / "img_emb" / f"img_emb_{n}.npy") for n in (0, 1)]
    assert [len(shard) for shard in shards] == [2, 1]
    second = parquet.read_table(tmp_path / "out" / "metadata" / "metadata_1.parquet")
    assert second["id"].to_pylist() == [3]
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_embeddings_of_photos_that_are_away(library: SmallLibrary, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    library.photos.rename(tmp_path / "away")
    library.index()
    assert library.oko("export", "--embeddings", tmp_path / "out") == 0
    assert np.load(tmp_path / "out" / "img_emb" / "img_emb_0.npy").shape == (0, 64)


def test_embeddings_without_pyarrow(
    library: SmallLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    store = Store.open(library.folder)
    with pytest.raises(UsageError, match="pyarrow") as caught:
        export_embeddings(store, 1, 64, tmp_path / "out")
    store.close()
    assert caught.value.hint == "pip install pyarrow"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--model", "one"], ["x.jsonl", "--embeddings", "y"], ["--embeddings", "y", "--model", "two"]],
)
def test_wrong_usage(
    library: SmallLibrary,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert library.oko("export", *arguments) != 0
    assert "oko: " in capsys.readouterr().err
    assert not Path("y").exists()


def favourites(library: SmallLibrary) -> dict[int, int]:
    connection = sqlite3.connect(library.folder / "catalog.sqlite")
    try:
        return dict(connection.execute("select photo_id, is_favourite from favourite").fetchall())
    finally:
        connection.close()


def test_favourites_survive_the_way_out_and_back(
    library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    red, blue, green = (library.photos / f"{name}.jpg" for name in ("red", "blue", "green"))
    assert library.oko("tag", "--favourite", red, blue) == 0
    assert library.oko("tag", "--no-favourite", blue) == 0
    assert library.oko("tag", "--favourite", green, "--json") == 0
    before = favourites(library)
    assert sorted(before.values()) == [0, 1, 1]
    out = tmp_path / "out.jsonl"
    assert library.oko("export", out) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    assert [row["favourite"] for row in rows] == [bool(before[key]) for key in sorted(before)]
    capsys.readouterr()
    report = imported(library, capsys, out)
    assert (report["unchanged"], report["written"]) == (3, 0)
    connection = sqlite3.connect(library.folder / "catalog.sqlite")
    connection.execute("delete from favourite")
    connection.commit()
    connection.close()
    assert imported(library, capsys, out)["written"] == 3
    assert favourites(library) == before
    older = [{**row, "favourite": not row["favourite"], "decided_at": EARLY} for row in rows]
    assert imported(library, capsys, written(tmp_path, *older))["older"] == 3
    bad = written(tmp_path, {**rows[0], "favourite": "yes"}, {**rows[0], "decided_at": 5})
    assert imported(library, capsys, bad)["malformed"] == 2
    assert favourites(library) == before


def test_a_favourite_stays_one_when_it_is_edited_and_moved(library: SmallLibrary) -> None:
    assert library.oko("tag", "--favourite", library.photos / "blue.jpg") == 0
    (library.photos / "blue.jpg").rename(library.photos / "sub" / "moved.jpg")
    library.index()
    assert list(favourites(library).values()) == [1]
    Image.new("RGB", (80, 60), (10, 10, 200)).save(library.photos / "sub" / "moved.jpg")
    library.index()
    assert list(favourites(library).values()) == [1]
