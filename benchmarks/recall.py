"""Caption -> photo and photo -> caption recall@1/5/10 in each language, and whether index and search lose any of it.

usage: python -m benchmarks.recall [MODEL...] [--data ../shared/data] [--captions 1000]

A MODEL is a registered name (default: builtin), a folder with open_clip_config.json and weights, or the weights
file in such a folder. The photos are the held-out ones of flickr8k.tar (training.splits.is_held_out). The first
built-in model has seen them: of it the figures say only that index and search lose nothing.
Every caption is one query; it counts as answered at k when its photo is among the k best, and a photo when any of its
captions is. "through search" is the same caption -> photo recall through the real index and `Library.search`;
reference: numpy, all photos ranked as docs/relevance.md says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

import oko
from benchmarks.contenders import Contender, names_of, spec_of
from benchmarks.machine import write
from benchmarks.measured import View, World
from library.models import Registry
from search.relevance import Judge, null_texts
from search.words import quoted
from training.evaluate import retrieval, top

KS = (1, 5, 10)
LEAST_SAME = 0.99
_ADDED = "measured"


def main() -> int:
    """Run the benchmark; returns the exit code (0 also when the data are absent, which is said)."""
    args = arguments()
    world = World(args.data)
    if not world.photos:
        print(f"skipped: there are no development photos in {args.data} (--data names the folder)")
        return 0
    results = {}
    with tempfile.TemporaryDirectory(prefix="oko-recall-") as scratch:
        photos = Path(scratch, "photos")
        photos.mkdir()
        for photo in world.photos:
            (photos / f"{photo.key}.webp").write_bytes(photo.content)
        for number, (model, name) in enumerate(zip(args.models, names_of(args.models), strict=True)):
            folder = Path(scratch, f"library{number}")
            registered = register(model, name, folder)
            with oko.open_library(folder, model=registered) as library:
                results[name] = measure(world, library, photos, name, args.captions)
    write(args.out, {"models": results})
    rows = [row for result in results.values() for row in result["recall"].values()]
    return 0 if all(row["same_top_10"] >= LEAST_SAME for row in rows) else 1


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=["builtin"], metavar="MODEL", help="default: builtin")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--captions", type=int, help="at most so many queries a language (default: all)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/recall.json"))
    return parser.parse_args()


def register(model: str, name: str, library: Path) -> str:
    """The name under which the library knows the model; a folder or file is added to it first."""
    spec = spec_of(model, name, library.with_name(f"{library.name}-models"))
    if spec.source != "local" or spec.weights is None:
        return model
    library.mkdir()
    return Registry(library).add(_ADDED, arch="measured", weights=spec.weights).name


def measure(world: World, library: Any, photos: Path, name: str, captions: int | None) -> dict[str, Any]:
    """Index, then all languages both ways; printed and returned."""
    report = library.index([photos])
    rate = report.embedded / report.embed_s
    print(f"{name}: {report.embedded} photos indexed at {rate:.0f} photos/s")
    view = View(world, Contender(name, library.encoder))
    queries = {"English": world.captions, **world.by_language}
    figures = {language: both_ways(view, library, pairs[:captions]) for language, pairs in queries.items()}
    print_table(figures)
    if view.contender.saw_the_photos:
        print(f"{name} was trained on these photos: its recall here is no measure of its quality.")
    return {
        "photos": report.embedded,
        "saw_the_photos": view.contender.saw_the_photos,
        "recall": figures,
    }


def both_ways(view: View, library: Any, pairs: Sequence[tuple[int, str]]) -> dict[str, float]:
    """Recall from the vectors, both ways, and through index and search; and how often both give the same ten."""
    rows, captions = zip(*pairs, strict=True)
    texts = view.texts(captions)
    judge = Judge(view.texts(null_texts()), view.photos, len(view.photos))
    expected = top(np.stack([judge.direction(text) for text in texts]), view.photos, max(KS))
    hits, same, started = dict.fromkeys(KS, 0), 0.0, time.perf_counter()
    progress = track(
        list(zip(rows, captions, expected, strict=True)),
        "Searching",
        console=Console(stderr=True),
        transient=True,
    )
    keys = [photo.key for photo in view.world.photos]
    for row, caption, plain in progress:
        found = [result.path.stem for result in library.search(quoted(caption), top=max(KS), everything=True)]
        same += len(set(found) & {keys[i] for i in plain}) / max(KS)
        for k in KS:
            hits[k] += keys[row] in found[:k]
    query_ms = 1000 * (time.perf_counter() - started) / len(pairs)
    plain_shares = retrieval(texts, view.photos, rows, KS)
    return {
        "queries": len(pairs),
        **{
            f"{way}_recall_at_{k}": share
            for way, shares in plain_shares.items()
            for k, share in shares.items()
        },
        **{f"search_recall_at_{k}": hits[k] / len(pairs) for k in KS},
        "same_top_10": same / len(pairs),
        "query_ms": query_ms,
    }


def print_table(figures: dict[str, dict[str, float]]) -> None:
    """The figures for people, in percent."""
    ways = ("text_to_image", "image_to_text", "search")
    heads = ("text -> photo", "photo -> text", "text -> photo, through search")
    print(f"{'':<18}" + "".join(f"{head:^{8 * len(KS) + 8}}" for head in heads))
    ranks = "".join(f"{f'R@{k}':>8}" for k in KS) + " " * 8
    print(f"{'':<10}{'queries':>8}{ranks * len(ways)}{'same top 10':>12}{'ms a query':>12}")
    for name, row in figures.items():
        cells = "".join(
            "".join(f"{100 * row[f'{way}_recall_at_{k}']:>8.1f}" for k in KS) + " " * 8 for way in ways
        )
        print(
            f"{name:<10}{row['queries']:>8.0f}{cells}{100 * row['same_top_10']:>11.1f}%{row['query_ms']:>12.1f}"
        )


if __name__ == "__main__":
    sys.exit(main())
