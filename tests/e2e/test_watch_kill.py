"""kill -9 at random moments of a watcher while files change: after a restart the catalog is the disk."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.e2e.disturbances import Disturber
from tests.e2e.watcher import Watcher
from tests.watched import wait_for


def kills(base: Path, count: int, seed: int) -> bool:
    folders = [base / "one", base / "two"]
    for folder in folders:
        folder.mkdir()
    disturber, rng = Disturber(folders, seed), random.Random(seed)
    watcher = Watcher(base / "library", folders, log=base / "embedded.log")
    try:
        _kills(watcher, disturber, rng, count)
        return watcher.differences() == []
    finally:
        watcher.kill()


def _kills(watcher: Watcher, disturber: Disturber, rng: random.Random, count: int) -> None:
    base = watcher.library.parent
    for _ in range(40):
        disturber.step()
    for number in range(count):
        # Half of them as soon as it is at work, before it has caught up with what happened while it was dead.
        watcher.start(ready=number % 2 == 0)
        if number % 2:
            child = watcher.child
            assert child is not None
            pid = child.pid
            wait_for(lambda pid=pid: watcher.job().get("pid") == pid, "it starts", 120)  # type: ignore[misc]
        end = time.monotonic() + rng.uniform(0.05, 1.5)
        while time.monotonic() < end:
            disturber.step()
            time.sleep(rng.uniform(0, 0.03))
        watcher.kill()
        for _ in range(rng.randrange(10)):
            disturber.step()
    watcher.start()
    watcher.until_as_on_disk()
    for _ in range(20):
        disturber.step()
    watcher.until_as_on_disk()
    wait_for(watcher.is_idle, timeout_s=120)
    assert watcher.differences() == []
    embedded = sum(map(int, (base / "embedded.log").read_text().split()))
    assert watcher.end() == 0
    # Each content once, and for each kill at most the batch that was in flight.
    assert embedded <= disturber.contents + count * 64 + count + 1


def test_five_kills(tmp_path: Path) -> None:
    assert kills(tmp_path, 5, seed=7)


@pytest.mark.slow
def test_fifty_kills(tmp_path: Path) -> None:
    assert kills(tmp_path, 50, seed=11)
