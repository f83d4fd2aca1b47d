"""A second run over a folder where nothing has changed, beside rclip's.

usage: python -m benchmarks.rescan --rclip PROGRAM --peer FOLDER [--files 100000] [--repeat 3]

Indexing so many files with a ViT would take hours, and what is measured here does not depend on it: the files are tiny
JPEGs, and both catalogs are filled with the rows that the programs would have written themselves (oko's through its
store, rclip's into its one table), the vectors random. Then both programs are run as their users run them, from a
cold start to the end of the command, and have to find that there is nothing to do. rclip's run ends with a search,
whose time is measured alone and taken off. Without --rclip only oko is measured.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import sqlite3
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import oko
from benchmarks.machine import describe, write
from benchmarks.rclip import DATABASE, Oko, Rclip, make_oko, make_rclip
from indexer.scan import Rules, Scan
from library.catalog.reading import chunked
from library.records import FileStamp, ImageFacts, NewPhoto
from library.store import Store

A_FOLDER = 1000
BATCH = 1000


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rclip", help="rclip's program, installed in an environment of its own")
    parser.add_argument("--peer", type=Path, help="the folder with the weights for both")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/rescan.json"))
    args = parser.parse_args()
    if args.rclip and not args.peer:
        parser.error("--rclip needs --peer")
    with tempfile.TemporaryDirectory(prefix="oko-bench-") as scratch:
        seconds = measured(Path(scratch), args)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(f"{name:<8}{medians[name]:8.2f} s   (runs: {', '.join(f'{v:.2f}' for v in values)})")
    ratio = medians["rclip"] / medians["oko"] if "rclip" in medians else None
    print(f"{args.files:,} unchanged files, {describe()}" + (f"; rclip : oko = {ratio:.2f}" if ratio else ""))
    write(args.out, {"files": args.files, "seconds": seconds, "ratio": ratio})
    return 0


def measured(scratch: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each program's second run, taking turns."""
    photos = make_files(scratch / "photos", args.files)
    model = "peer" if args.peer else "builtin"
    program = make_oko(args.peer, scratch / "library") if args.peer else Oko(scratch / "library", {})
    fill_oko(scratch / "library", photos, model)
    rclip: Rclip | None = None
    if args.rclip:
        rclip = make_rclip(args.rclip, args.peer, scratch / "rclip")
        rclip.search(photos)  # makes its table
        fill_rclip(scratch / "rclip" / DATABASE, photos)
    seconds: dict[str, list[float]] = {"oko": []}
    for _ in range(args.repeat):
        seconds["oko"].append(program.run("index", photos, "--model", model))
        if rclip is not None:
            whole_s = rclip.index(photos)
            seconds.setdefault("rclip", []).append(whole_s - (rclip.search(photos) - rclip.start()))
    with oko.open_library(scratch / "library", model=model) as library:
        again = library.index([photos])
    assert (again.unchanged, again.embedded) == (args.files, 0), "the rows were not those that oko writes"
    return seconds


def make_files(folder: Path, count: int) -> Path:
    """So many small JPEGs, a thousand a folder."""
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // A_FOLDER:04}" / f"{number:07}.jpg"
        if number % A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        content = io.BytesIO()
        Image.fromarray(random.integers(0, 255, (16, 16, 3), np.uint8)).save(content, "JPEG")
        path.write_bytes(content.getvalue())
    return folder


def fill_oko(folder: Path, photos: Path, model: str) -> None:
    """The rows of a first run over the files."""
    with oko.open_library(folder, model=model) as library:
        stamp = library.encoder.stamp
        library.encoder.encode_texts(["a dog"])
    random = np.random.default_rng(1)
    with Store.open_writer(folder, purpose="benchmark", timeout_s=10, create=True) as store:
        model_id, root = store.use_model(stamp), store.add_root(photos)
        for stamps in chunked(Scan(photos, Rules()).stamps(), BATCH):
            vectors = random.normal(size=(len(stamps), stamp.dim)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            store.add(root.id, model_id, [_photo(s, v) for s, v in zip(stamps, vectors, strict=True)])
        store.save_index(model_id, stamp.dim)


def _photo(stamp: FileStamp, vector: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> NewPhoto:
    facts = ImageFacts(width=16, height=16, format="JPEG")
    return NewPhoto(stamp, hashlib.sha256(stamp.path).digest(), facts, 0, b"RIFF", vector)


def fill_rclip(database: Path, photos: Path) -> None:
    """The rows that rclip 3.3 writes: absolute path, time in seconds, size, vector, hash."""
    random = np.random.default_rng(1)
    columns = "deleted, indexing, filepath, modified_at, size, vector, hash"
    with sqlite3.connect(database) as connection:
        for path in sorted(photos.rglob("*.jpg")):
            status = os.stat(path)
            vector = random.normal(size=512).astype(np.float32)
            vector /= np.linalg.norm(vector)
            digest = hashlib.sha256(os.fsencode(path)).hexdigest()
            row = (None, None, str(path), status.st_mtime, status.st_size, vector.tobytes(), digest)
            connection.execute(f"INSERT INTO images({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
