"""One indexing run in a process of its own, for tests that kill it or watch its memory.

    python -m tests.e2e.index_child BASE [--delay S] [--batch N] [--log FILE]

BASE/photos is indexed into BASE/library. Prints a line for each step: phase, files done, seconds since the
start, resident memory in bytes. With --log, the number of pictures of each batch is appended to the file before
its vectors are returned.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from library.config import Config
from library.fakes import FakeEncoder
from tests.albums import Album


class LoggedEncoder(FakeEncoder):
    """A fake that leaves a mark on disk for each batch, so that a killed process can be asked what it embedded."""

    log: Path | None = None

    def encode_images(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.log is not None:
            with self.log.open("a") as out:
                out.write(f"{len(batch)}\n")
        return super().encode_images(batch)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("base", type=Path)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    encoder = LoggedEncoder(delay_s=args.delay)
    encoder.log = args.log
    album = Album(args.base, encoder, Config(batch_size=args.batch, decode_workers=2))
    me, started = psutil.Process(), time.monotonic()
    for phase, done in album.steps():
        seconds = time.monotonic() - started
        os.write(1, f"{phase} {done} {seconds:.4f} {me.memory_info().rss}\n".encode())


if __name__ == "__main__":
    main()
