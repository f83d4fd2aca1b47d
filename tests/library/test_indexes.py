"""A large library's index: when it is made, caught up with, and made anew; here a dozen photos are many."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer.pipeline import IndexRun
from library import indexes, overview
from library.catalog import forgetting, reading
from library.folder import CATALOG_NAME
from library.vectorcheck import differences
from library.vectors import INVERTED_MARK, MARK, FlatIndex, InvertedIndex, inverting, read_index, read_stamp
from tests.albums import Album

ROOT = Path(__file__).parents[2]
PHOTOS = 40


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "EXACT_UP_TO", 20 * 64)
    monkeypatch.setattr(indexes, "CHANGED_SHARE", 0.1)


@pytest.fixture
def album(tmp_path: Path) -> Album:
    album = Album(tmp_path)
    for n in range(PHOTOS):
        album.put(f"{n:02}.png", n)
    album.index()
    return album


def index_file(album: Album) -> Path:
    return album.library / "vectors-1.faiss"


def is_inverted(album: Album) -> bool:
    mark = index_file(album).read_bytes()[-len(MARK) :]
    assert mark in (MARK, INVERTED_MARK)
    return mark == INVERTED_MARK


def same_file(album: Album) -> tuple[int, int]:
    found = index_file(album).stat()
    return found.st_ino, found.st_mtime_ns


def test_a_library_that_outgrew_exact_search_is_inverted(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for n in range(20):
        album.put(f"{n:02}.png", n)
    album.index()
    assert not is_inverted(album)
    album.put("20.png", 20)
    album.index()
    assert is_inverted(album)
    album.check()
    assert [album.found(f"{n:02}.png") for n in (0, 20)] == [["00.png"], ["20.png"]]


def test_one_that_shrank_is_exact_again(album: Album) -> None:
    with album.writing() as store:
        store.vectors(1, 64)
        store.drop_vectors(1, list(range(1, 21)))
        store.save_index(1, 64)
    assert is_inverted(album), "at the border it does not go to and fro"
    with album.writing() as store:
        store.drop_vectors(1, list(range(21, 31)))
        store.save_index(1, 64)
    assert not is_inverted(album)
    with album.reading() as store:
        assert len(store.vectors(1, 64)) == 10


def test_the_recall_is_measured_and_shown(album: Album) -> None:
    recall = read_stamp(index_file(album)).recall
    assert recall is not None
    assert 0.99 <= recall <= 1
    with album.reading() as store:
        (model,) = overview.look_over(store).models
    assert (model.index, model.recall) == ("current", recall)


def test_few_changes_are_caught_up_with_and_not_written(album: Album) -> None:
    before = same_file(album)
    album.put("new.png", 100)
    (album.photos / "04.png").write_bytes((album.photos / "05.png").read_bytes())
    album.index()
    assert same_file(album) == before
    album.check()
    assert album.found("new.png") == ["new.png"]
    with album.reading() as store:
        (model,) = overview.look_over(store).models
        assert model.index == "behind"
        assert model.index_behind
    for n in range(200, 210):
        album.put(f"{n}.png", n)
    album.index()
    assert same_file(album) != before
    album.check()
    assert read_stamp(index_file(album)).count == PHOTOS + 10


def test_lists_are_made_anew_when_the_library_has_doubled(album: Album) -> None:
    def trained_on() -> int:
        index, _ = read_index(index_file(album))
        assert isinstance(index, InvertedIndex)
        return index.trained_on

    for n in range(200, 220):
        album.put(f"{n}.png", n)
    album.index()
    assert (trained_on(), read_stamp(index_file(album)).count) == (PHOTOS, 60)
    for n in range(220, 260):
        album.put(f"{n}.png", n)
    album.index()
    assert trained_on() == 100
    album.check()


def test_a_reader_never_makes_or_replaces_an_inverted_index(album: Album) -> None:
    before = same_file(album)
    with album.writing() as store:
        store.drop_vectors(1, list(range(1, 16)))
        store.indexes._loaded.clear()  # as if it had been killed
        os.utime(index_file(album))
        before = same_file(album)
        with album.reading() as reader:
            assert len(reader.vectors(1, 64)) == PHOTOS - 15
        assert same_file(album) == before


def test_an_open_reader_follows_the_writer(album: Album) -> None:
    with album.reading() as store:
        index = store.vectors(1, 64)
        assert isinstance(index, InvertedIndex)
        album.put("new.png", 100)
        album.put("03.png", 103)
        album.index()
        after = store.vectors(1, 64)
        assert after is index
        ids, scores = after.search(album.fresh_vector(album.photos / "03.png"), 1)
        assert (ids[0], round(float(scores[0]), 3)) == (album.photo_of("03.png"), 1.0)
        assert len(after) == PHOTOS + 1


def test_a_writer_that_searches_follows_itself(album: Album, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="library.indexes")
    album.put("new.png", 100)
    with album.writing() as store:
        store.vectors(1, 64)
        for _ in IndexRun(store, album.encoder, album.settings()).steps([album.photos]):
            pass
        vector = album.fresh_vector(album.photos / "new.png")
        assert store.vectors(1, 64).search(vector, 1)[1][0] == pytest.approx(1, abs=1e-3)
    assert "made anew" not in caplog.text


def test_what_is_forgotten_leaves_the_file_at_once(album: Album) -> None:
    before = same_file(album)
    key = album.photo_of("07.png")
    vector = album.fresh_vector(album.photos / "07.png").astype("<f2").tobytes()
    assert vector in index_file(album).read_bytes()
    with album.writing() as store:
        with store.catalog.reading() as c:
            chosen = [each for each in forgetting.files_below(c, 1) if each.path.name == "07.png"]
        assert store.forget(chosen)[0] == 1
    assert same_file(album) != before
    assert vector not in index_file(album).read_bytes()
    index, _ = read_index(index_file(album))
    assert key not in index.contents()[0]


HOW = ["gone", "empty", "torn", "foreign", "a folder", "of another state", "a byte of it", "lacking one"]


def damage(album: Album, how: str) -> None:
    path = index_file(album)
    whole = path.read_bytes()
    match how:
        case "gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "torn":
            path.write_bytes(whole[: len(whole) // 2])
        case "foreign":
            path.write_bytes(b"not an index at all" * 100)
        case "a folder":
            path.unlink()
            path.mkdir()
        case "of another state":
            path.write_bytes(whole.replace(b'"revision": ', b'"revision":9'))
        case "a byte of it":
            path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        case "lacking one":
            index, stamp = read_index(path)
            ids, vectors = index.contents()
            parts = [(ids[1:], vectors[1:].astype("<f2"))]
            known = inverting.Known(np.empty((0, 64), np.float32))
            inverting.write_inverted(path, replace(stamp, count=len(ids) - 1), parts, known)


@pytest.mark.parametrize("how", HOW)
def test_a_reader_answers_all_the_same_and_the_next_run_mends_it(album: Album, how: str) -> None:
    damage(album, how)
    album.check()
    assert album.found("03.png") == ["03.png"]
    if how == "a folder":
        index_file(album).rmdir()
    album.index()
    assert is_inverted(album)
    album.check()
    assert read_stamp(index_file(album)).count == PHOTOS


def test_an_index_ahead_of_its_catalog_is_not_caught_up_with(album: Album) -> None:
    """A catalog restored from a backup goes through the same revisions again, with other photos."""
    shutil.copy(album.library / CATALOG_NAME, album.base / "backup.sqlite")
    for n in range(50, 58):
        album.put(f"first-{n}.png", n)
    album.index()
    for path in album.photos.glob("first-*"):
        path.unlink()
    for leftover in album.library.glob(CATALOG_NAME + "-*"):
        leftover.unlink()
    shutil.copy(album.base / "backup.sqlite", album.library / CATALOG_NAME)
    for n in range(70, 78):
        album.put(f"then-{n}.png", n)
    album.index()
    album.check()


def test_killed_while_it_is_written(album: Album) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from library import indexes
from library.vectors import inverting
from tests.albums import Album
indexes.EXACT_UP_TO = 64
indexes.CHANGED_SHARE = 0
def torn(out, stamp, further, mark):
    out.truncate(out.tell() // 2)
    out.flush()
    os.kill(os.getpid(), signal.SIGKILL)
inverting.write_tail = torn
Album(Path(sys.argv[1])).index()
"""
    before = same_file(album)
    album.put("new.png", 100)
    child = subprocess.run([sys.executable, "-c", code, str(album.base)], cwd=ROOT, capture_output=True)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert len(list(album.library.glob("*.tmp"))) == 2, "what was gathered, and what was written"
    assert same_file(album) == before
    album.check()
    for path in album.library.glob("*.tmp"):
        os.utime(path, (1, 1))
    assert album.index().embedded == 0
    assert not list(album.library.glob("*.tmp"))


