"""Precision and recall of suggested tags on the development photos, and what it depends on.

usage: python -m benchmarks.tags [--data ../shared/data] [--model builtin]

A tag is true of a photo when at least two of its captions name it; precision and recall are averaged over the tags
that are true of at least five photos. What was fitted (shares, relations, the rule for thresholds) was fitted on
other photos. References in the same run: one flat threshold on the cosine, the best that there is for these photos
and their truth; and for each tag by itself the threshold with the best F1 on these photos.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.captions import truth
from benchmarks.machine import write
from benchmarks.tagging_data import Album, load_album
from library.vocabulary import Vocabulary, shipped_vocabulary
from search.calibration import calibrate
from search.learned import Examples, learn
from search.tag import MOST_TAGS, Scorer, choose, contrast, embed_prompts, null_vector, prompts_of

LEAST_TRUE = 5
MODELS_THAT_SAW_THE_PHOTOS = ("builtin",)
AIM = (0.45, 0.50, 8)
Truth = NDArray[np.bool_]


def main() -> int:
    """Run the benchmark; returns the exit code (0 also when the data are absent, which is said)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/tags.json"))
    args = parser.parse_args()
    album = load_album(args.data, args.model, development=True)
    if album is None:
        print(f"skipped: there are no photos in {args.data} (--data names the folder)")
        return 0
    vocabulary = shipped_vocabulary()
    found = truth(album.captions, vocabulary.tags)
    figures = measure(album, vocabulary, found)
    print_table(figures)
    others = load_album(args.data, args.model, development=False)
    gains = {} if others is None else learning(album, others, vocabulary, found)
    for n, (before, after, f1_before, f1_after) in gains.items():
        print(
            f"{n} decisions a tag, on photos that it was suggested for: average precision {before:.3f} -> {after:.3f}, "
            f"F1 {f1_before:.3f} -> {f1_after:.3f}"
        )
    if args.model in MODELS_THAT_SAW_THE_PHOTOS:
        print(f"The first {args.model} had these photos in its training: its figures may flatter it.")
    write(args.out, {"model": args.model, "photos": len(found), "tags": figures, "learning": gains})
    return 0


