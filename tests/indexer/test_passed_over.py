"""Files that a walk did not see, though they are there: nothing about them may be lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from library.errors import ConfigError, ModelError
from library.fakes import COLOURS, FakeEncoder
from library.records import PhotoFilter
from library.store import Store
from oko.cli import main
from search.query import parse, query_vector
from search.rank import Searcher
from tests.libraries import Config, index, paint

NAMES = {
    f"{place}/{c}.png": c
    for place in ("home", "trip")
    for c in ("red", "green", "blue", "yellow", "pink", "brown")
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = paint(tmp_path / "photos", NAMES)
    for n, name in enumerate(NAMES):
        with (folder / name).open("ab") as file:
            file.write(bytes([n]))  # each a photo of its own
    assert index(tmp_path / "library", folder).embedded == len(NAMES)
    return folder


def found(library: Path) -> set[str]:
    """What a search for everything shows, as paths below the photos."""
    store = Store.open(library)
    try:
        encoder = FakeEncoder()
        results = Searcher(store, encoder.stamp).search(query_vector(parse("red"), encoder), 100)
        return {f"{r.path.parent.name}/{r.path.name}" for r in results}
    finally:
        store.close()


def test_a_run_for_some_files_leaves_the_others_alone(photos: Path, tmp_path: Path) -> None:
    report = index(tmp_path / "library", photos, config=Config(include=("trip/**",)))
    assert (report.missing, report.excluded, report.offline_roots) == (0, 0, [])
    assert found(tmp_path / "library") == set(NAMES)


def test_an_excluded_photo_is_hidden_and_cannot_be_forgotten_as_missing(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = index(tmp_path / "library", photos, config=Config(exclude=("home",)))
    assert (report.missing, report.excluded, report.offline_roots) == (0, 6, [])
    assert found(tmp_path / "library") == {name for name in NAMES if name.startswith("trip")}
    assert main(["forget", "--missing", "--yes", "--library", str(tmp_path / "library")]) == 0
    report = index(tmp_path / "library", photos)
    assert (report.returned, report.embedded) == (6, 0)
    assert found(tmp_path / "library") == set(NAMES)


def test_a_folder_that_cannot_be_read_for_once_keeps_its_photos(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: Any) -> Any:
        if os.fsencode(path).endswith(b"/trip"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report = index(tmp_path / "library", photos)
    assert (report.missing, report.unchanged) == (0, 6)
    assert report.problems == [f"{photos}/trip: Permission denied"]
    assert found(tmp_path / "library") == set(NAMES)


def test_a_drive_inside_a_root_is_protected_when_it_alone_is_looked_at(tmp_path: Path) -> None:
    many = {f"drive/{n}.png": colour for n, colour in enumerate([*COLOURS] * 2)}
    photos = paint(tmp_path / "photos", {**many, "here.png": "red"})
    index(tmp_path / "library", photos)
    (photos / "drive").rename(tmp_path / "away")
    (photos / "drive").mkdir()
    assert index(tmp_path / "library", photos / "drive").offline_roots == [str(photos)]
    index(tmp_path / "library", photos)
    assert main(["forget", "--missing", "--yes", "--library", str(tmp_path / "library")]) == 0
    (photos / "drive").rmdir()
    (tmp_path / "away").rename(photos / "drive")
    report = index(tmp_path / "library", photos)
    assert (report.embedded, report.returned) == (0, len(many))


def test_a_dry_run_keeps_to_its_limit_over_all_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [paint(tmp_path / place, {"a.png": "red", "b.png": "blue"}) for place in ("one", "two")]
    arguments = ["index", *map(str, folders), "--dry-run", "--limit", "3", "--json"]
    assert main([*arguments, "--library", str(tmp_path / "library"), "--model", "builtin"]) == 0
    assert json.loads(capsys.readouterr().out)["embedded"] == 3


def test_a_pattern_that_is_none_is_an_error_in_words(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exclude"):
        index(tmp_path / "library", photos, config=Config(exclude=("!",)))


def test_a_broken_device_stops_the_run_and_blames_no_photo(tmp_path: Path) -> None:
    class Broken(FakeEncoder):
        def encode_images(self, batch: Any) -> Any:
            raise ModelError("the device is lost")

    photos = paint(tmp_path / "photos", {f"{n}.png": c for n, c in enumerate(COLOURS)})
    with pytest.raises(ModelError, match="device is lost"):
        index(tmp_path / "library", photos, Broken())
    assert index(tmp_path / "library", photos).failed == 0


def test_the_librarys_model_is_known_before_the_first_photo(tmp_path: Path) -> None:
    class Killed(FakeEncoder):
        def encode_images(self, batch: Any) -> Any:
            raise KeyboardInterrupt

    photos = paint(tmp_path / "photos", {"a.png": "red"})
    with pytest.raises(KeyboardInterrupt):
        index(tmp_path / "library", photos, Killed(name="mine"))
    store = Store.open(tmp_path / "library")
    assert store.default_model() == "mine"
    store.close()


def test_missing_photos_can_still_be_asked_for(photos: Path, tmp_path: Path) -> None:
    (photos / "home/red.png").unlink()
    index(tmp_path / "library", photos)
    store = Store.open(tmp_path / "library")
    hits = Searcher(store, FakeEncoder().stamp).rank(
        query_vector(parse("red"), FakeEncoder()), 100, wanted=PhotoFilter(include_missing=True)
    )
    assert len(hits) == len(NAMES)
    store.close()
