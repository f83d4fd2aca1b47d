"""A large library's index when others have its file open, make it anew, or find it rotten."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from library import indexes
from library.catalog import forgetting
from library.vectorcheck import differences
from library.vectors import FlatIndex, InvertedIndex, read_index
from tests.albums import Album
from tests.library.test_indexes import PHOTOS, index_file, is_inverted


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


def rot(album: Album) -> None:
    """Spoil most vectors of the file, which no checksum is over."""
    whole = index_file(album).read_bytes()
    end = whole.rindex(b'{"library_id"')
    index_file(album).unlink()
    index_file(album).write_bytes(whole[: end - 35 * 128] + b"\xff" * 35 * 128 + whole[end:])


def test_an_open_reader_takes_over_what_a_writer_inverted(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for n in range(20):
        album.put(f"{n:02}.png", n)
    album.index()
    with album.reading() as store:
        assert isinstance(store.vectors(1, 64), FlatIndex)
        for n in range(20, PHOTOS):
            album.put(f"{n:02}.png", n)
        album.index()
        index = store.vectors(1, 64)
        assert isinstance(index, InvertedIndex)
        assert (len(index), index.changed) == (PHOTOS, 0)
        assert index.search(album.fresh_vector(album.photos / "30.png"), 1)[0] == [album.photo_of("30.png")]


def test_an_open_reader_takes_over_an_inverted_index_that_was_made_anew(album: Album) -> None:
    with album.reading() as store:
        before = store.vectors(1, 64)
        for n in range(200, 210):
            album.put(f"{n}.png", n)
        for _ in album.steps():
            store.vectors(1, 64)
        after = store.vectors(1, 64)
        assert isinstance(after, InvertedIndex)
        assert after is not before
        assert (len(after), after.changed) == (PHOTOS + 10, 0)
        assert store.vectors(1, 64) is after


def test_an_open_reader_that_is_level_with_the_catalog_takes_over_too(album: Album) -> None:
    """As one does that answered a search between the last photo and the file, which takes minutes to make."""
    index_file(album).unlink()
    with album.reading() as store:
        assert isinstance(store.vectors(1, 64), FlatIndex)
        album.index()
        after = store.vectors(1, 64)
        assert isinstance(after, InvertedIndex)
        with album.writing() as writer:
            assert writer.rebuild_index(1, 64)
        assert store.vectors(1, 64) is after, "which is as good"


def test_a_rotten_file_that_cannot_be_replaced_is_looked_at_once(
    album: Album, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    rot(album)
    query = album.fresh_vector(album.photos / "03.png")
    with album.reading() as store:
        monkeypatch.setattr(FlatIndex, "write", full)
        for n in range(3):
            assert store.vectors(1, 64).search(query, 10)[0][0] == album.photo_of("03.png")
            with album.writing() as writer:
                writer.drop_vectors(1, [30 + n])
        assert len(store.vectors(1, 64)) == PHOTOS - 3
    assert caplog.text.count("is damaged and is made anew") == 1


def test_an_open_reader_reads_no_file_when_nothing_changed(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    with album.reading() as store:
        index = store.vectors(1, 64)
        monkeypatch.setattr(indexes, "read_stamp", lambda path: pytest.fail("nothing changed"))
        assert store.vectors(1, 64) is index


def test_an_open_reader_does_without_a_file_that_it_cannot_read(album: Album) -> None:
    with album.reading() as store:
        index = store.vectors(1, 64)
        for n in range(200, 210):
            album.put(f"{n}.png", n)
        album.index()
        whole = index_file(album).read_bytes()
        index_file(album).unlink()
        index_file(album).write_bytes(b"x" + whole[1:])
        assert store.vectors(1, 64) is index
        assert len(index) == PHOTOS + 10


def test_one_at_the_border_is_replaced_by_an_exact_one(album: Album) -> None:
    with album.writing() as store:
        assert isinstance(store.vectors(1, 64), InvertedIndex)
        store.drop_vectors(1, list(range(1, 22)))
        store.indexes.replace(1, 64)
        assert isinstance(store.vectors(1, 64), FlatIndex)
    assert not is_inverted(album)
    index, stamp = read_index(index_file(album))
    assert (len(index), stamp.count) == (19, 19)
    assert 0.8 * indexes.EXACT_UP_TO < 19 * 64 <= indexes.EXACT_UP_TO


@pytest.mark.parametrize("left", [30, 19, 5])
def test_a_file_is_not_mapped_any_more_when_it_is_replaced(
    album: Album, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("what a process has mapped is told by Linux")
    path, seen, unlink, rename = index_file(album), [], Path.unlink, os.replace

    def look(file: Path) -> None:
        if file == path:
            seen.append(str(path.resolve()) in maps.read_text())

    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: (look(self), unlink(self, missing_ok)))
    monkeypatch.setattr(os, "replace", lambda source, to: (look(to), rename(source, to)))
    with album.writing() as store:
        store.drop_vectors(1, list(range(1, PHOTOS - left + 1)))
        assert isinstance(store.vectors(1, 64), InvertedIndex) or left == 5
        store.indexes.replace(1, 64)
        store.vectors(1, 64)
        store.save_index(1, 64)
        assert store.rebuild_index(1, 64)
    assert len(seen) >= 2
    assert not any(seen)


def test_a_file_that_cannot_be_deleted_is_made_invalid_and_told_of(
    album: Album, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on Windows while another process has it mapped."""
    path, unlink, rename = index_file(album), Path.unlink, os.replace
    vector = album.fresh_vector(album.photos / "07.png").astype("<f2").tobytes()

    def refused(self: Path, missing_ok: bool = False) -> None:
        if self == path:
            raise PermissionError(13, "The process cannot access the file", str(self))
        unlink(self, missing_ok)

    def refused_too(source: Path, to: Path) -> None:
        if to == path:
            raise PermissionError(13, "Access is denied", str(to))
        rename(source, to)

    with album.reading() as reader:
        running = reader.vectors(1, 64)
        with monkeypatch.context() as windows, album.writing() as store:
            windows.setattr(Path, "unlink", refused)
            windows.setattr(os, "replace", refused_too)
            with store.catalog.reading() as c:
                chosen = [each for each in forgetting.files_below(c, 1) if each.path.name == "07.png"]
            assert store.forget(chosen)[0] == 1
        assert "could not be deleted" in caplog.text
        assert "forgotten photos" in caplog.text
        assert len(reader.vectors(1, 64)) == len(running) == PHOTOS - 1
    with pytest.raises(ValueError, match="not oko's"):
        read_index(path)
    (album.photos / "07.png").unlink()
    album.index()
    assert is_inverted(album)
    assert vector not in path.read_bytes()
    album.check()


def test_vectors_that_rotted_are_noticed_by_a_search_and_made_anew(
    album: Album, caplog: pytest.LogCaptureFixture
) -> None:
    rot(album)
    query = album.fresh_vector(album.photos / "03.png")
    with album.reading() as store:
        index = store.vectors(1, 64)
        assert isinstance(index, InvertedIndex)
        assert index.search(query, 10)[0][0] == album.photo_of("03.png")
        assert np.isfinite(index.scores(query)[1]).all()
        assert len(index) == PHOTOS
        assert isinstance(store.vectors(1, 64), FlatIndex)
    assert caplog.text.count("is damaged and is made anew") == 1
    assert not is_inverted(album), "a reader inverts none"
    album.check()
    album.index()
    assert is_inverted(album)
    album.check()
    with album.reading() as store, store.catalog.reading() as c:
        assert not differences(c, index_file(album), 1, 64).any
