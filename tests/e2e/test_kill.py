"""kill -9 at random moments of an indexing run: at most the batch in flight is lost, and nothing is misaligned."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from library.folder import CATALOG_NAME
from tests.albums import Album
from tests.pictures import jpeg_bytes, photo

ROOT = Path(__file__).parents[2]


@dataclass
class Victim:
    """An album, the runs over it that get killed, and what happens to its files between them."""

    album: Album
    batch: int
    delay_s: float
    rng: random.Random
    contents: int = 0  # how many different ones have been on disk
    killed: int = 0
    finished: int = 0
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.album.base / "embedded.log"

    def put(self, name: str) -> None:
        self.album.put(name, self.contents)
        self.contents += 1

    def start(self) -> subprocess.Popen[str]:
        options = ["--batch", str(self.batch), "--delay", str(self.delay_s), "--log", str(self.log)]
        command = [sys.executable, "-m", "tests.e2e.index_child", str(self.album.base), *options]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run_and_kill(self, most_s: float) -> None:
        """Kill a run at a random moment after its first commit, or see it come to its end."""
        child = self.start()
        assert child.stdout is not None
        for line in child.stdout:
            phase, done, *_ = line.split()
            if phase == "index" and int(done) > 0:
                time.sleep(self.rng.uniform(0, most_s))
                break
        child.send_signal(signal.SIGKILL)
        _, errors = child.communicate()
        assert "Error" not in errors, errors
        self.killed += child.returncode == -signal.SIGKILL
        self.finished += child.returncode == 0

    def disturb(self) -> None:
        """What people do to their files meanwhile. No content comes back once it is gone."""
        files = sorted(path.name for path in self.album.photos.iterdir())
        one, two, three, four, five = self.rng.sample(files, 5)
        fresh = f"{self.contents:05}"
        photos = self.album.photos
        os.rename(photos / one, photos / f"moved-{fresh}.png")
        shutil.copy(photos / two, photos / f"copy-{fresh}.png")
        self.put(three)
        self.put(f"new-{fresh}.png")
        between = photos / "between"
        os.rename(photos / four, between)
        os.rename(photos / five, photos / four)
        os.rename(between, photos / five)
        if self.rng.random() < 0.3:
            (photos / self.rng.choice(sorted(set(files) - {one, two, three, four, five}))).unlink()

    def embedded(self) -> int:
        return sum(map(int, self.log.read_text().split()))


def check_kills(base: Path, count: int, *, pictures: int, batch: int, delay_s: float, most_s: float) -> None:
    victim = Victim(Album(base), batch, delay_s, random.Random(20_240_601))
    for n in range(pictures):
        victim.put(f"{n:03}.png")
    while victim.killed < count:
        victim.run_and_kill(most_s)
        assert victim.finished < count, "the runs come to their end before they can be killed"
        victim.disturb()
        if victim.killed % 10 == 0:
            victim.album.check_vectors()
    last = victim.start()
    assert last.communicate()[0].splitlines()[-1].startswith("index ")
    assert last.returncode == 0
    album = victim.album
    album.check()
    on_disk = {path.name for path in album.photos.iterdir()}
    assert {name for name, state in album.states().items() if state == "indexed"} == on_disk
    # Each content once, and for each kill the batch that was in flight.
    assert victim.embedded() <= victim.contents + victim.killed * batch
    again = victim.start()
    again.communicate()
    assert victim.embedded() <= victim.contents + victim.killed * batch
    assert not list(album.library.glob("*.tmp")) or victim.killed


def test_ten_kills(tmp_path: Path) -> None:
    check_kills(tmp_path, 10, pictures=500, batch=8, delay_s=0.02, most_s=0.15)


@pytest.mark.slow
def test_a_hundred_kills(tmp_path: Path) -> None:
    check_kills(tmp_path, 100, pictures=500, batch=2, delay_s=0.01, most_s=0.04)


def test_killed_while_the_index_is_written(tmp_path: Path) -> None:
    """The file is as large as it gets here; a kill in the middle leaves the old one or the new one."""
    album = Album(tmp_path)
    for n in range(8):
        album.put(f"{n}.png", n)
    album.index()
    code = """
import os, signal, sys
from pathlib import Path
from library import vectors
from tests.albums import Album
write = vectors.FlatIndex._write
def torn(self, out, stamp):
    write(self, out, stamp)
    out.truncate(out.tell() // 2)
    out.flush()
    os.kill(os.getpid(), signal.SIGKILL)
vectors.FlatIndex._write = torn
Album(Path(sys.argv[1])).index()
"""
    album.put("new.png", 100)
    child = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True)
    assert child.returncode == -signal.SIGKILL
    assert len(list(album.library.glob("*.tmp"))) == 1
    album.check()
    assert len(album.rows()) == 9
    assert album.index().embedded == 0


@pytest.mark.slow
def test_the_real_command_is_killed(tmp_path: Path) -> None:
    folder, library = tmp_path / "photos", tmp_path / "library"
    folder.mkdir()
    for n in range(300):
        (folder / f"{n}.jpg").write_bytes(jpeg_bytes(photo(n)))
    command = [
        sys.executable,
        "-m",
        "oko",
        "index",
        str(folder),
        "--library",
        str(library),
        "--model",
        "builtin",
    ]
    command += ["--batch-size", "8"]
    for _ in range(2):
        before = count(library)
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        while count(library) <= before and time.monotonic() < deadline:
            time.sleep(0.02)
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL
        assert before < count(library) < 300
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    from library.encoder import load_encoder
    from library.models import Registry

    album = Album(tmp_path, load_encoder(Registry(None).resolve("builtin"), device="cpu"))
    album.check()
    assert len(album.rows()) == 300


def count(library: Path) -> int:
    """How many vectors have been committed."""
    if not (library / CATALOG_NAME).exists():
        return 0
    connection = sqlite3.connect(f"file:{library / CATALOG_NAME}?mode=ro", uri=True, timeout=5)
    try:
        return int(connection.execute("SELECT count(*) FROM embedding").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()
