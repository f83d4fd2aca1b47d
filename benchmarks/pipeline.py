"""How much of what its two stages allow an indexing run achieves: decoding and encoding, alone and together.

usage: python -m benchmarks.pipeline [--data ../shared/data] [--photos 600] [--side 500] [--peer FOLDER] [--repeat 3]

On a processor both stages share the cores, so that the most a run can do is 1 / (1/decode + 1/encode) photos a second;
beside an accelerator it is the lower of the two. Decoding is all that is done to a file before the model: reading,
hashing, decoding, thumbnail, perceptual hash, preparing. The run also writes to the catalog, which no stage counts.
Each stage has all cores to itself while it is measured. Without --peer the built-in model is taken.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

import oko
from benchmarks.machine import describe, write
from benchmarks.photos import enlarged
from benchmarks.rclip import make_oko
from indexer.decode import Decoder, Prepared
from indexer.scan import Rules, Scan
from library.encoder import Encoder
from library.records import FileStamp
from oko.assemble import decode_limits, decode_workers

BATCH = 32


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--side", type=int, default=500, help="longer side of the JPEGs, in pixels")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peer", type=Path, help="a folder with the weights of ViT-B-32-256")
    parser.add_argument("--keep", type=Path, help="make the photos here, and leave them")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pipeline.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oko-bench-") as scratch:
        size = (args.side, args.side * 3 // 4)
        folder = (args.keep or Path(scratch)) / f"{args.photos}-of-{size[0]}x{size[1]}"
        photos = enlarged(args.data, folder, count=args.photos, size=size)
        rates = measured(Path(scratch), photos, args)
    report(rates, args)
    return 0


def measured(scratch: Path, photos: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """Photos per second of each stage and of the run, taking turns."""
    rates: dict[str, list[float]] = {"decode": [], "encode": [], "run": []}
    for turn in range(args.repeat):
        library = scratch / f"library{turn}"
        if args.peer:
            make_oko(args.peer, library)
        with oko.open_library(library, model="peer" if args.peer else "builtin") as opened:
            stamps = list(Scan(photos, Rules()).stamps())
            decoder = Decoder(
                photos, decode_limits(opened.config, opened.encoder), frozenset(), opened.encoder.prepare
            )
            batch = [made for made in map(decoder, stamps[:BATCH]) if isinstance(made, Prepared)]
            pixels = np.stack([made.pixels for made in batch])
            opened.encoder.encode_images(pixels)
            stages: dict[str, Callable[[], int]] = {
                "decode": partial(decode_all, decoder, stamps, decode_workers(opened.config)),
                "encode": partial(encode_all, opened.encoder, pixels, len(stamps)),
                "run": lambda opened=opened: opened.index([photos]).embedded,  # type: ignore[misc]
            }
            for name, stage in stages.items():
                started = time.perf_counter()
                rates[name].append(stage() / (time.perf_counter() - started))
    return rates


def decode_all(decoder: Decoder, stamps: list[FileStamp], workers: int) -> int:
    """Every file, with as many threads as a run has; nothing is kept."""
    with ThreadPoolExecutor(workers) as pool:
        return sum(1 for _ in pool.map(lambda stamp: isinstance(decoder(stamp), Prepared), stamps))


def encode_all(
    encoder: Encoder, pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]], count: int
) -> int:
    """The same batch again and again, for about as many photos."""
    batches = max(1, count // len(pixels))
    for _ in range(batches):
        encoder.encode_images(pixels)
    return batches * len(pixels)


def report(rates: dict[str, list[float]], args: argparse.Namespace) -> None:
    """Prints the medians and what share of the possible the run achieved."""
    import torch

    medians = {name: statistics.median(values) for name, values in rates.items()}
    shared = not torch.cuda.is_available() and not torch.backends.mps.is_available()
    decode, encode = medians["decode"], medians["encode"]
    possible = 1 / (1 / decode + 1 / encode) if shared else min(decode, encode)
    for name, values in rates.items():
        print(f"{name:<8}{medians[name]:8.1f} photos/s   (runs: {', '.join(f'{v:.1f}' for v in values)})")
    print(f"possible{possible:8.1f} photos/s; efficiency {medians['run'] / possible:.2f}")
    print(f"({args.photos} JPEGs of {args.side} x {args.side * 3 // 4}, {describe()})")
    figures = {"photos": args.photos, "side_px": args.side, "photos_per_s": rates}
    write(args.out, {**figures, "possible_per_s": possible, "efficiency": medians["run"] / possible})


if __name__ == "__main__":
    sys.exit(main())
