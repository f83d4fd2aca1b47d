"""A real `oko watch` in a process of its own, and what its library comes to hold."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from library.folder import CATALOG_NAME
from oko import jobs
from tests.watched import wait_for

ROOT = Path(__file__).parents[2]
FAKE = "tests.e2e.watch_child"


@dataclass
class Watcher:
    """`oko watch` over `photos` (and more) into `library`. `log` set: with the fake encoder, which writes there."""

    library: Path
    folders: list[Path]
    log: Path | None = None
    words: list[str] = field(default_factory=list)
    child: subprocess.Popen[str] | None = None

    def start(self, *, ready: bool = True) -> None:
        """Start it, and wait until everything has been looked at."""
        program = ["-m", "oko"] if self.log is None else ["-m", FAKE, str(self.log)]
        command = [sys.executable, *program, "watch", *map(str, self.folders), "--library", str(self.library)]
        command += ["--model", "builtin", "--log-format", "json", *self.words]
        if self.log is None:
            command += ["--device", "cpu"]
        with (self.library.parent / "watch.log").open("a") as out:
            # One thread: on a busy machine several wait for each other most of the time.
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            self.child = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=out, text=True
            )
        if ready:
            wait_for(self.is_idle, "the watcher gets ready", timeout_s=600)

    def job(self) -> dict[str, Any]:
        """What it tells of itself."""
        return jobs.read_job(self.library, "watch") or {}

    def is_idle(self) -> bool:
        """Whether this very process is watching, with nothing to do."""
        assert self.child is not None
        assert self.child.poll() is None, self.said()
        job = self.job()
        return job.get("pid") == self.child.pid and job["phase"] == "watching"

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; returns the exit code."""
        assert self.child is not None
        self.child.send_signal(number)
        return self.child.wait(300)

    def kill(self) -> None:
        """As a power failure does it."""
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    def said(self) -> str:
        """Its log."""
        return (self.library.parent / "watch.log").read_text()

    def rows(self) -> dict[Path, tuple[str, bytes | None]]:
        """(state, content hash) of every file in the catalog, by absolute path."""
        if not (self.library / CATALOG_NAME).exists():
            return {}
        query = """SELECT root.path, file.path, file.state, photo.content_sha256 FROM file
                   JOIN root ON root.id = file.root_id LEFT JOIN photo ON photo.id = file.photo_id"""
        try:
            c = sqlite3.connect(f"file:{self.library / CATALOG_NAME}?mode=ro", uri=True, timeout=10)
            try:
                rows = c.execute(query).fetchall()
            finally:
                c.close()
        except sqlite3.OperationalError:
            return {}
        return {Path(os.fsdecode(root), os.fsdecode(path)): (state, sha) for root, path, state, sha in rows}

    def vectors(self) -> int:
        """How many vectors there are."""
        c = sqlite3.connect(f"file:{self.library / CATALOG_NAME}?mode=ro", uri=True, timeout=10)
        try:
            return int(c.execute("SELECT count(*) FROM embedding").fetchone()[0])
        finally:
            c.close()

    def until_indexed(self, *paths: Path) -> None:
        """Wait until these files, with the content they have now, are in the catalog."""
        wanted = {path: ("indexed", sha256(path)) for path in paths}
        wait_for(lambda: wanted.items() <= self.rows().items(), f"{paths}\n{self.said()[-2000:]}", 300)

    def until_state(self, path: Path, state: str) -> None:
        """Wait until a file has this state in the catalog."""
        wait_for(
            lambda: self.rows().get(path, ("",))[0] == state, f"{path} {state}\n{self.said()[-2000:]}", 60
        )

    def until_as_on_disk(self, timeout_s: float = 300, *, skip: tuple[str, ...] = ()) -> None:
        """Wait until the catalog holds the files that are on disk, as they are there, and no others."""
        wait_for(lambda: not self.differences(skip), "the catalog comes to agree with the disk", timeout_s)

    def differences(self, skip: tuple[str, ...] = ()) -> list[str]:
        """Where the catalog and the disk differ."""
        disk = {p: sha256(p) for folder in self.folders for p in pictures_in(folder, skip)}
        live = {path: sha for path, (state, sha) in self.rows().items() if state != "missing"}
        return [str(p) for p in sorted({*disk, *live}) if disk.get(p) != live.get(p)]


def pictures_in(folder: Path, skip: tuple[str, ...]) -> list[Path]:
    """The pictures in a folder that are to be indexed."""
    found = []
    for base, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if name not in skip and not name.startswith(".")]
        found += [Path(base, name) for name in names if name.endswith((".png", ".jpg"))]
    return [path for path in found if not path.is_symlink() and path.name not in skip]


def sha256(path: Path) -> bytes:
    """Of a file's content."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
