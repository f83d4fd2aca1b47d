"""Drives, folders and shots: decisions 2 and 3 of the architecture, what is missing, and what goes together."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from library.errors import UsageError
from tests.albums import Album, jpeg_scene, nothing_embedded, picture
from tests.pictures import jpeg_bytes, photo

# Coming and going


def test_a_deleted_file_is_missing_and_comes_back(album: Album) -> None:
    content, before = (album.photos / "a.png").read_bytes(), album.photo_of("a.png")
    (album.photos / "a.png").unlink()
    assert album.index().missing == 1
    assert album.states()["a.png"] == "missing"
    album.put("a.png", content)
    assert nothing_embedded(album.index())
    assert (album.photo_of("a.png"), album.tags("a.png")) == (before, {"Anna"})
    assert album.states()["a.png"] == "indexed"
    album.check()


@pytest.mark.parametrize("how", ["absent", "empty"])
def test_an_unplugged_drive_loses_nothing(album: Album, how: str) -> None:
    before = album.ids()
    os.rename(album.photos, album.base / "unplugged")
    if how == "empty":
        album.photos.mkdir()
    report = album.index()
    assert report.offline_roots == [str(album.photos.resolve())]
    assert set(album.states().values()) == {"missing"}
    shutil.rmtree(album.photos, ignore_errors=True)
    os.rename(album.base / "unplugged", album.photos)
    report = album.index()
    assert nothing_embedded(report)
    assert (report.returned, report.offline_roots) == (6, [])
    assert album.ids() == before
    album.check()


def test_a_drive_mounted_elsewhere_keeps_its_photos(album: Album) -> None:
    before = album.ids()
    elsewhere = album.base / "elsewhere"
    os.rename(album.photos, elsewhere)
    report = album.index(elsewhere)
    assert nothing_embedded(report)
    assert report.known == 6
    after = album.rows()
    new = {Path(p).name: row.photo_id for p, row in after.items() if str(elsewhere.resolve()) in p}
    assert new == before
    from search.rank import Searcher

    with album.reading() as store:
        vector = album.fresh_vector(elsewhere / "a.png")
        (answer,) = Searcher(store, album.encoder.stamp).search(vector, 1)
    assert answer.path == elsewhere.resolve() / "a.png", "not where it was once"
    assert answer.copies == ()


def test_a_file_moved_from_one_root_to_another(album: Album) -> None:
    other = album.base / "other"
    other.mkdir()
    (other / "x.png").write_bytes(picture(50))
    album.index(other)
    before = album.photo_of("a.png")
    shutil.move(album.photos / "a.png", other / "a.png")
    for paths in ((other,), (album.photos,)):
        assert nothing_embedded(album.index(*paths))
    rows = album.rows()
    assert "a.png" not in rows
    assert rows[str(other.resolve() / "a.png")].photo_id == before


@pytest.mark.parametrize("inner_first", [True, False])
def test_nested_folders_in_either_order_are_seen_once(tmp_path: Path, inner_first: bool) -> None:
    album = Album(tmp_path)
    album.put("a.png", 1)
    album.put("in/b.png", 2)
    album.put("in/deep/c.jpg", jpeg_scene(3))
    album.put("in/deep/c.mov", b"moving")
    order = [album.photos / "in", album.photos] if inner_first else [album.photos, album.photos / "in"]
    first, second = (album.index(path) for path in order)
    assert (first.embedded, second.embedded) == ((2, 1) if inner_first else (3, 0))
    assert sorted(album.rows()) == ["a.png", "in/b.png", "in/deep/c.jpg"]
    assert len({row.root_id for row in album.rows().values()}) == (2 if inner_first else 1)
    album.check()
    for report in (album.index(every=True), album.index(), album.index(album.photos, album.photos / "in")):
        assert (report.unchanged, report.scanned, report.missing) == (3, 3, 0)
    (album.photos / "in/b.png").rename(album.photos / "b.png")
    report = album.index()
    assert (report.embedded, report.known + report.moved) == (0, 1)
    assert sorted(album.rows()) == ["a.png", "b.png", "in/deep/c.jpg"]


@pytest.mark.parametrize("inner_first", [True, False])
def test_a_folder_that_the_outer_walk_does_not_enter_stays_indexed(tmp_path: Path, inner_first: bool) -> None:
    album = Album(tmp_path)
    album.put("a.png", 1)
    album.put(".hidden/b.png", 2)
    order = (
        [album.photos / ".hidden", album.photos] if inner_first else [album.photos, album.photos / ".hidden"]
    )
    assert [album.index(path).embedded for path in order] == [1, 1]
    for report in (album.index(every=True), album.index()):
        assert (report.unchanged, report.missing) == (2, 0)
    album.check()


def test_a_part_of_a_folder_leaves_the_rest_alone(album: Album) -> None:
    album.put("sub/g.png", 7)
    album.index()
    for name in ("a.png", "sub/g.png"):
        (album.photos / name).unlink()
    album.put("sub/h.png", 8)
    report = album.index(album.photos / "sub")
    assert (report.embedded, report.missing, report.offline_roots) == (1, 1, [])
    assert album.states()["a.png"] == "indexed"
    assert album.index(album.photos / "a.png").missing == 1


def test_a_path_that_is_neither_there_nor_known_is_an_error(album: Album) -> None:
    for path in (album.photos / "typo", album.base / "typo"):
        with pytest.raises(UsageError, match="typo"):
            album.index(path)
    (album.base / "single.png").write_bytes(picture(1))
    with pytest.raises(UsageError, match="outside the indexed folders"):
        album.index(album.base / "single.png")


def test_excluded_later_is_hidden_and_comes_back(album: Album) -> None:
    album.exclude("[ab].png")
    report = album.index()
    assert (report.missing, report.excluded, report.offline_roots) == (0, 2, [])
    assert report.skipped == {"excluded by a pattern": 2}
    assert album.found("a.png") not in (["a.png"], ["b.png"])
    album.exclude()
    assert nothing_embedded(album.index())
    assert album.tags("a.png") == {"Anna"}
    album.check()


def test_two_files_of_one_name_and_time_in_two_folders(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for n, folder in enumerate(("one", "two")):
        os.utime(album.put(f"{folder}/IMG_0001.png", n), (10**9, 10**9))
    assert album.index().embedded == 2
    assert len(set(album.ids().values())) == 2
    album.check()


# One shot in several files


def test_raw_and_jpeg_are_one_photo(tmp_path: Path) -> None:
    album = Album(tmp_path)
    album.put("a.jpg", jpeg_scene(1))
    album.put("a.CR2", b"raw bytes that nobody reads")
    report = album.index()
    assert (report.embedded, report.companions, report.unreadable) == (1, 1, 0)
    assert album.rows()["a.jpg"].companions == b"a.CR2"
    assert list(album.rows()) == ["a.jpg"]


def raw_then_jpeg(tmp_path: Path, jpeg: bytes) -> Album:
    """A RAW with a decision on it, and beside it, later, a JPEG of the same name."""
    album = Album(tmp_path)
    # Its content decides, not its suffix: a JPEG here, so that no RAW library is needed.
    album.put("a.CR2", jpeg_bytes(photo(1)))
    album.index()
    assert album.states() == {"a.CR2": "indexed"}
    album.tag("a.CR2", "Anna")
    album.put("a.jpg", jpeg)
    return album


def test_a_raw_that_was_a_photo_of_its_own_is_absorbed_with_its_decisions(tmp_path: Path) -> None:
    album = raw_then_jpeg(tmp_path, jpeg_scene(1))
    assert album.index().embedded == 1
    assert list(album.rows()) == ["a.jpg"]
    assert album.tags("a.jpg") == {"Anna"}
    album.check()
    assert album.index().unchanged == 1


def test_a_raw_beside_a_damaged_jpeg_stays_a_photo(tmp_path: Path) -> None:
    album = raw_then_jpeg(tmp_path, jpeg_scene(1)[:300])
    for _ in range(2):
        album.index()
        assert album.states() == {"a.CR2": "indexed", "a.jpg": "unreadable"}
        assert album.tags("a.CR2") == {"Anna"}
    album.put("a.jpg", jpeg_scene(1))
    album.index()
    assert album.tags("a.jpg") == {"Anna"}
    assert list(album.rows()) == ["a.jpg"]


def test_a_live_photo_moves_with_its_picture(tmp_path: Path) -> None:
    album = Album(tmp_path)
    album.put("a.jpg", jpeg_scene(1))
    album.put("a.mov", b"moving")
    assert album.index().companions == 1
    for suffix in (".jpg", ".mov"):
        os.rename(album.photos / f"a{suffix}", album.photos / f"b{suffix}")
    report = album.index()
    assert (report.moved, report.embedded) == (1, 0)
    assert album.rows()["b.jpg"].companions == b"b.mov"
    (album.photos / "b.mov").unlink()
    album.index()
    assert album.rows()["b.jpg"].companions == b""
