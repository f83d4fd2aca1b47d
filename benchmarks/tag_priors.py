"""Fits what is shipped with the vocabulary, for whatever model is built in.

usage: python -m benchmarks.tag_priors [--data ../shared/data] [--write]

On photos that are not held out, with the captions that people gave them:
- relations (library/tag_relations.json): for each tag that enough photos have, how far the deviations of all tags speak
  for it (ridge regression). Photos of single objects on plain ground belong to it: without them a tag that most
  photos of people have is taken for granted everywhere;
- thresholds: where F1 is best, for scores that the photo itself had no part in (fourfold cross-fitting, as the model
  knows these photos and the relations would, too); `base` and `slope` are the rule from share to threshold, and shares
  (library/vocabulary.toml) are corrected so that a tag's own threshold follows, as far as enough photos have it.
On captions alone: the shares of all other tags.
On the development photos, which the model has not seen: two numbers, `lower` (unseen photos score less) and
`steepness`; benchmarks/tags.py measures what they are worth on photos that they were not fitted on.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

import search.tag
from benchmarks.captions import counts
from benchmarks.tagging_data import (
    F32,
    Album,
    command_line,
    load_album,
    lone_captions,
    model_for,
    tag_vectors,
)
from library.vocabulary import (
    RELATIONS,
    SHIPPED,
    Relations,
    TagSpec,
    Vocabulary,
    shipped_vocabulary,
    toml_key,
)
from search.calibration import calibrate, rarity
from search.tag import FITTED, Rule, Scorer, contrast, evened, null_vector

# Other kinds of photos that the relations are fitted on, beside those that the tags were counted in.
OTHER_KINDS = ("coco_human.tar", "caltech101.tar")
LEAST_TOLD = 20  # photos with a tag, for others to tell of it and for a threshold of its own
LEAST_SEEN = 5  # photos with a tag, for it to tell of others
RIDGE = (
    1_000.0  # photos' worth of deviations; 300 and 3,000 are as good within 0.005 of mean average precision
)
PARTS = 4
# A tag's own deviation counts that much beside what all tell of it (both with a deviation of 1). The built-in model is
# as good without; another model with these relations had a precision of 0.485 at a recall of 0.5 with 0.5 of it and
# 0.422 without (0.456 without relations). The more of it, the more people are seen in photos of things.
OWN = 0.2
# The thresholds of common tags are drawn up and those of rare ones down, about their mean, to this part of the slope:
# "person" is then suggested for 0.7 % of photos of things and not 1.8 %, and at equal recall
# precision stays within 0.01.
FLATTER = 0.8
DRAWN = 30  # so many photos with a tag count as much as the general rule
# A tag that no caption names is expected on this part of all photos; counts as much as so many photos.
RARE, RARE_WEIGHT = 0.002, 5_000
CAPTIONS_A_PHOTO = 5
RECALL = 0.515  # that `lower` is chosen for: the aim, and a little for chance
LEAST_TRUE = 5  # development photos, for a tag to count
STEPS = 14
NEAR = 3.0  # deviations from the threshold; what is far from it has nothing to say about it
NORMAL = NormalDist()
Truth = NDArray[np.bool_]
F64 = NDArray[np.float64]


def main() -> int:
    """Fit, print, and write with --write."""
    parser = command_line(__doc__)
    parser.add_argument("--write", action="store_true", help="put everything into the package")
    args = parser.parse_args()
    vocabulary, encoder = shipped_vocabulary(), model_for(args.model)
    album = load_album(args.data, encoder, development=False)
    development = load_album(args.data, encoder, development=True)
    if album is None or development is None:
        print(f"skipped: there are no photos in {args.data}")
        return 0
    vectors = tag_vectors(encoder, vocabulary)
    kinds = [load_album(args.data, encoder, shard=shard, development=False) for shard in OTHER_KINDS]
    fitted, rule = fit_on_known(
        vocabulary, vectors, [album, *(kind for kind in kinds if kind)], lone_captions(args.data)
    )
    rule = fit_on_unseen(Trial(fitted, vectors, development.vectors), development.truth(vocabulary), rule)
    told = fitted.related.told
    print(f"{len(album.vectors)} photos; {len(fitted.related.seen)} tags tell of {len(told)}")
    print(rule)
    if args.write:
        write(fitted, rule)
    return 0


def fit_on_known(
    vocabulary: Vocabulary, vectors: F32, albums: Sequence[Album], captions: Sequence[str]
) -> tuple[Vocabulary, Rule]:
    """Relations, shares and thresholds, from photos that the model may know; the first album's are counted.

    `captions` belong to other photos, which are not here.
    """
    found = [album.truth(vocabulary) for album in albums]
    values = [deviations(vectors, album.vectors) for album in albums]
    positives = found[0].sum(axis=0)
    seen, told = (np.flatnonzero(positives >= least) for least in (LEAST_SEEN, LEAST_TOLD))
    own = OWN * (seen[:, None] == told)
    weights, scores = relations([v[:, seen] for v in values], [t[:, told] for t in found], own)
    there = found[0][:, told]
    shares = shares_of(found[0], counts(captions, vocabulary.tags), len(captions))
    rarities = np.array([rarity(float(share)) for share in shares])
    best = np.array([best_threshold(scores[:, k], there[:, k]) for k in range(len(told))])
    slope, base = np.polyfit(rarities[told], best, 1)
    weight = positives[told] / (positives[told] + DRAWN)
    drawn = base + slope * rarities[told] + weight * (best - base - slope * rarities[told])
    shares[told] = [NORMAL.cdf(-(threshold - base) / slope) for threshold in drawn]
    plain = np.array([best_threshold(values[0][:, j], found[0][:, j]) for j in told])
    own_slope, own_base = np.polyfit(rarities[told], plain, 1)
    names = vocabulary.names
    related = Relations(
        tuple(names[j] for j in seen),
        tuple(names[j] for j in told),
        (np.round(weights * 1000) / 1000).astype(np.float32),
    )
    tags = tuple(replace(tag, share=float(s)) for tag, s in zip(vocabulary.tags, shares, strict=True))
    base += (1 - FLATTER) * slope * np.mean([rarity(float(share)) for share in shares[told]])
    rule = replace(FITTED, base=base, slope=FLATTER * slope, own_base=own_base, own_slope=own_slope)
    return replace(vocabulary, tags=tags, related=related), rule


def deviations(vectors: F32, photos: F32) -> F32:
    """What `search.tag.Scorer` starts from: the deviations (n, L) of photos in a library of their own."""
    scores = photos @ contrast(vectors, null_vector(vectors)).T
    mean, deviation = calibrate(scores)
    return evened((scores - mean) / deviation)


def relations(values: Sequence[F32], found: Sequence[Truth], own: F64) -> tuple[F64, F64]:
    """Weights (S, K) from deviations (n, S) to truth (n, K), and scores (n, K) of the first album's photos.

    `own` (S, K) is added to the weights.

    The scores of a photo come from weights that were fitted without it, and have a deviation of 1.
    """
    share = found[0].mean(axis=0)
    part = np.random.default_rng(0).permutation(len(values[0])) % PARTS
    cut = [(values[0][part == p], found[0][part == p]) for p in range(PARTS)]
    sums = [_sums(v, t - share) for v, t in (*cut, *zip(values[1:], found[1:], strict=True))]
    whole = _ridge(sums)
    spread = (values[0] @ whole).std(axis=0)
    whole = whole / spread + own
    norm = (values[0] @ whole).std(axis=0)
    scores = np.zeros(found[0].shape)
    for p in range(PARTS):
        weights = (_ridge(sums[:p] + sums[p + 1 :]) / spread + own) / norm
        scores[part == p] = cut[p][0] @ weights
    return whole / norm, scores


def _sums(values: F32, targets: F64) -> tuple[F64, F64]:
    wide = values.astype(np.float64)
    return wide.T @ wide, wide.T @ targets


def _ridge(sums: Sequence[tuple[F64, F64]]) -> F64:
    squares, products = (np.sum([each[i] for each in sums], axis=0) for i in (0, 1))
    return np.asarray(np.linalg.solve(squares + RIDGE * np.eye(len(squares)), products))


def shares_of(found: Truth, named: NDArray[np.int64], captions: int) -> F64:
    """The part of photos that have each tag, drawn towards RARE; captions alone count as photos, five as one."""
    photos = len(found) + captions / CAPTIONS_A_PHOTO + RARE_WEIGHT
    return np.asarray((found.sum(axis=0) + named / CAPTIONS_A_PHOTO + RARE * RARE_WEIGHT) / photos)


def best_threshold(values: NDArray[Any], found: Truth) -> float:
    """Where F1 is best."""
    order = np.argsort(-values)
    hits = np.cumsum(found[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + found.sum())
    return float(values[order[f1.argmax()]])


@dataclass(frozen=True)
class Trial:
    """Photos (n, D) of a library of their own, and the vocabulary (vectors (L, D)) that they are tagged with."""

    vocabulary: Vocabulary
    vectors: F32
    photos: F32

    @cached_property
    def numbers(self) -> F32:
        """The photos' calibration."""
        return calibrate(self.photos @ contrast(self.vectors, null_vector(self.vectors)).T)

    def scorer(self, rule: Rule = FITTED) -> Scorer:
        """What a library of these photos would be tagged with."""
        return Scorer(self.vocabulary, self.vectors, null_vector(self.vectors), self.numbers, rule)

    def logits(self, rule: Rule = FITTED) -> F32:
        """(n, L), as that library would have them."""
        return self.scorer(rule).logits(self.photos)