def test_a_full_disk_is_only_said(
    album: Album, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(indexes, "write_inverted", full)
    before = same_file(album)
    for n in range(200, 230):
        album.put(f"{n}.png", n)
    with caplog.at_level(logging.WARNING):
        assert album.index().embedded == 30
    assert "could not be saved" in caplog.text
    assert same_file(album) == before
    album.check()


def test_the_doctor_compares_every_vector(album: Album) -> None:
    path = index_file(album)
    with album.reading() as store, store.catalog.reading() as c:
        assert not differences(c, path, 1, 64).any
        whole = bytearray(path.read_bytes())
        end = whole.rindex(b'{"library_id"')
        whole[end - 7] ^= 0x40
        path.write_bytes(whole)
        assert differences(c, path, 1, 64).wrong == 1, "which no checksum tells when it is opened"
    with album.writing() as store:
        assert store.rebuild_index(1, 64)
    with album.reading() as store, store.catalog.reading() as c:
        assert not differences(c, path, 1, 64).any


def test_texts_that_the_library_remembers_are_its_trials(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(inverting, "ENOUGH_TEXTS", 30)
    monkeypatch.setattr(inverting, "made_up_queries", lambda *_: pytest.fail("there are better ones"))
    budget = inverting._budget
    monkeypatch.setattr(
        inverting, "_budget", lambda v, li, co, texts: (seen.append(texts), budget(v, li, co, texts))[1]
    )
    words = album.encoder.encode_texts([f"red {n}" for n in range(30)])
    with album.writing() as store:
        store.remember_tag_vectors(1, [bytes([n]) * 32 for n in range(30)], words)
        assert store.rebuild_index(1, 64)
        with store.catalog.reading() as c:
            np.testing.assert_array_equal(reading.remembered_texts(c, 1, 64, 100), words)
    (texts,) = seen
    np.testing.assert_array_equal(texts, words)


def test_an_exact_index_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "EXACT_UP_TO", 10**9)
    album = Album(tmp_path)
    album.put("a.png", 1)
    album.index()
    with album.reading() as store:
        assert isinstance(store.vectors(1, 64), FlatIndex)
        assert overview.look_over(store).models[0].recall is None
