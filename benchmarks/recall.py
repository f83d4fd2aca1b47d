"""Text -> image recall@1/5/10 through the real index and search path, beside a plain matrix product.

usage: python -m benchmarks.recall [--data ../shared/data] [--model builtin] [--captions 1000]

The data are WebDataset tar shards; the photos measured are those of flickr8k.tar whose
int(sha256(key), 16) % 10 == 0. They are held out from now on, but the present built-in model is a prototype
that has seen them: of that model the figures say only that index and search lose nothing.
Every caption is one query; it counts as answered at k when its photo is among the k best.
Reference: numpy, all cosines, one stable sort.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

import oko
from benchmarks.machine import write

KS = (1, 5, 10)
SHARD = "flickr8k.tar"
MODELS_THAT_SAW_THE_PHOTOS = ("builtin",)
TRANSLATIONS = "text/development_en_de_fr_cs.json"
LANGUAGES = {"cs": "Czech", "de": "German", "fr": "French"}


def main() -> int:
    """Run the benchmark; returns the exit code (0 also when the data are absent, which is said)."""
    args = arguments()
    shard = args.data / SHARD
    if not shard.is_file():
        print(f"skipped: there is no {shard} (--data names the folder)")
        return 0
    with tempfile.TemporaryDirectory(prefix="oko-recall-") as scratch:
        photos = Path(scratch, "photos")
        queries = {"English": list(unpack(shard, photos))}
        queries |= translated(args.data / TRANSLATIONS, {key for key, _ in queries["English"]})
        with oko.open_library(Path(scratch, "library"), model=args.model) as library:
            report = library.index([photos])
            rate = report.embedded / report.embed_s
            print(f"{report.embedded} photos indexed at {rate:.0f} photos/s by {library.encoder.stamp.name}")
            reference = plain_vectors(library, photos)
            figures = {
                name: measure(library, reference, pairs[: args.captions]) for name, pairs in queries.items()
            }
    print_table(figures)
    if args.model in MODELS_THAT_SAW_THE_PHOTOS:
        print(f"{args.model} was trained on these photos: its recall here is no measure of its quality.")
    write(args.out, {"model": args.model, "photos": report.embedded, "recall": figures})
    return 0 if all(row["same_top_10"] >= 0.99 for row in figures.values()) else 1


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--captions", type=int, help="at most so many queries a language (default: all)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/recall.json"))
    return parser.parse_args()


def is_held_out(key: str) -> bool:
    """Whether a photo belongs to the development split."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % 10 == 0


def unpack(shard: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Write the held-out photos to a folder; yields (key, caption)."""
    folder.mkdir(parents=True)
    with tarfile.open(shard) as tar:
        for member in tar:
            key, _, suffix = member.name.partition(".")
            content = tar.extractfile(member)
            if content is None or not is_held_out(key):
                continue
            if suffix == "json":
                yield from ((key, caption) for caption in json.load(content)["captions"])
            else:
                (folder / f"{key}.{suffix}").write_bytes(content.read())


def translated(file: Path, keys: set[str]) -> dict[str, list[tuple[str, str]]]:
    """(key, caption) pairs by language, of photos that are measured."""
    if not file.is_file():
        return {}
    rows = [row for row in json.loads(file.read_text(encoding="utf-8")) if row["key"] in keys]
    return {name: [(row["key"], row[code]) for row in rows] for code, name in LANGUAGES.items()}


def measure(
    library: Any, reference: tuple[list[str], np.ndarray], pairs: list[tuple[str, str]]
) -> dict[str, float]:
    """Recall through the library and through numpy, and how often both give the same ten photos."""
    keys, matrix = reference
    texts = np.concatenate([library.encoder.encode_texts([caption]) for _, caption in pairs])
    plain = np.argsort(-(texts @ matrix.T), axis=1, kind="stable")[:, : max(KS)]
    hits = dict.fromkeys(KS, 0)
    plain_hits = dict.fromkeys(KS, 0)
    same, started = 0.0, time.perf_counter()
    for (key, caption), row in track(
        list(zip(pairs, plain, strict=True)), "Searching", console=Console(stderr=True), transient=True
    ):
        found = [result.path.stem for result in library.search(caption, top=max(KS))]
        expected = [keys[i] for i in row]
        same += len(set(found) & set(expected)) / max(KS)
        for k in KS:
            hits[k] += key in found[:k]
            plain_hits[k] += key in expected[:k]
    query_ms = 1000 * (time.perf_counter() - started) / len(pairs)
    n = len(pairs)
    return {
        "queries": n,
        **{f"recall_at_{k}": hits[k] / n for k in KS},
        **{f"plain_recall_at_{k}": plain_hits[k] / n for k in KS},
        "same_top_10": same / n,
        "query_ms": query_ms,
    }


def plain_vectors(library: Any, photos: Path) -> tuple[list[str], np.ndarray]:
    """The photos' keys and vectors (n, D), embedded here without the index."""
    files = sorted(photos.iterdir())
    parts = []
    for start in range(0, len(files), 32):
        batch = [
            library.encoder.prepare(Image.open(file).convert("RGB")) for file in files[start : start + 32]
        ]
        parts.append(library.encoder.encode_images(np.stack(batch)))
    return [file.stem for file in files], np.concatenate(parts)


def print_table(figures: dict[str, dict[str, float]]) -> None:
    """The figures for people, in percent."""
    ranks = "".join(f"{f'R@{k}':>8}" for k in KS)
    print(f"{'':<10}{'queries':>8}{ranks}   plain:{ranks}{'same top 10':>14}{'ms a query':>12}")
    for name, row in figures.items():
        ours = "".join(f"{100 * row[f'recall_at_{k}']:>8.1f}" for k in KS)
        plain = "".join(f"{100 * row[f'plain_recall_at_{k}']:>8.1f}" for k in KS)
        same = 100 * row["same_top_10"]
        print(f"{name:<10}{row['queries']:>8.0f}{ours}         {plain}{same:>13.1f}%{row['query_ms']:>12.1f}")


if __name__ == "__main__":
    sys.exit(main())
