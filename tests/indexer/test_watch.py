"""The adapter over watchdog: what it reports of real folders, and the system's limits by name."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from indexer import watch
from indexer.watch import Event, Happening, InotifyWatches, TreeWatches, WatchLimit
from tests.watched import wait_for

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")


class Eyes:
    """Collects what is reported, as (what, name) pairs."""

    def __init__(self, watches: Any, folder: Path) -> None:
        self.watches, self.folder = watches, os.fsencode(folder)
        self.seen: list[tuple[str, str]] = []

    def look(self) -> list[tuple[str, str]]:
        for event in self.watches.events(0.05):
            name = os.path.relpath(event.path, self.folder).decode() if event.path else ""
            self.seen.append((str(event.what), name + "/" * event.is_folder))
        return self.seen

    def until(self, *wanted: tuple[str, str]) -> bool:
        wait_for(lambda: set(wanted) <= set(self.look()), f"{wanted} in {self.seen}")
        return True


@pytest.fixture
def watches() -> Iterator[InotifyWatches]:
    found = InotifyWatches()
    yield found
    found.close()
    assert not found.is_alive


@pytest.fixture
def eyes(watches: InotifyWatches, tmp_path: Path) -> Eyes:
    watches.add(os.fsencode(tmp_path))
    return Eyes(watches, tmp_path)


@linux
def test_writing_and_closing_are_told_apart(eyes: Eyes, tmp_path: Path) -> None:
    with open(tmp_path / "a.jpg", "wb") as out:
        out.write(b"1")
        out.flush()
        assert eyes.until(("written", "a.jpg"))
        assert ("closed", "a.jpg") not in eyes.seen
    assert eyes.until(("closed", "a.jpg"))


@linux
def test_renames_deletions_and_attributes(eyes: Eyes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    os.rename(tmp_path / "a.jpg", tmp_path / "b.jpg")
    os.chmod(tmp_path / "b.jpg", 0o600)
    (tmp_path / "b.jpg").unlink()
    assert eyes.until(("gone", "a.jpg"), ("whole", "b.jpg"), ("attributes", "b.jpg"), ("gone", "b.jpg"))


@linux
def test_a_link_to_a_file_will_never_be_closed(eyes: Eyes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    os.link(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert eyes.until(("touched", "b.jpg"))


@linux
def test_folders_are_watched_one_by_one(eyes: Eyes, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert eyes.until(("touched", "in/"))
    (tmp_path / "in" / "unseen.jpg").touch()
    eyes.watches.add(os.fsencode(tmp_path / "in"))
    (tmp_path / "in" / "seen.jpg").touch()
    assert eyes.until(("written", "in/seen.jpg"))
    assert not any("unseen" in name for _, name in eyes.seen)
    assert eyes.watches.count == 2
    eyes.watches.remove_below(os.fsencode(tmp_path / "in"))
    (tmp_path / "in" / "later.jpg").touch()
    (tmp_path / "end.jpg").touch()
    assert eyes.until(("closed", "end.jpg"))
    assert not any("later" in name for _, name in eyes.seen)


@linux
def test_a_renamed_folder_that_is_watched_under_its_new_name_first(eyes: Eyes, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    eyes.watches.add(os.fsencode(tmp_path / "old"))
    os.rename(tmp_path / "old", tmp_path / "new")
    eyes.watches.add(os.fsencode(tmp_path / "new"))
    eyes.watches.remove_below(os.fsencode(tmp_path / "old"))
    (tmp_path / "new" / "a.jpg").touch()
    assert eyes.until(("closed", "new/a.jpg"))


@linux
def test_many_folders_are_taken_back_one_by_one(tmp_path: Path) -> None:
    """Each in time that does not grow with the number of the others."""

    class Counting:
        def __init__(self) -> None:
            self.watched: set[int] = set()

        def start(self) -> None: ...
        def stop(self) -> None: ...
        def join(self, timeout_s: float) -> None: ...

        def add_callback(self, *arguments: Any) -> int:
            self.watched.add(len(self.watched))
            return len(self.watched) - 1

        def remove_callbacks(self, which: list[tuple[int, int]]) -> None:
            self.watched -= {descriptor for descriptor, _ in which}

    fd: Any = Counting()
    watches = InotifyWatches(fd)
    for n in range(20_000):
        watches.add(b"/photos/%d/a" % n)  # of which only the inner folder is watched
    watches.add(b"/photos/1")
    watches.add(b"/photos/10b")
    started = time.process_time()
    for n in range(5_000):
        watches.remove_below(b"/photos/%d" % n)
    assert time.process_time() - started < 5
    assert watches.count == 15_001
    assert watches.has(b"/photos/10b")
    assert not watches.has(b"/photos/1/a")
    watches.remove_below(b"/photos")
    assert watches.count == len(fd.watched) == 0


@linux
def test_a_folder_that_went_away_is_lost(eyes: Eyes, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    eyes.watches.add(os.fsencode(tmp_path / "in"))
    (tmp_path / "in").rmdir()
    assert eyes.until(("lost", "in/"), ("gone", "in/"))


@linux
def test_names_need_not_be_text(eyes: Eyes, tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.jpg")
    with open(path, "wb"):
        pass
    seen: list[Event] = []
    wait_for(lambda: seen.extend(eyes.watches.events(0.1)) or Event(Happening.CLOSED, path) in seen)
    assert Event(Happening.WRITTEN, path) in seen


@linux
def test_the_limit_of_watches_has_a_name(tmp_path: Path) -> None:
    from watchdog.observers.inotify_c import InotifyFD

    class Full(InotifyFD):
        def add_callback(self, *arguments: Any) -> Any:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")

    watches = InotifyWatches(Full())
    try:
        with pytest.raises(WatchLimit):
            watches.add(os.fsencode(tmp_path))
        assert watches.count == 0
    finally:
        watches.close()


@linux
def test_a_folder_that_is_not_there_is_no_limit(watches: InotifyWatches, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        watches.add(os.fsencode(tmp_path / "nowhere"))


@linux
def test_an_overflow_of_the_systems_queue_is_reported(eyes: Eyes) -> None:
    from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent

    lost: Any = InotifyEvent(-1, InotifyConstants.IN_Q_OVERFLOW, 0, b"")  # type: ignore[arg-type]
    eyes.watches._fd.handle_event(lost)
    assert eyes.until(("overflow", ""))


@linux
def test_more_unread_events_than_fit_are_an_overflow(
    eyes: Eyes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_UNREAD", 20)
    for n in range(30):
        (tmp_path / f"{n}.jpg").touch()
    assert eyes.until(("overflow", ""))


@linux
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        watches = InotifyWatches()
        watches.add(os.fsencode(tmp_path))
        watches.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_whole_trees_where_the_platform_watches_those(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    watches = TreeWatches()
    try:
        watches.add(os.fsencode(tmp_path))
        watches.add(os.fsencode(tmp_path / "in"))  # in it already
        assert watches.count == 1
        eyes = Eyes(watches, tmp_path)
        (tmp_path / "in" / "a.jpg").write_bytes(b"1")
        assert eyes.until(("touched", "in/a.jpg"))
        os.rename(tmp_path / "in" / "a.jpg", tmp_path / "b.jpg")
        assert eyes.until(("gone", "in/a.jpg"), ("whole", "b.jpg"))
        watches.remove_below(os.fsencode(tmp_path))
        assert watches.count == 0
    finally:
        watches.close()
    assert not watches.is_alive
