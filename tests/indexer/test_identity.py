"""Photos keep who they are: decision 2 of the architecture, names, contents and edits."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from library import images
from library.catalog import batch
from tests.albums import Album, nothing_embedded

# The same photo under another name


def test_a_second_run_does_nothing(album: Album) -> None:
    report = album.index()
    assert nothing_embedded(report)
    assert (report.scanned, report.unchanged, report.known) == (6, 6, 0)


def test_a_renamed_file_is_the_same_photo_and_is_not_even_read(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = album.ids()
    os.rename(album.photos / "a.png", album.photos / "z.png")
    monkeypatch.setattr(images, "read_bytes", lambda *_, **__: pytest.fail("read"))
    report = album.index()
    assert (report.moved, report.missing, report.known) == (1, 0, 0)
    monkeypatch.undo()
    after = album.ids()
    assert after.pop("z.png") == before.pop("a.png")
    assert after == before
    assert album.tags("z.png") == {"Anna"}
    album.check()


def test_a_file_moved_to_another_file_system_is_the_same_photo(album: Album) -> None:
    before = album.photo_of("a.png")
    content = (album.photos / "a.png").read_bytes()
    (album.photos / "a.png").unlink()
    album.put("sub/z.png", content)  # another inode, another time
    report = album.index()
    assert nothing_embedded(report)
    assert report.known == 1
    assert (album.photo_of("sub/z.png"), album.tags("sub/z.png")) == (before, {"Anna"})
    assert "a.png" not in album.rows(), "its row went along"
    album.check()


def test_a_copy_is_a_second_file_of_the_same_photo(album: Album) -> None:
    shutil.copy(album.photos / "a.png", album.photos / "copy.png")
    report = album.index()
    assert nothing_embedded(report)
    assert album.photo_of("copy.png") == album.photo_of("a.png")
    assert sorted(album.found("a.png")) == ["a.png", "copy.png"]
    album.check()


def test_copies_that_come_together_are_embedded_once(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for n in range(40):
        album.put(f"{n:02}.png", n % 5)
    report = album.index()
    assert (report.embedded, report.known) == (5, 35)
    assert len(set(album.ids().values())) == 5
    album.check()


def test_a_swap_of_names_moves_the_photos(album: Album) -> None:
    a, b = album.photo_of("a.png"), album.photo_of("b.png")
    swap(album.photos / "a.png", album.photos / "b.png")
    report = album.index()
    assert nothing_embedded(report)
    assert report.moved == 2
    assert (album.photo_of("a.png"), album.photo_of("b.png")) == (b, a)
    assert (album.tags("a.png"), album.tags("b.png")) == ({"Bert"}, {"Anna"})
    album.check()


def swap(one: Path, two: Path) -> None:
    between = one.with_name("between")
    os.rename(one, between)
    os.rename(two, one)
    os.rename(between, two)


def test_a_swap_of_contents_moves_the_photos_and_mixes_no_tags(album: Album) -> None:
    a, b = album.photo_of("a.png"), album.photo_of("b.png")
    contents = [(album.photos / name).read_bytes() for name in ("a.png", "b.png")]
    album.put("b.png", contents[0])
    album.put("a.png", contents[1])
    assert nothing_embedded(album.index())
    assert (album.photo_of("a.png"), album.photo_of("b.png")) == (b, a)
    assert (album.tags("a.png"), album.tags("b.png")) == ({"Bert"}, {"Anna"})
    album.check()


def test_a_swap_that_size_and_time_do_not_show(tmp_path: Path) -> None:
    album = Album(tmp_path)
    pixels = [np.full((8, 8, 3), value, np.uint8) for value in (40, 200)]
    from PIL import Image

    for name, rows in zip("ab", pixels, strict=True):
        Image.fromarray(rows).save(album.photos / f"{name}.bmp")
        os.utime(album.photos / f"{name}.bmp", (10**9, 10**9))
    album.index()
    swap(album.photos / "a.bmp", album.photos / "b.bmp")
    assert nothing_embedded(album.index())
    album.check()


@pytest.mark.parametrize("by_name", [True, False])
def test_a_rotation_of_three_names(album: Album, by_name: bool) -> None:
    names = ["a.png", "b.png", "c.png"]
    before = [album.photo_of(name) for name in names]
    if by_name:
        swap(album.photos / "a.png", album.photos / "b.png")
        swap(album.photos / "b.png", album.photos / "c.png")
    else:
        a, b, c = ((album.photos / name).read_bytes() for name in names)
        for name, content in zip(names, (b, c, a), strict=True):
            album.put(name, content)
    assert nothing_embedded(album.index())
    assert [album.photo_of(name) for name in names] == [before[1], before[2], before[0]]
    assert [album.tags(name) for name in names] == [{"Bert"}, set(), {"Anna"}]
    album.check()


# Changed in place


def test_an_edited_file_keeps_its_photo_and_its_decisions(album: Album) -> None:
    before = album.photo_of("a.png")
    album.put("a.png", 100)
    report = album.index()
    assert report.embedded == 1
    assert (album.photo_of("a.png"), album.tags("a.png")) == (before, {"Anna"})
    assert album.found("a.png") == ["a.png"]
    album.check()


def test_an_edited_copy_becomes_a_photo_of_its_own_with_the_decisions(album: Album) -> None:
    shutil.copy(album.photos / "a.png", album.photos / "copy.png")
    album.index()
    first = album.photo_of("a.png")
    album.put("copy.png", 100)
    assert album.index().embedded == 1
    assert album.photo_of("a.png") == first
    assert album.photo_of("copy.png") != first
    assert (album.tags("a.png"), album.tags("copy.png")) == ({"Anna"}, {"Anna"})
    album.check()


def test_both_copies_edited_alike_stay_one_photo(album: Album) -> None:
    shutil.copy(album.photos / "a.png", album.photos / "copy.png")
    album.index()
    for name in ("a.png", "copy.png"):
        album.put(name, 100)
    assert album.index().embedded == 1
    assert album.photo_of("a.png") == album.photo_of("copy.png")
    assert album.tags("a.png") == {"Anna"}
    assert len(set(album.ids().values())) == 6
    album.check()


def test_both_copies_edited_differently_are_two_photos(album: Album) -> None:
    shutil.copy(album.photos / "a.png", album.photos / "copy.png")
    album.index()
    first = album.photo_of("a.png")
    album.put("a.png", 100)
    album.put("copy.png", 101)
    assert album.index().embedded == 2
    assert first in (album.photo_of("a.png"), album.photo_of("copy.png"))
    assert (album.tags("a.png"), album.tags("copy.png")) == ({"Anna"}, {"Anna"})
    album.check()


def test_a_file_overwritten_with_another_photo_is_that_photo(album: Album) -> None:
    b = album.photo_of("b.png")
    album.put("a.png", (album.photos / "b.png").read_bytes())
    report = album.index()
    assert nothing_embedded(report)
    assert album.photo_of("a.png") == album.photo_of("b.png") == b
    assert album.tags("a.png") == {"Anna", "Bert"}, "no decision is lost"
    album.check()


def test_a_file_moved_over_another(album: Album) -> None:
    b = album.photo_of("b.png")
    os.replace(album.photos / "b.png", album.photos / "a.png")
    assert nothing_embedded(album.index())
    assert album.photo_of("a.png") == b
    assert album.states()["b.png"] == "missing"
    album.check()
    assert album.index().unchanged == 5


def test_copied_away_then_edited_the_copy_is_the_photo(album: Album) -> None:
    """As `cp a.png backup.png` before working on a.png."""
    before = album.photo_of("a.png")
    shutil.copy(album.photos / "a.png", album.photos / "zz-backup.png")
    album.put("a.png", 100)
    assert album.index().embedded == 1
    assert album.photo_of("zz-backup.png") == before
    assert album.photo_of("a.png") != before
    assert (album.tags("a.png"), album.tags("zz-backup.png")) == ({"Anna"}, {"Anna"})
    album.check()


def test_content_that_is_restored_is_the_same_photo_again(album: Album) -> None:
    before, content = album.photo_of("a.png"), (album.photos / "a.png").read_bytes()
    album.put("a.png", 100)
    album.index()
    album.put("a.png", content)
    album.index()
    assert (album.photo_of("a.png"), album.tags("a.png")) == (before, {"Anna"})
    album.check()


def test_a_new_time_alone_costs_one_read(album: Album) -> None:
    os.utime(album.photos / "a.png", (5, 5))
    report = album.index()
    assert nothing_embedded(report)
    assert report.known == 1
    assert album.index().unchanged == 6


def test_edits_of_an_edit_in_many_batches(tmp_path: Path) -> None:
    """Contents wander from file to file while other files are rewritten, over more than one batch."""
    album = Album(tmp_path)
    for n in range(40):
        album.put(f"{n:02}.png", n)
    album.index()
    for n in range(40):
        album.put(f"{n:02}.png", n + 1 if n % 2 else n + 100)
    album.index()
    album.check()
    assert album.index().unchanged == 40


def test_content_that_was_known_when_read_and_gone_when_written(tmp_path: Path) -> None:
    """Files 20 to 39 get the old contents of files 0 to 19, whose photos an earlier batch has edited by then."""
    album = Album(tmp_path)
    for n in range(40):
        album.put(f"{n:02}.png", n)
    album.index()
    before = album.ids()
    for n in range(20):
        album.put(f"{n:02}.png", n + 100)
        album.put(f"{n + 20}.png", n)
    report = album.index()
    assert (report.embedded + report.known, report.failed) == (40, 0)
    assert album.ids().keys() == before.keys()
    album.check()
    assert album.index().unchanged == 40


def test_folders_are_looked_into_once_a_batch(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    """It happens while the database is locked, and a folder on a sleeping drive answers slowly."""
    for n in range(8):
        album.put(f"{n}.png", n)
    album.index()
    album.put("stays.png", 100)
    elsewhere = album.base / "elsewhere"
    elsewhere.mkdir()
    for n in range(8):
        (album.photos / f"{n}.png").rename(elsewhere / f"{n}.png")
    looked: list[bytes] = []
    real = batch._has_entries
    monkeypatch.setattr(batch, "_has_entries", lambda folder: looked.append(folder) or real(folder))
    report = album.index(elsewhere)
    assert (report.embedded, report.known) == (0, 8)
    assert looked == [os.fsencode(album.photos.resolve())]
