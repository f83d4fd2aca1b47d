"""Fits what is shipped with the vocabulary on captions of training photos: never on the development split.

usage: python -m benchmarks.tag_priors [--data ../shared/data] [--write]

- shares (library/vocabulary.toml): how often captions name a tag, drawn towards a rare default; corrected so that the
  threshold that follows from it is the one with the best F1 on the training photos, as far as enough of them have it;
  then moved a quarter of the way to the shares in a second, different set, so that they fit neither too closely;
- relations (library/tag_relations.json): ln(P(b | a) / P(b)) of tags in the captions of one photo, no model involved;
- OWN_BASE, OWN_SLOPE, BASE and SLOPE of search/tag.py, which are printed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.captions import truth
from benchmarks.tagging_data import load_album, others
from library.vocabulary import RELATIONS, SHIPPED, TagSpec, Vocabulary, shipped_vocabulary, toml_key
from search.calibration import calibrate, rarity
from search.tag import contrast, embed_prompts, evened, in_context, null_vector, prompts_of

# A tag that no caption names is expected on this part of all photos; counts as much as so many photos.
RARE, RARE_WEIGHT = 0.002, 1000
SECOND, SECOND_WEIGHT = "coco_human.tar", 0.25
# Thresholds lie that much lower than where F1 is best: a tag too many costs one click, a missing one is not seen.
LOWER = 0.2  # deviations
LEAST_POSITIVES = 20  # photos with a tag, for its own threshold to be fitted
DRAWN = 60  # so many photos with a tag count as much as the general rule
LEAST_RELATION, MOST_RELATIONS = 0.3, 24
NORMAL = NormalDist()


def shares_of(found: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The part of photos that have each tag, drawn towards RARE."""
    return np.asarray((found.sum(axis=0) + RARE * RARE_WEIGHT) / (len(found) + RARE_WEIGHT))


def odds(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """p / (1 - p)."""
    return shares / (1 - shares)


def relations(found: NDArray[np.bool_]) -> NDArray[np.float64]:
    """R[a, b] = ln(P(b | a) / P(b)), smoothed, drawn to 0 where a is rare; only what says something."""
    truths = found.astype(np.float64)
    n = truths.sum(axis=0)
    shares = n / len(truths)
    together = truths.T @ truths / np.maximum(n, 1)[:, None]
    matrix = np.log((together + 0.002) / (shares + 0.002)) * (n / (n + 20))[:, None]
    matrix[n < LEAST_POSITIVES] = 0
    matrix[:, n < LEAST_POSITIVES] = 0
    np.fill_diagonal(matrix, 0)
    matrix[np.abs(matrix) < LEAST_RELATION] = 0
    for row in matrix:
        row[np.argsort(-np.abs(row))[MOST_RELATIONS:]] = 0
    return np.round(matrix, 2)


def best_threshold(values: NDArray[Any], found: NDArray[np.bool_]) -> float:
    """Where F1 is best."""
    order = np.argsort(-values)
    hits = np.cumsum(found[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + found.sum())
    return float(values[order[f1.argmax()]])


@dataclass(frozen=True)
class Fit:
    """What came out."""

    base: float
    slope: float
    shares: NDArray[np.float64]


def fit(values: NDArray[Any], found: NDArray[np.bool_], shares: NDArray[np.float64]) -> Fit:
    """The rule from share to threshold, and shares with which it gives each tag's own, for deviations (n, L)."""
    n = found.sum(axis=0)
    enough = np.flatnonzero(n >= LEAST_POSITIVES)
    own = np.array([best_threshold(values[:, j], found[:, j]) for j in enough])
    rarities = np.array([rarity(float(share)) for share in shares])
    slope, base = np.polyfit(rarities[enough], own, 1)
    thresholds = base + slope * rarities
    weight = n[enough] / (n[enough] + DRAWN)
    thresholds[enough] += weight * (own - thresholds[enough])
    corrected = np.array([NORMAL.cdf(-(t - base) / slope) for t in thresholds])
    return Fit(float(base), float(slope), corrected)


def main() -> int:
    """Fit, print, and write with --write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--write", action="store_true", help="put shares and relations into the package")
    args = parser.parse_args()
    vocabulary = shipped_vocabulary()
    album = load_album(args.data, args.model, development=False)
    if album is None:
        print(f"skipped: there are no photos in {args.data}")
        return 0
    found = truth(album.captions, vocabulary.tags)
    second = truth([photo.captions for photo in others(args.data / SECOND)], vocabulary.tags)
    shares, elsewhere = shares_of(found), shares_of(second)
    matrix = relations(np.concatenate([found, second]))
    vectors = embed_prompts(album.encoder, [prompts_of(tag) for tag in vocabulary.tags])
    scores = album.vectors @ contrast(vectors, null_vector(vectors)).T
    mean, deviation = calibrate(scores)
    own = evened((scores - mean) / deviation)
    alone = fit(own, found, shares)
    print(f"OWN_BASE, OWN_SLOPE = {alone.base:.2f}, {alone.slope:.2f}")
    rarities = np.array([rarity(float(share)) for share in alone.shares], np.float32)
    result = fit(in_context(own, rarities, matrix.astype(np.float32)), found, alone.shares)
    mixed = (1 - SECOND_WEIGHT) * shares + SECOND_WEIGHT * elsewhere
    moved = odds(result.shares) * odds(mixed) / odds(shares)
    print(f"BASE, SLOPE = {result.base - LOWER:.2f}, {result.slope:.2f}")
    print(
        f"{len(found)} photos, {(found.sum(axis=0) >= LEAST_POSITIVES).sum()} tags with a threshold of their own"
    )
    if args.write:
        write(vocabulary, moved / (1 + moved), matrix)
    return 0


def write(vocabulary: Vocabulary, shares: NDArray[np.float64], matrix: NDArray[np.float64]) -> None:
    """Rewrite the two files of the package."""
    tags = [replace(tag, share=float(share)) for tag, share in zip(vocabulary.tags, shares, strict=True)]
    SHIPPED.write_text(vocabulary_toml(tags, SHIPPED.read_text(encoding="utf-8")), encoding="utf-8")
    names = vocabulary.names
    table = {
        names[a]: {names[b]: float(matrix[a, b]) for b in np.flatnonzero(matrix[a])}
        for a in range(len(names))
        if matrix[a].any()
    }
    lines = [f"{json.dumps(name)}: {json.dumps(others)}" for name, others in table.items()]
    RELATIONS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def vocabulary_toml(tags: list[TagSpec], before: str) -> str:
    """The vocabulary's file: the comment it began with, then the tags by group."""
    head = "".join(re.findall(r"\A(?:#.*\n)*", before))
    lines = [head.rstrip("\n")]
    group = None
    for tag in tags:
        if tag.group != group:
            group = tag.group
            lines += ["", f"[{toml_key(group)}]"]
        lines.append(f"{toml_key(tag.name)} = {{ {_fields(tag)} }}")
    return "\n".join(lines) + "\n"


def _fields(tag: TagSpec) -> str:
    parts = [f"share = {tag.share:.2g}"]
    for key, texts in (("implies", tag.implies), ("words", tag.words), ("prompts", tag.prompts)):
        if texts:
            parts.append(f"{key} = {json.dumps(list(texts), ensure_ascii=False)}")
    return ", ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