def fit_on_unseen(trial: Trial, found: Truth, rule: Rule, rows: NDArray[Any] | None = None) -> Rule:
    """The rule with `lower` and `steepness` for photos that the model has not seen: all, or those `rows`."""
    rows = np.arange(len(found)) if rows is None else rows
    occur = np.flatnonzero(found[rows].sum(axis=0) >= LEAST_TRUE)
    truths = found[np.ix_(rows, occur)]
    low, high = -1.0, 3.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        chosen = trial.logits(replace(rule, lower=middle))[np.ix_(rows, occur)] >= 0
        recall = ((chosen & truths).sum(axis=0) / truths.sum(axis=0)).mean()
        low, high = (low, middle) if recall >= RECALL else (middle, high)
    rule = replace(rule, lower=high, steepness=1.0)
    return replace(rule, steepness=_steepness(trial.logits(rule)[np.ix_(rows, occur)], truths))


def _steepness(values: F32, truths: Truth) -> float:
    """The slope of a logistic regression of truth on distance from the threshold, near the threshold."""
    near = np.abs(values) < NEAR
    model = LogisticRegression(C=1e6).fit(values[near][:, None], truths[near])
    return float(model.coef_[0, 0])


def write(vocabulary: Vocabulary, rule: Rule) -> None:
    """Rewrite the two files of the package, and the rule in search/tag.py."""
    SHIPPED.write_text(
        vocabulary_toml(vocabulary.tags, SHIPPED.read_text(encoding="utf-8")), encoding="utf-8"
    )
    RELATIONS.write_text(relations_json(vocabulary.related), encoding="utf-8")
    source = Path(search.tag.__file__)
    numbers = ", ".join(f"{name}={value:.2f}" for name, value in asdict(rule).items())
    text = re.sub(r"(?m)^FITTED = .*$", f"FITTED = Rule({numbers})", source.read_text(encoding="utf-8"))
    source.write_text(text, encoding="utf-8")


def relations_json(relations: Relations) -> str:
    """The form that `library.vocabulary` reads: weights in thousandths, a line for each tag told of."""
    rows = (np.round(relations.weights.T * 1000).astype(int)).tolist()
    lines = [
        f"{json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}"
        for name, row in zip(relations.told, rows, strict=True)
    ]
    return f'{{"seen": {json.dumps(relations.seen)},\n"told": {{\n' + ",\n".join(lines) + "\n}}\n"


def vocabulary_toml(tags: Sequence[TagSpec], before: str) -> str:
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
