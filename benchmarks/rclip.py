"""rclip, the program that people would pick instead: run as its users run it, on the same weights.

`peer` is a folder with model.safetensors (open_clip's ViT-B-32-256) and, of the same weights, what rclip loads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ARCH = "ViT-B-32-256"
DATABASE = "db.sqlite3"


@dataclass(frozen=True, slots=True)
class Rclip:
    """rclip's program, with a data folder of its own."""

    program: str
    folder: Path

    def index(self, photos: Path, *, batch: int = 8, query: str = "a dog on the beach") -> float:
        """Seconds of `rclip QUERY` in a folder: it indexes what is new there, then answers."""
        command = [self.program, "--indexing-batch-size", str(batch), query]
        return _timed(command, cwd=photos, environment={"RCLIP_DATADIR": str(self.folder)})

    def search(self, photos: Path, query: str = "a dog on the beach") -> float:
        """Seconds of a search without looking for new files."""
        command = [self.program, "--no-indexing", query]
        return _timed(command, cwd=photos, environment={"RCLIP_DATADIR": str(self.folder)})

    def start(self) -> float:
        """Seconds of the program's start alone."""
        return _timed([self.program, "--version"], environment={})

    def forget(self) -> None:
        """As if nothing had ever been indexed."""
        for path in self.folder.glob(DATABASE + "*"):
            path.unlink()


def make_rclip(program: str, peer: Path, folder: Path) -> Rclip:
    """rclip with the peer's weights, linked into a new data folder."""
    folder.mkdir(parents=True)
    for part in (peer / "rclip").iterdir():
        if part.name != DATABASE:
            (folder / part.name).symlink_to(part.resolve(), target_is_directory=part.is_dir())
    return Rclip(program, folder)


@dataclass(frozen=True, slots=True)
class Oko:
    """This checkout's command line, with a library of its own."""

    library: Path
    environment: dict[str, str]

    def run(self, *arguments: str | Path) -> float:
        """Seconds of one command."""
        command = [sys.executable, "-m", "oko", *map(str, arguments), "--library", str(self.library)]
        return _timed(command, environment=self.environment)

    def forget(self) -> None:
        """As if nothing had ever been indexed; what `oko models add` said stays."""
        for path in self.library.iterdir():
            if path.name.startswith(("catalog", "vectors", "index")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def make_oko(peer: Path, library: Path, **environment: str) -> Oko:
    """oko with the peer's weights under the name "peer"."""
    program = Oko(library, environment)
    program.run("models", "add", "peer", peer / "model.safetensors", "--arch", ARCH, "--quiet")
    return program


def _timed(command: Sequence[str], *, environment: dict[str, str], cwd: Path | None = None) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **environment}, cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return time.perf_counter() - started
