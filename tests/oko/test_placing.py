"""Photos copied and linked into a folder: in order, nothing overwritten, nothing half."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from library.errors import DiskFull, UsageError
from oko import placing
from oko.placing import Placed, copy_all, link_all, numbered


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three photos of two names, with times of long ago."""
    paths = [tmp_path / place for place in ("b/beach.jpg", "a/beach.jpg", "a/cat.jpg")]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"photo %d" % number)
        os.utime(path, (1_000_000_000 + 1000 * number,) * 2)
    return paths


def listed(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_copies_keep_the_order_the_content_and_the_time(photos: list[Path], tmp_path: Path) -> None:
    report = copy_all(numbered(photos), tmp_path / "new/folder")
    assert report == Placed(done=3)
    assert listed(tmp_path / "new/folder") == ["001-beach.jpg", "002-beach.jpg", "003-cat.jpg"]
    for name, path in numbered(photos):
        copy = tmp_path / "new/folder" / name
        assert copy.read_bytes() == path.read_bytes()
        assert copy.stat().st_mtime == path.stat().st_mtime


def test_a_thousand_results_sort_by_name(tmp_path: Path) -> None:
    names = [name for name, _ in numbered([Path("x.jpg")] * 1234)]
    assert names == sorted(names)


@pytest.mark.parametrize("put", [copy_all, link_all])
def test_nothing_is_overwritten(put: Callable[..., Placed], photos: list[Path], tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    (into / "001-beach.jpg").write_text("mine")
    (into / "003-cat.jpg").symlink_to(tmp_path / "nowhere")
    assert put(numbered(photos), into).done == 3
    assert (into / "001-beach.jpg").read_text() == "mine"
    assert os.readlink(into / "003-cat.jpg") == str(tmp_path / "nowhere")
    assert (into / "001-beach (2).jpg").read_bytes() == b"photo 0"
    assert (into / "003-cat (2).jpg").read_bytes() == b"photo 2"


@pytest.mark.parametrize("put", [copy_all, link_all])
def test_a_second_run_adds_nothing(put: Callable[..., Placed], photos: list[Path], tmp_path: Path) -> None:
    put(numbered(photos), tmp_path / "into")
    before = listed(tmp_path / "into")
    assert put(numbered(photos), tmp_path / "into") == Placed(there_before=3)
    assert listed(tmp_path / "into") == before


@pytest.mark.parametrize("put", [copy_all, link_all])
def test_what_cannot_be_read_is_named_and_the_rest_goes_on(
    put: Callable[..., Placed], photos: list[Path], tmp_path: Path
) -> None:
    photos[1].unlink()
    report = put(numbered(photos), tmp_path / "into")
    assert report.done == 2
    assert len(report.failures) == 1
    assert str(photos[1]) in report.failures[0]
    assert listed(tmp_path / "into") == ["001-beach.jpg", "003-cat.jpg"]


def test_a_full_disk_ends_it_and_leaves_no_half_file(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile = shutil.copyfile

    def filling(source: Path, target: Path) -> None:
        if source == photos[1]:
            target.write_bytes(b"pho")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        copyfile(source, target)

    monkeypatch.setattr(placing.shutil, "copyfile", filling)
    with pytest.raises(DiskFull, match="full after 1 photos"):
        copy_all(numbered(photos), tmp_path / "into")
    assert listed(tmp_path / "into") == ["001-beach.jpg"]


def test_a_file_system_without_links_says_so(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(target))

    monkeypatch.setattr(placing.os, "symlink", refuse)
    with pytest.raises(UsageError) as caught:
        link_all(numbered(photos), tmp_path / "into")
    assert "no symbolic links" in caught.value.message
    assert "--copy-to" in caught.value.hint


def test_names_that_are_too_long_or_no_text(tmp_path: Path) -> None:
    long, odd = tmp_path / ("ž" * 120 + ".jpg"), Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg"))
    long.write_bytes(b"long")
    odd.write_bytes(b"odd")
    assert copy_all(numbered([long, odd]), tmp_path / "into") == Placed(done=2)
    assert {each.read_bytes() for each in (tmp_path / "into").iterdir()} == {b"long", b"odd"}


def test_links_are_absolute_whatever_the_current_folder_is(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    link_all(numbered([path.relative_to(tmp_path) for path in photos]), tmp_path / "into")
    assert [os.readlink(tmp_path / "into" / name) for name, _ in numbered(photos)] == list(map(str, photos))


def test_a_folder_that_cannot_be_made(tmp_path: Path, photos: list[Path]) -> None:
    with pytest.raises(UsageError, match="cannot be made"):
        copy_all(numbered(photos), photos[0] / "below a file")
