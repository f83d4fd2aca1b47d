"""Memory of an indexing run: its highest point, and whether it grows with the folder.

usage: python -m benchmarks.memory [--data ../shared/data] [--counts 1000 3000 6000] [--side 500] [--peer FOLDER]

Each run has a process of its own, which loads the model first. Figures are resident memory as the system counts it
(Linux): after loading, and the highest during the run, with the size of the weights' file taken off. Without --peer the
built-in model is taken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from PIL import Image

import oko
from benchmarks.machine import describe, write
from benchmarks.photos import enlarged
from benchmarks.rclip import make_oko

STEP_S = 0.02
MB = 1_000_000


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 3000, 6000])
    parser.add_argument("--side", type=int, default=500, help="longer side of the JPEGs, in pixels")
    parser.add_argument("--peer", type=Path, help="a folder with the weights of ViT-B-32-256")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/memory.json"))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        library, photos, model = args.child
        print(json.dumps(one_run(Path(library), Path(photos), model)))
        return 0
    runs = []
    with tempfile.TemporaryDirectory(prefix="oko-bench-") as scratch:
        for count in args.counts:
            runs.append({"photos": count, **in_a_process(Path(scratch), count, args)})
            print(
                "{photos:>8} photos: {loaded_mb:6.0f} MB loaded, {peak_mb:6.0f} MB at the most".format(
                    **runs[-1]
                )
            )
    weights_mb = weights_of(args.peer).stat().st_size / MB
    most = max(run["peak_mb"] for run in runs) - weights_mb
    growth = runs[-1]["peak_mb"] - runs[0]["peak_mb"]
    print(
        f"at the most {most:.0f} MB besides the weights ({weights_mb:.0f} MB); {growth:+.0f} MB from first to last"
    )
    print(describe())
    write(
        args.out, {"side_px": args.side, "weights_mb": weights_mb, "runs": runs, "besides_weights_mb": most}
    )
    return 0


def weights_of(peer: Path | None) -> Path:
    """The file of the weights."""
    from library.presets import BUILTIN
    from library.weights import WEIGHTS_FILES

    if peer:
        return peer / "model.safetensors"
    assert BUILTIN.weights is not None
    return next(BUILTIN.weights / name for name in WEIGHTS_FILES if (BUILTIN.weights / name).is_file())


def in_a_process(scratch: Path, count: int, args: argparse.Namespace) -> dict[str, float]:
    """One run over so many photos, in a new process and a new library."""
    size = (args.side, args.side * 3 // 4)
    photos = enlarged(args.data, scratch / "photos", count=count, size=size)  # more of them each time
    library = scratch / f"library{count}"
    if args.peer:
        make_oko(args.peer, library)
    child = ["--child", str(library), str(photos), "peer" if args.peer else "builtin"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *child], capture_output=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def one_run(folder: Path, photos: Path, model: str) -> dict[str, float]:
    """Resident memory of this process: with the model loaded, and the most while indexing."""
    seen: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(STEP_S):
            seen.append(resident_mb())

    with oko.open_library(folder, model=model) as library:
        library.encoder.encode_images(library.encoder.prepare(Image.new("RGB", (300, 300)))[None])
        loaded = resident_mb()
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            report = library.index([photos])
        finally:
            done.set()
            watcher.join()
    return {"loaded_mb": loaded, "peak_mb": max(seen), "embedded": report.embedded}


def resident_mb() -> float:
    """This process's resident memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MB


if __name__ == "__main__":
    sys.exit(main())
