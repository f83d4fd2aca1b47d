"""Thousands of files: time and memory a file stay what they were at the beginning."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.albums import Album, tiny_png

ROOT = Path(__file__).parents[2]
FILES_PER_FOLDER = 500
# Per file the run keeps its stamp (about 400 bytes) until the end; the rest is the allocator's.
BYTES_PER_FILE = 1_024
# A file costs 0.6 ms here (8 x 8 PNG: almost all of it fixed costs); busy machines are ten times slower.
SECONDS_PER_THOUSAND = 8.0


@dataclass(frozen=True)
class Step:
    """One line of a run in a child process."""

    phase: str
    done: int
    seconds: float
    resident_bytes: int


def fill(photos: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for n in range(count):
        folder = photos / f"{n // FILES_PER_FOLDER:03}"
        if n % FILES_PER_FOLDER == 0:
            folder.mkdir()
        (folder / f"{n:06}.png").write_bytes(tiny_png(rng.integers(0, 256, (8, 8, 3), np.uint8)))


def run(base: Path) -> tuple[list[Step], float]:
    """The steps of a run, and the seconds that the whole process took."""
    started = time.monotonic()
    command = [sys.executable, "-m", "tests.e2e.index_child", str(base)]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in out.splitlines()]
    steps = [Step(phase, int(done), float(s), int(rss)) for phase, done, s, rss in lines]
    return steps, time.monotonic() - started


def quarters(steps: list[Step], count: int) -> list[Step]:
    """The steps at which a quarter, a half, three quarters and all of the files were indexed."""
    index = [step for step in steps if step.phase == "index"]
    return [next(s for s in index if s.done >= count * part / 4) for part in range(5)]


def check_flat(base: Path, count: int) -> None:
    album = Album(base)
    fill(album.photos, count)
    steps, _ = run(base)
    marks = quarters(steps, count)
    rates = [1000 * (b.seconds - a.seconds) / (b.done - a.done) for a, b in itertools.pairwise(marks)]
    resident = [mark.resident_bytes for mark in marks]
    print("seconds per 1,000 files:", ", ".join(f"{rate:.2f}" for rate in rates))
    print("resident MiB:", ", ".join(f"{size / 2**20:.0f}" for size in resident))
    assert max(rates) < SECONDS_PER_THOUSAND
    assert rates[-1] < 2 * statistics.median(rates), "the last files cost what the first ones did"
    # From the first quarter on: before it, libraries and caches fill.
    assert resident[-1] - resident[1] < BYTES_PER_FILE * count

    before = psutil.Process().cpu_times().children_user
    again, seconds = run(base)
    print(f"rescan: {again[-1].seconds:.2f} s, the whole process {seconds:.2f} s")
    assert [step.done for step in again if step.phase == "index"] == [0]
    assert psutil.Process().cpu_times().children_user - before < 2 + 0.5 * count / 1000


def test_four_thousand_files(tmp_path: Path) -> None:
    check_flat(tmp_path, 4_000)
    Album(tmp_path).check_vectors()


@pytest.mark.slow
def test_twenty_thousand_files(tmp_path: Path) -> None:
    check_flat(tmp_path, 20_000)
    Album(tmp_path).check_vectors()
