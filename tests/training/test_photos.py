"""Which photos are held back: by content, never by caption, and the same again later."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from library.errors import FileChanging
from tests.training.shapes import folder_of, photos_of, tar_of
from training import photos as module
from training.photos import Photo, Source, Split, identify, split, without
from training.sources import read_all


def contents(photos: tuple[Photo, ...]) -> set[bytes]:
    return {photo.source.read() for photo in photos}


def test_no_photo_is_on_both_sides(pictures: Path) -> None:
    photos, _ = identify(photos_of(pictures))
    divided = split(photos, 0.3)
    assert 0.15 * len(photos) < len(divided.held_back) < 0.45 * len(photos)
    assert len(divided.training) + len(divided.held_back) == len(photos)
    assert contents(divided.training).isdisjoint(contents(divided.held_back))


def test_held_back_stays_held_back(pictures: Path, tmp_path: Path) -> None:
    """Also when the folder has moved and others have joined: else a model would be measured on what it has seen."""
    first = split(identify(photos_of(pictures))[0], 0.2)
    moved = shutil.copytree(pictures, tmp_path / "moved")
    folder_of(tmp_path / "more", 60, seed=9)
    second = split(identify(photos_of(moved) + photos_of(tmp_path / "more"))[0], 0.2)
    assert contents(first.held_back) < contents(second.held_back)


def test_a_member_of_a_tar_is_the_same_photo_as_its_file(tmp_path: Path) -> None:
    folder_of(tmp_path / "files", 5)
    files, _ = identify(photos_of(tmp_path / "files"))
    members, _ = identify(read_all([str(tar_of(tmp_path / "a.tar", 5))]).photos)
    assert [each.fingerprint for each in files] == [each.fingerprint for each in members]
    assert without(files, members[:2]) == Split(
        tuple(each.photo for each in files[2:]), tuple(each.photo for each in members[:2])
    )


def test_few_and_many(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, _ = identify(photos_of(pictures))
    assert len(split(photos[-3:], 0.01).held_back) == 1
    assert split(photos, 0).held_back == ()
    monkeypatch.setattr(module, "MOST_HELD_BACK", 7)
    assert len(split(photos, 0.5).held_back) == 7


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    found, problems = identify([Photo(Source(tmp_path / "gone.png"), ("x",))])
    assert found == []
    assert problems[0].name == str(tmp_path / "gone.png")
    tar = tar_of(tmp_path / "a.tar", 2)
    last = read_all([str(tar)]).photos[-1]
    tar.write_bytes(tar.read_bytes()[: last.source.offset + 10])
    with pytest.raises(FileChanging):
        last.source.read()
