"""Photos per second of a whole indexing run, beside the plain loop that everyone writes first, and beside rclip.

usage: python -m benchmarks.index [--data ../shared/data] [--photos 300] [--side 2048] [--repeat 3]
       python -m benchmarks.index --rclip PROGRAM --peer FOLDER [--photos 1000] [--large-photos 240]

The photos are real ones enlarged to JPEGs of `--side` pixels, with grain added (benchmarks.photos). Runs alternate;
medians are reported.

Without --rclip, the reference is a plain loop: open each file with Pillow in full, the model's own preprocessing, one
batch at a time in float32, nothing stored, with the same weights. Ours stores vectors, hashes, thumbnails and EXIF
facts as well.

With --rclip, both programs are run as their users run them, from a cold start to the end of the command, on the same
weights (benchmarks.rclip says what FOLDER holds): 500-pixel photos and 12-megapixel ones, with oko's own choice of
number format and in float32. rclip has no command that only indexes: its run ends with one search, whose time is
measured alone (--no-indexing) and taken off all but the program's start.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

import oko
from benchmarks.machine import describe, write
from benchmarks.photos import enlarged
from benchmarks.rclip import Oko, Rclip, make_oko, make_rclip

BATCH = 32
SMALL, LARGE = (500, 375), (4000, 3000)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--photos", type=int)
    parser.add_argument("--large-photos", type=int, default=240, help="of 12 megapixels; 0: none")
    parser.add_argument("--side", type=int, default=2048, help="longer side of the JPEGs, in pixels")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--rclip", help="rclip's program, installed in an environment of its own")
    parser.add_argument("--peer", type=Path, help="the folder with the weights for both")
    parser.add_argument("--keep", type=Path, help="make the photos here, and leave them")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if bool(args.rclip) != bool(args.peer):
        parser.error("--rclip and --peer belong together")
    with tempfile.TemporaryDirectory(prefix="oko-bench-") as scratch:
        (beside_rclip if args.rclip else beside_plain_loop)(args, Path(scratch))
    return 0


def beside_plain_loop(args: argparse.Namespace, scratch: Path) -> None:
    """The built-in model, or another, against the plain loop."""
    count, side = args.photos or 300, args.side
    photos = enlarged(args.data, scratch / "photos", count=count, size=(side, side * 3 // 4))
    rates: dict[str, list[float]] = {"oko index": [], "plain loop": []}
    for turn in range(args.repeat):
        rates["oko index"].append(ours(scratch / f"library{turn}", photos, args.model))
        rates["plain loop"].append(plain(photos, args.model))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["oko index"] / medians["plain loop"]
    for name, values in rates.items():
        print(f"{name:<12}{medians[name]:8.1f} photos/s   (runs: {', '.join(f'{v:.1f}' for v in values)})")
    print(f"oko index : plain loop = {ratio:.2f}   ({count} JPEGs of {side} x {side * 3 // 4}, {describe()})")
    out = args.out or Path("benchmarks/results/index.json")
    write(out, {"photos": count, "side_px": side, "photos_per_s": rates, "ratio": ratio})


def ours(folder: Path, photos: Path, model: str) -> float:
    """Photos per second of `Library.index`, without loading the model."""
    with oko.open_library(folder, model=model) as library:
        library.encoder.encode_images(library.encoder.prepare(Image.new("RGB", (300, 300)))[None])
        report = library.index([photos])
    return report.embedded / report.elapsed_s


def plain(photos: Path, model: str) -> float:
    """Photos per second of the plain loop."""
    with oko.open_library(photos.parent / "none", model=model, precision="fp32") as library:
        encoder = library.encoder
        encoder.encode_images(encoder.prepare(Image.new("RGB", (300, 300)))[None])
        started, files = time.perf_counter(), sorted(photos.rglob("*.jpg"))
        for start in range(0, len(files), BATCH):
            batch = [
                encoder.prepare(Image.open(file).convert("RGB")) for file in files[start : start + BATCH]
            ]
            encoder.encode_images(np.stack(batch))
        return len(files) / (time.perf_counter() - started)


@dataclass
class Contest:
    """One folder of photos, indexed by each program in turn; photos per second, run by run."""

    name: str
    photos: Path
    count: int
    rates: dict[str, list[float]] = field(default_factory=dict)

    def turn(self, rclip: Rclip, programs: dict[str, Oko]) -> None:
        """One run of each."""
        rclip.forget()
        whole_s = rclip.index(self.photos)
        search_s = rclip.search(self.photos) - rclip.start()
        self._note("rclip", whole_s - search_s)
        for name, program in programs.items():
            program.forget()
            self._note(name, program.run("index", self.photos, "--model", "peer"))

    def _note(self, name: str, seconds: float) -> None:
        self.rates.setdefault(name, []).append(self.count / seconds)

    def ratios(self) -> dict[str, float]:
        """oko's medians over rclip's."""
        medians = {name: statistics.median(values) for name, values in self.rates.items()}
        return {name: medians[name] / medians["rclip"] for name in medians if name != "rclip"}


def beside_rclip(args: argparse.Namespace, scratch: Path) -> None:
    """Both programs on the same weights and the same files."""
    home = args.keep or scratch
    small = 1000 if args.photos is None else args.photos
    wanted = (("500 px", SMALL, small), ("12 megapixels", LARGE, args.large_photos))
    contests = [contest(args.data, home, name, size, count) for name, size, count in wanted if count]
    rclip = make_rclip(args.rclip, args.peer, scratch / "rclip")
    programs = {
        "oko": make_oko(args.peer, scratch / "auto"),
        "oko, float32": make_oko(args.peer, scratch / "fp32", OKO_PRECISION="fp32"),
    }
    for _ in range(args.repeat):
        for each in contests:
            each.turn(rclip, programs)
    figures = {}
    for each in contests:
        print(f"{each.count} photos of {each.name}")
        for name, values in each.rates.items():
            print(f"  {name:<14}{statistics.median(values):8.1f} photos/s   (runs: {_list(values)})")
        for name, ratio in each.ratios().items():
            print(f"  {name} : rclip = {ratio:.2f}")
        figures[each.name] = {"photos": each.count, "photos_per_s": each.rates, "ratios": each.ratios()}
    print(describe())
    write(args.out or Path("benchmarks/results/index_rclip.json"), figures)


def contest(data: Path, home: Path, name: str, size: tuple[int, int], count: int) -> Contest:
    """The photos of one contest, made."""
    folder = home / f"{count}-of-{size[0]}x{size[1]}"
    return Contest(name, enlarged(data, folder, count=count, size=size), count)


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