def measure(album: Album, vocabulary: Vocabulary, found: Truth) -> dict[str, dict[str, float]]:
    """Every row of the table."""
    vectors = embed_prompts(album.encoder, [prompts_of(tag) for tag in vocabulary.tags])
    null = null_vector(vectors)
    scores = album.vectors @ contrast(vectors, null).T

    def scorer(numbers: NDArray[np.float32]) -> Scorer:
        return Scorer(vocabulary, vectors, null, numbers)

    logits = scorer(calibrate(scores)).logits(album.vectors)
    started = time.perf_counter()
    repeated = np.repeat(album.vectors, 20_000 // len(album.vectors) + 1, axis=0)[:20_000]
    trial = scorer(calibrate(scores))
    for at in range(0, len(repeated), 500):
        choose(trial.logits(repeated[at : at + 500]), least=0.5)
    rate = len(repeated) / (time.perf_counter() - started)
    rows = {
        "tags as suggested": rates(suggested(logits), found),
        "one flat cosine threshold, the best for these photos": flat(album.vectors @ vectors.T, found),
        "each tag's best threshold for these photos": rates(oracle(logits, found), found),
    }
    for n in (10, 30, 100):
        parts = []
        for start in range(0, len(scores), n):
            part = slice(start, start + n)
            parts.append(scorer(calibrate(scores[part])).logits(album.vectors[part]))
        rows[f"as suggested in libraries of {n} photos"] = rates(suggested(np.concatenate(parts)), found)
    dogs = found[:, vocabulary.names.index("dog")]
    alone = suggested(scorer(calibrate(scores[dogs])).logits(album.vectors[dogs]))
    rows["as suggested in a library of dogs alone"] = rates(alone, found[dogs])
    share = float(alone[:, vocabulary.names.index("dog")].mean())
    print(f"{rate:,.0f} photos/s scored from vectors; in a library of dogs {share:.0%} are called dog")
    return rows


def learning(
    album: Album, others: Album, vocabulary: Vocabulary, found: Truth
) -> dict[str, tuple[float, float, float, float]]:
    """What decisions on other photos gain on these: means over tags of (AP before, after, F1 before, after)."""
    vectors = embed_prompts(album.encoder, [prompts_of(tag) for tag in vocabulary.tags])
    null = null_vector(vectors)
    order = np.random.default_rng(0).permutation(len(others.vectors))[:2_000]
    library = others.vectors[order]
    true_there = truth([others.captions[row] for row in order], vocabulary.tags)
    there, here = (
        Scorer(vocabulary, vectors, null, calibrate(v @ contrast(vectors, null).T)).logits(v)
        for v in (library, album.vectors)
    )
    gains = {}
    for n in (10, 50):
        rows = []
        for j in np.flatnonzero(found.sum(axis=0) >= LEAST_TRUE):
            best = np.argsort(-there[:1_000, j])[: max(int((there[:1_000, j] >= 0).sum()), n)]
            decided = np.random.default_rng(j).permutation(best)[:n]
            model = learn(
                Examples(library[decided], there[decided, j], true_there[decided, j]),
                Examples(library[1_000:], there[1_000:, j], np.zeros(len(library) - 1_000, bool)),
            )
            after = model.logits(album.vectors, here[:, j])
            rows.append([f(v, found[:, j]) for f in (average_precision, f1) for v in (here[:, j], after)])
        gains[str(n)] = tuple(float(mean) for mean in np.mean(rows, axis=0))
    return gains


def average_precision(values: NDArray[np.float32], true: NDArray[np.bool_]) -> float:
    """The mean over true photos of the precision down to each."""
    ordered = true[np.argsort(-values)]
    return float((np.cumsum(ordered) / np.arange(1, len(ordered) + 1))[ordered].mean())


def f1(logits: NDArray[np.float32], true: NDArray[np.bool_]) -> float:
    """F1 of what would be suggested."""
    chosen = logits >= 0
    return float(2 * (chosen & true).sum() / max(chosen.sum() + true.sum(), 1))


def suggested(logits: NDArray[np.float32]) -> Truth:
    """(photos, tags): what would be suggested."""
    result = np.zeros(logits.shape, bool)
    for row, tags in enumerate(choose(logits, least=0.5)):
        result[row, [position for position, _ in tags]] = True
    assert result.sum(axis=1).max(initial=0) <= MOST_TAGS
    return result


def rates(chosen: Truth, found: Truth) -> dict[str, float]:
    """Precision and recall averaged over tags that occur, and the suggestions a photo."""
    occur = found.sum(axis=0) >= LEAST_TRUE
    hits = (chosen & found).sum(axis=0)
    each = chosen.sum(axis=1)
    return {
        "tags": int(occur.sum()),
        "precision": float((hits / np.maximum(chosen.sum(axis=0), 1))[occur].mean()),
        "recall": float((hits / np.maximum(found.sum(axis=0), 1))[occur].mean()),
        "median_suggestions": float(np.median(each)),
        "mean_suggestions": float(each.mean()),
    }


def flat(cosines: NDArray[np.float32], found: Truth) -> dict[str, float]:
    """One threshold for all: that with a recall of at least the aim and the best precision, or the best F1."""
    tried = [rates(cosines >= t, found) for t in np.quantile(cosines, np.linspace(0.98, 0.9999, 60))]
    enough = [row for row in tried if row["recall"] >= AIM[1]]
    return max(enough or tried, key=lambda row: row["precision"])


def oracle(logits: NDArray[np.float32], found: Truth) -> Truth:
    """Each tag that occurs with the threshold whose F1 is best on these photos; the others as suggested."""
    result = suggested(logits)
    for j in np.flatnonzero(found.sum(axis=0) >= LEAST_TRUE):
        order = np.argsort(-logits[:, j])
        hits = np.cumsum(found[order, j])
        best = (2 * hits / (np.arange(1, len(order) + 1) + found[:, j].sum())).argmax()
        result[:, j] = logits[:, j] >= logits[order[best], j]
    return result


def print_table(figures: dict[str, Any]) -> None:
    """The figures for people."""
    print(f"{'':<54}{'tags':>5}{'precision':>11}{'recall':>8}{'median':>8}{'mean':>6}")
    for name, row in figures.items():
        print(
            f"{name:<54}{row['tags']:>5}{row['precision']:>11.3f}{row['recall']:>8.3f}"
            f"{row['median_suggestions']:>8.0f}{row['mean_suggestions']:>6.1f}"
        )
    print(f"aim: precision {AIM[0]} at recall {AIM[1]}, at most {AIM[2]} suggestions a photo (median)")


if __name__ == "__main__":
    sys.exit(main())
