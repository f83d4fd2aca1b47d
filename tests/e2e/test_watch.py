"""The real `oko watch` with the built-in model: whatever people do to files, the catalog follows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oko import exits
from tests.albums import jpeg_scene, picture
from tests.e2e.watcher import ROOT, Watcher, sha256
from tests.watched import wait_for


@pytest.fixture(scope="module")
def watcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watcher]:
    base = tmp_path_factory.mktemp("watch")
    for name in ("photos", "second"):
        (base / name).mkdir()
    (base / "photos" / "first.jpg").write_bytes(jpeg_scene(0))
    library = base / "photos" / "oko-library"  # inside, and ignored
    watcher = Watcher(library, [base / "photos", base / "second"], words=["--exclude", "private/"])
    library.mkdir()
    try:
        watcher.start()
        yield watcher
    finally:
        watcher.kill()


@pytest.fixture
def photos(watcher: Watcher) -> Path:
    return watcher.folders[0]


def test_what_was_there_before_is_found(watcher: Watcher, photos: Path) -> None:
    watcher.until_indexed(photos / "first.jpg")
    assert list(watcher.rows()) == [photos / "first.jpg"]


def test_a_new_photo_is_searchable_within_moments(watcher: Watcher, photos: Path) -> None:
    started = time.monotonic()
    (photos / "new.jpg").write_bytes(jpeg_scene(1))
    watcher.until_indexed(photos / "new.jpg")
    # About one second on an idle machine; this one may be busy.
    assert time.monotonic() - started < 15


def test_a_file_that_grows_for_two_seconds_is_taken_once_and_whole(watcher: Watcher, photos: Path) -> None:
    whole = jpeg_scene(2)
    with open(photos / "slow.jpg", "wb") as out:
        for part in range(20):
            out.write(whole[part * len(whole) // 20 : (part + 1) * len(whole) // 20])
            out.flush()
            time.sleep(0.1)
            assert photos / "slow.jpg" not in watcher.rows()
    watcher.until_indexed(photos / "slow.jpg")


def test_moves_and_renames_embed_nothing(watcher: Watcher, photos: Path) -> None:
    wait_for(watcher.is_idle)
    before, vectors = watcher.job()["totals"], watcher.vectors()
    second = watcher.folders[1]
    os.rename(photos / "new.jpg", photos / "renamed.jpg")
    watcher.until_indexed(photos / "renamed.jpg")
    os.rename(photos / "renamed.jpg", second / "moved.jpg")
    watcher.until_indexed(second / "moved.jpg")
    (photos / "trip" / "day").mkdir(parents=True)
    os.rename(photos / "slow.jpg", photos / "trip" / "day" / "slow.jpg")
    os.rename(photos / "trip", second / "trip")
    watcher.until_indexed(second / "trip" / "day" / "slow.jpg")
    watcher.until_as_on_disk(skip=("oko-library",))
    wait_for(watcher.is_idle)
    assert watcher.job()["totals"]["embedded"] == before["embedded"]
    assert watcher.vectors() == vectors


def test_overwriting_deleting_and_restoring(watcher: Watcher, photos: Path) -> None:
    path = photos / "edited.png"
    path.write_bytes(picture(3))
    watcher.until_indexed(path)
    path.write_bytes(picture(4))
    watcher.until_indexed(path)
    content = path.read_bytes()
    path.unlink()
    watcher.until_state(path, "missing")
    wait_for(watcher.is_idle)
    embedded = watcher.job()["totals"]["embedded"]
    path.write_bytes(content)
    watcher.until_indexed(path)
    wait_for(watcher.is_idle)
    assert watcher.job()["totals"]["embedded"] == embedded


def test_corrupt_excluded_and_looping(watcher: Watcher, photos: Path) -> None:
    (photos / "corrupt.jpg").write_bytes(b"\xff\xd8\xff\xe0 and then nothing")
    (photos / "private").mkdir()
    (photos / "private" / "secret.png").write_bytes(picture(5))
    (photos / "loop").mkdir()
    os.symlink(photos, photos / "loop" / "again")
    (photos / "loop" / "in.png").write_bytes(picture(6))
    watcher.until_indexed(photos / "loop" / "in.png")
    watcher.until_state(photos / "corrupt.jpg", "unreadable")
    rows = watcher.rows()
    assert not any("private" in path.parts or "again" in path.parts for path in rows)


def test_a_burst_of_500_files(watcher: Watcher, photos: Path) -> None:
    for n in range(500):
        path = photos / "burst" / f"{n % 7}" / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(1000 + n))
    skip = ("oko-library", "private", "again", "corrupt.jpg")
    (photos / "corrupt.jpg").unlink()
    watcher.until_as_on_disk(skip=skip)
    shutil.rmtree(photos / "burst" / "3")
    watcher.until_as_on_disk(skip=skip)
    assert len({sha for _, sha in watcher.rows().values() if sha}) == watcher.vectors()


def test_a_second_watcher_says_so(watcher: Watcher) -> None:
    assert watcher.child is not None
    command = [sys.executable, "-m", "oko", "watch", "--library", str(watcher.library)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert second.returncode == exits.FAILED
    assert f"process {watcher.child.pid}" in second.stderr
    assert "Traceback" not in second.stderr


def test_others_can_write_meanwhile(watcher: Watcher, photos: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "oko",
        "index",
        str(photos),
        "--exclude",
        "private/",
        "--model",
        "builtin",
    ]
    command += ["--device", "cpu", "--json", "--library", str(watcher.library)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == exits.DONE, done.stderr
    assert json.loads(done.stdout)["embedded"] == 0


def test_the_settings_are_read_again_on_sighup(watcher: Watcher, photos: Path) -> None:
    assert watcher.child is not None
    (watcher.library / "config.toml").write_text('include = ["*.jpg"]\n')
    watcher.child.send_signal(signal.SIGHUP)
    wait_for(lambda: "settings were read again" in watcher.said())
    (photos / "not-now.png").write_bytes(picture(7))
    (photos / "now.jpg").write_bytes(jpeg_scene(8))
    watcher.until_indexed(photos / "now.jpg")
    assert photos / "not-now.png" not in watcher.rows()
    (watcher.library / "config.toml").write_text("no_such_setting = 1\n")
    watcher.child.send_signal(signal.SIGHUP)
    wait_for(lambda: "no_such_setting" in watcher.said())
    assert watcher.child.poll() is None


def test_status_says_how_it_is(watcher: Watcher) -> None:
    assert watcher.child is not None
    command = [sys.executable, "-m", "oko", "status", "--json", "--library", str(watcher.library)]
    (watcher.library / "config.toml").unlink()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    found = json.loads(done.stdout)["watcher"]
    assert (found["pid"], found["running"]) == (watcher.child.pid, True)
    assert "no_such_setting" in found["trouble"]["message"]


def test_sigterm_ends_it_cleanly(watcher: Watcher, photos: Path) -> None:
    assert watcher.end() == exits.DONE
    assert not watcher.job()["running"]
    assert watcher.job()["phase"] == "done"
    lines = [json.loads(line) for line in watcher.said().splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert sum(line.get("embedded", 0) for line in lines) >= 500
    assert sha256(photos / "now.jpg") in {sha for _, sha in watcher.rows().values()}
