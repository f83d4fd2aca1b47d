"""Photos per second of a whole indexing run, beside the plain loop that everyone writes first.

usage: python -m benchmarks.index [--data ../shared/data] [--photos 300] [--side 2048] [--repeat 3]

The photos are those of flickr8k.tar (or random ones if it is absent), enlarged to JPEGs of `--side` pixels.
Reference: open each file with Pillow in full, the model's own preprocessing, one batch at a time in float32,
nothing stored, with the same weights. Ours stores vectors, hashes, thumbnails and EXIF facts as well. Runs
alternate; medians are reported.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

import oko
from benchmarks.machine import describe, write

BATCH = 32


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--side", type=int, default=2048, help="longer side of the JPEGs, in pixels")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/index.json"))
    args = parser.parse_args()
    rates: dict[str, list[float]] = {"oko index": [], "plain loop": []}
    with tempfile.TemporaryDirectory(prefix="oko-bench-") as scratch:
        photos = Path(scratch, "photos")
        photos.mkdir()
        for number, picture in enumerate(islice(pictures(args.data / "flickr8k.tar"), args.photos)):
            picture.resize((args.side, args.side * 3 // 4), Image.Resampling.BICUBIC).save(
                photos / f"{number:05}.jpg", quality=90
            )
        for turn in range(args.repeat):
            rates["oko index"].append(ours(Path(scratch, f"library{turn}"), photos, args.model))
            rates["plain loop"].append(plain(photos, args.model))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["oko index"] / medians["plain loop"]
    for name, values in rates.items():
        print(f"{name:<12}{medians[name]:8.1f} photos/s   (runs: {', '.join(f'{v:.1f}' for v in values)})")
    print(
        f"oko index : plain loop = {ratio:.2f}   "
        f"({args.photos} JPEGs of {args.side} x {args.side * 3 // 4}, {describe()})"
    )
    write(args.out, {"photos": args.photos, "side_px": args.side, "photos_per_s": rates, "ratio": ratio})
    return 0


def pictures(shard: Path) -> Iterator[Image.Image]:
    """Real photos if the data are there, else noise of many scales."""
    if shard.is_file():
        with tarfile.open(shard) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name.endswith(".webp") else None
                if content is not None:
                    yield Image.open(io.BytesIO(content.read())).convert("RGB")
        return
    random = np.random.default_rng(0)
    while True:
        yield Image.fromarray(random.integers(0, 255, (56, 56, 3), np.uint8)).resize((224, 224))


def ours(folder: Path, photos: Path, model: str) -> float:
    """Photos per second of `Library.index`, without loading the model."""
    with oko.open_library(folder, model=model) as library:
        library.encoder.encode_texts(["warm up"])
        report = library.index([photos])
    return report.embedded / report.elapsed_s


def plain(photos: Path, model: str) -> float:
    """Photos per second of the plain loop."""
    with oko.open_library(photos.parent / "none", model=model, precision="fp32") as library:
        encoder = library.encoder
        encoder.encode_texts(["warm up"])
        started, files = time.perf_counter(), sorted(photos.iterdir())
        for start in range(0, len(files), BATCH):
            batch = [
                encoder.prepare(Image.open(file).convert("RGB")) for file in files[start : start + BATCH]
            ]
            encoder.encode_images(np.stack(batch))
        return len(files) / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
