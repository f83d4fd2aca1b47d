"""oko doctor: each kind of damage is found, told apart, and mended where that loses nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from library import folder as folder_module
from library import health
from library.vectors import FlatIndex
from tests.decoding import heic_bytes
from tests.oko.small_library import SmallLibrary, make


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    return make(tmp_path, monkeypatch)


def doctor(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    capsys.readouterr()
    code = library.oko("doctor", "--json", *more)
    findings = json.loads(capsys.readouterr().out)["findings"]
    return code, {each["name"]: each for each in findings}


def mends(library: SmallLibrary, capsys: pytest.CaptureFixture[str], name: str, count: int) -> dict[str, Any]:
    """Finds it with --check without touching it, mends it, and then finds nothing; returns the finding."""
    code, found = doctor(library, capsys, "--check")
    assert (found[name]["count"], found[name]["mended"]) == (count, False)
    assert code == (1 if found[name]["serious"] else 0)
    code, found = doctor(library, capsys)
    assert (found[name]["count"], found[name]["mended"], code) == (count, True, 0)
    assert name not in doctor(library, capsys, "--check")[1]
    return found[name]


@contextmanager
def catalog(library: SmallLibrary) -> Iterator[sqlite3.Connection]:
    """The database behind oko's back: no foreign keys are enforced."""
    connection = sqlite3.connect(library.folder / "catalog.sqlite")
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


def searchable(library: SmallLibrary) -> int:
    with library.writer() as store:
        return len(store.vectors(1, 64))


