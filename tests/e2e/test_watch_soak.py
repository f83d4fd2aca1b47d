"""`oko watch` for minutes with random file operations: memory and open descriptors stay flat.

    OKO_TEST_SOAK_MINUTES=60 python -m pytest -s --run-slow tests/e2e/test_watch_soak.py

prints both over time; `make soak` runs five minutes.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.disturbances import Disturber
from tests.e2e.watcher import Watcher
from tests.watched import wait_for

MINUTES = float(os.environ.get("OKO_TEST_SOAK_MINUTES", "5"))
SAMPLES = 20
MB = 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("model", ["builtin", "fake"])
def test_memory_and_descriptors_stay_flat(tmp_path: Path, model: str) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    disturber = Disturber(folders, seed=3)
    watcher = Watcher(tmp_path / "library", folders, log=tmp_path / "log" if model == "fake" else None)
    watcher.start()
    assert watcher.child is not None
    process = psutil.Process(watcher.child.pid)
    samples = []
    operations = 0
    print(f"\n{'minutes':>8} {'operations':>10} {'memory MB':>10} {'descriptors':>11} {'threads':>8}")
    started = time.monotonic()
    for sample in range(1, SAMPLES + 1):
        while time.monotonic() < started + 60 * MINUTES * sample / SAMPLES:
            disturber.step(most_files=400)
            operations += 1
            time.sleep(0.02)
        wait_for(watcher.is_idle, timeout_s=300)  # what is open in the middle of a batch says nothing
        memory, descriptors = process.memory_info().rss / MB, process.num_fds()
        samples.append((memory, descriptors))
        minutes = (time.monotonic() - started) / 60
        print(f"{minutes:8.1f} {operations:10,} {memory:10.0f} {descriptors:11} {process.num_threads():8}")
    watcher.until_as_on_disk()
    assert watcher.end() == 0
    half = SAMPLES // 2
    early, late = samples[half // 2 : half], samples[half:]
    # Allocators breathe; a leak does not stop growing.
    assert max(m for m, _ in late) < 1.1 * max(m for m, _ in early) + 20
    assert max(d for _, d in late) <= max(d for _, d in early) + 3