def test_sound_library(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(library, capsys, "--check") == (0, {})
    assert library.oko("doctor") == 0
    captured = capsys.readouterr()
    assert captured.out == "The library is sound.\n"
    assert "torch" in captured.err


def test_saved_index_that_is_cut_off(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    path = library.folder / "vectors-1.faiss"
    path.write_bytes(path.read_bytes()[:-3])
    assert "is cut off" in mends(library, capsys, "index_torn", 3)["sentence"]
    assert searchable(library) == 3


def test_saved_index_with_damage_inside(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    path = library.folder / "vectors-1.faiss"
    content = path.read_bytes()
    path.write_bytes(b"XXXX" + content[4:])
    assert doctor(library, capsys, "--check")[1]["index_torn"]["serious"]
    mends(library, capsys, "index_torn", 1)


def test_missing_index_costs_only_time(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    (library.folder / "vectors-1.faiss").unlink()
    assert not mends(library, capsys, "index_missing", 3)["serious"]
    assert (library.folder / "vectors-1.faiss").exists()


def test_an_index_that_cannot_be_saved_is_not_called_mended(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in library.folder.glob("*.faiss"):
        path.unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FlatIndex, "write", full)
    assert library.oko("doctor") == 1
    assert "could not be saved" in capsys.readouterr().out


def test_index_of_another_library(
    library: SmallLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make(tmp_path / "other", monkeypatch)
    shutil.copy(other.folder / "vectors-1.faiss", library.folder / "vectors-1.faiss")
    assert "another library" in mends(library, capsys, "index_foreign", 3)["sentence"]


@pytest.mark.parametrize("fault", ["value", "lacking", "stranger"])
def test_index_of_wrong_content(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    path = library.folder / "vectors-1.faiss"
    index, stamp = FlatIndex.read(path)
    ids, vectors = index.contents()
    if fault == "value":
        index.add(ids[:1], -vectors[:1])
    else:  # the number stays right, so only a full comparison can tell
        index.remove(ids[:1])
        index.add(ids[1:2] if fault == "lacking" else np.array([999]), vectors[:1])
        if fault == "lacking":
            index.add(np.array([998]), vectors[:1])
    index.write(path, stamp)
    _, found = doctor(library, capsys, "--check")
    words = {"value": "holds 1 vectors of other values", "lacking": "lacks 1", "stranger": "does not have"}
    assert words[fault] in found["index_wrong"]["sentence"]
    mends(library, capsys, "index_wrong", {"value": 1, "lacking": 3, "stranger": 2}[fault])
    with library.writer() as store:
        assert sorted(store.vectors(1, 64).contents()[0]) == sorted(ids)


@pytest.mark.parametrize(
    "vector", [b"short", np.full(64, np.nan, "<f2").tobytes(), np.zeros(64, "<f2").tobytes()]
)
def test_wrong_vectors_are_made_anew(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], vector: bytes
) -> None:
    with catalog(library) as c:
        c.execute("update embedding set vector = ? where photo_id = 1", (vector,))
    mends(library, capsys, "wrong_vectors", 1)
    _, found = doctor(library, capsys, "--check")
    assert found["photos_without_vector"]["count"] == 1
    assert library.index().embedded == 1
    assert doctor(library, capsys, "--check") == (0, {})
    assert searchable(library) == 3


def test_photos_without_files(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    with catalog(library) as c:
        c.execute("delete from file where path in (?, ?)", (b"blue.jpg", b"green.jpg"))
        (blue,) = c.execute(
            "select id from photo where id not in (select photo_id from file where photo_id > 0)"
        ).fetchone()
        c.execute("insert into tag values (?, 'sea', 'confirmed', 0.3, null)", (blue,))
    mends(library, capsys, "photos_without_files", 1)
    _, found = doctor(library, capsys)
    kept = found["tagged_photos_without_files"]
    assert (kept["count"], kept["mended"], kept["serious"]) == (1, False, False)
    assert searchable(library) == 2


def test_lost_thumbnails_are_made_anew(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    with catalog(library) as c:
        c.execute("delete from thumbnail where photo_id = 1")
        c.execute("update thumbnail set webp = x'' where photo_id = 2")
    code, found = doctor(library, capsys)
    assert (code, found["photos_without_thumbnail"]["mended"]) == (0, True)
    assert library.index().embedded == 2
    with catalog(library) as c:
        assert c.execute("select count(*), min(length(webp)) > 50 from thumbnail").fetchone() == (3, 1)
    assert doctor(library, capsys, "--check") == (0, {})


def test_damaged_database(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    path = library.folder / "catalog.sqlite"
    content = bytearray(path.read_bytes())
    for page in range(4096 * 8, len(content), 4096):
        content[page : page + 64] = os.urandom(64)
    path.write_bytes(content)
    code, found = doctor(library, capsys)
    assert code == 1
    assert list(found) == ["catalog_damaged"]
    assert not found["catalog_damaged"]["mended"]
    assert "backup" in found["catalog_damaged"]["hint"]
    assert path.read_bytes() == bytes(content), "a damaged catalog is not touched"


def test_file_that_is_no_database(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    (library.folder / "catalog.sqlite").write_bytes(b"no database at all" * 300)
    code, found = doctor(library, capsys, "--check")
    assert code == 1
    assert list(found) == ["catalog_damaged"]


def test_broken_references(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    with catalog(library) as c:
        c.execute("insert into tag values (4711, 'sea', 'confirmed', 0.3, null)")
    code, found = doctor(library, capsys)
    assert code == 1
    assert found["broken_references"]["count"] == 1


def test_leftovers_of_killed_writers(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    mine = library.folder / "vectors-1.faiss.0123abcd.tmp"
    dead = library.folder / "vectors-1.faiss.4567cdef.tmp"
    mine.touch()
    dead.touch()
    os.utime(dead, (0, 0))
    mends(library, capsys, "leftover_files", 1)
    assert mine.exists()
    assert not dead.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_folder_that_others_can_read(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    library.folder.chmod(0o755)
    code, found = doctor(library, capsys)
    assert code == 0
    assert "chmod 700" in found["folder_open_to_others"]["hint"]
    assert library.folder.stat().st_mode & 0o777 == 0o755, "somebody may have meant it"


def test_network_file_system(
    library: SmallLibrary, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (folder_module, health):
        monkeypatch.setattr(module, "file_system", lambda folder: "nfs4")
    code, found = doctor(library, capsys)
    assert code == 1
    assert list(found) == ["network_file_system"]


def test_missing_extras(
    library: SmallLibrary, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with catalog(library) as c:
        reason = "HEIC pictures need the package pillow-heif; pip install pillow-heif, then: oko retry"
        c.execute("update file set reason = ? where path = ?", (reason, b"bad.jpg"))
    monkeypatch.setattr(health, "EXTRAS", {"heic": ("no_such_module", "HEIC")})
    finding = doctor(library, capsys)[1]["missing_package"]
    assert finding["count"] == 1
    assert "is not installed" in finding["sentence"]
    monkeypatch.setattr(health, "EXTRAS", {"heic": ("json", "HEIC")})
    assert doctor(library, capsys)[1]["missing_package"]["hint"] == "Read them now: oko retry"


def test_model_that_is_gone(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    (library.folder.parent / "weights.pt").unlink()
    code, found = doctor(library, capsys, "--check")
    assert code == 1
    assert "one" in found["model_not_here"]["sentence"]
    (library.folder / "models.json").unlink()
    assert "model_unknown" in doctor(library, capsys, "--check")[1]


def test_words_for_people(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    with catalog(library) as c:
        c.execute("update embedding set vector = x'00' where photo_id = 1")
    assert library.oko("doctor", "--check") == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("WRONG  1  Vectors by one have the wrong length")
    assert out[-1] == "1 thing wrong (oko doctor mends what can be mended)."


def test_without_a_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from oko.cli import main

    assert main(["doctor", "--library", str(tmp_path / "none")]) == 1
    assert "there is no library" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_pictures_that_were_indexed_without_their_package(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason is the one that indexing records, not one that this test makes up."""
    (library.photos / "new.heic").write_bytes(heic_bytes(Image.new("RGB", (64, 48), "white")))
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(Image.OPEN, "HEIF", raising=False)
        patch.setitem(sys.modules, "pillow_heif", None)
        find = importlib.util.find_spec
        patch.setattr(
            importlib.util, "find_spec", lambda name, *a: None if name == "pillow_heif" else find(name, *a)
        )
        assert library.index().unreadable == 3
        finding = doctor(library, capsys)[1]["missing_package"]
        assert (finding["count"], finding["serious"]) == (1, False)
        assert "pillow_heif is not installed" in finding["sentence"]
        assert "pip install pillow-heif" in finding["hint"]
    assert doctor(library, capsys)[1]["missing_package"]["hint"] == "Read them now: oko retry"
    assert library.index(retry=True).embedded == 1
    assert "missing_package" not in doctor(library, capsys)[1]


def test_it_says_whether_words_load_torch(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from library.presets import BUILTIN
    from oko import doctor as shown

    monkeypatch.setattr(shown.Registry, "resolve", lambda self, name: BUILTIN)
    for record, words in (
        (None, "the next search that loads PyTorch finds out"),
        (SimpleNamespace(refused=""), "read without PyTorch"),
        (SimpleNamespace(refused="its tokenizer comes from the hub"), "each search loads PyTorch"),
    ):
        monkeypatch.setattr(shown, "read_record", lambda spec, found=record: found)
        assert library.oko("doctor", "--check") == 0
        assert words in capsys.readouterr().err
