"""Zero-shot tagging: which tags of a vocabulary a photo has, with thresholds that fit each tag, model and library."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from library.prompts import TextEncoder
from library.vocabulary import TagSpec, Vocabulary
from search.calibration import rarity

F32 = NDArray[np.float32]

# Two plain wordings; more templates, or a prompt for each synonym, ranked photos worse (mean average precision over
# 98 tags of 6,398 photos: 0.487 with the prompts of the vocabulary, 0.476 with synonyms too, 0.466 without either).
TEMPLATES = ("{}", "a photo of {}.")
# What the other tags tell is used when at least this part of the weights is there: people may leave tags out.
ENOUGH_TOLD = 0.9
# More suggestions than this on one photo are noise; the best stay.
MOST_TAGS = 20
# No score is shown higher: nothing that a model says about a photo is certain.
HIGHEST = 0.99


@dataclass(frozen=True, slots=True)
class Rule:
    """How a threshold follows from a tag's share: base + slope * rarity(share), in deviations of the score.

    The first pair is for tags that others of the photo tell of, `lower` being what photos that a model never saw fall
    short of those that it was fitted on; the second for tags that stand on their own score. `steepness` is what a
    deviation above the threshold is worth in log odds.
    """

    base: float
    slope: float
    own_base: float
    own_slope: float
    lower: float
    steepness: float


# Written by benchmarks/tag_priors.py, for the built-in model; the scores of others have the same scale.
FITTED = Rule(base=-0.72, slope=1.60, own_base=-1.04, own_slope=1.72, lower=0.04, steepness=1.32)


@dataclass(frozen=True, slots=True)
class PromptSet:
    """The sentences whose vectors' mean is a tag's vector, and their digest, under which it is remembered."""

    own: tuple[str, ...]
    templated: tuple[str, ...]

    @property
    def digest(self) -> bytes:
        """SHA-256 of the sentences."""
        return hashlib.sha256("\0".join((*self.templated, "", *self.own)).encode()).digest()


def prompts_of(tag: TagSpec) -> PromptSet:
    """What a tag is asked with."""
    return PromptSet(tag.prompts, tuple(template.replace("{}", tag.name) for template in TEMPLATES))


def embed_prompts(encoder: TextEncoder, sets: Sequence[PromptSet]) -> F32:
    """One vector a set, (n, D) with L2 norm 1: the mean of its templated and of its own sentences, half and half."""
    texts = list(dict.fromkeys(text for each in sets for text in (*each.templated, *each.own)))
    if not texts:
        return np.zeros((0, 0), np.float32)
    vectors = dict(zip(texts, encoder.encode_texts(texts), strict=True))
    found = []
    for each in sets:
        parts = [_mean([vectors[t] for t in texts]) for texts in (each.templated, each.own) if texts]
        found.append(_mean(parts))
    return np.stack(found)


def null_vector(vectors: F32) -> F32:
    """Where a text lies for a model, whatever it says: the mean (D,) of the shipped tags' vectors (L, D)."""
    return np.asarray(vectors.mean(axis=0), np.float32)


def _mean(vectors: Sequence[F32]) -> F32:
    mean = np.mean(vectors, axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


class Scorer:
    """The tags of a vocabulary as one model sees them in one library."""

    def __init__(
        self, vocabulary: Vocabulary, vectors: F32, null: F32, numbers: F32, rule: Rule = FITTED
    ) -> None:
        """`vectors` (L, D) from `embed_prompts`, `null` (D,) from `null_vector`, `numbers` (2, L) from `calibrate`."""
        self.names = vocabulary.names
        self._contrast = contrast(vectors, null)
        self._mean, self._deviation = numbers
        self._told = told(vocabulary)
        self._thresholds = thresholds(vocabulary, self._told, rule)
        self._steepness = np.float32(rule.steepness)
        place = {name: i for i, name in enumerate(self.names)}
        self.implied = [(place[name], place[other]) for name, other in vocabulary.implications()]

    def logits(self, vectors: F32) -> F32:
        """Log odds of each tag for photos (n, D) of L2 norm 1: (n, L) float32; 0 is the threshold."""
        deviations = vectors @ self._contrast.T
        deviations -= self._mean
        deviations /= self._deviation
        scores = self._told.scores(evened(deviations))
        scores -= self._thresholds
        scores *= self._steepness
        return with_implied(scores, self.implied)


@dataclass(frozen=True, slots=True)
class Told:
    """Which tags are judged by what others of the photo tell: positions (S,) that tell, positions (K,) told of."""

    seen: NDArray[np.int64]
    columns: NDArray[np.int64]
    weights: F32  # (S, K)

    def scores(self, deviations: F32) -> F32:
        """(n, L) deviations -> (n, L), about 0 with a deviation of 1: the columns told of read from all that tell.

        A linear discriminant: a man is seen by what goes with men and not with boys, dogs or gravel, and so a tag
        that is common is not suggested for a little of its own score alone.
        """
        found = deviations.copy()
        if len(self.columns):
            found[:, self.columns] = deviations[:, self.seen] @ self.weights
        return found


def told(vocabulary: Vocabulary) -> Told:
    """What the vocabulary's relations say about its tags."""
    place = {name: i for i, name in enumerate(vocabulary.names)}
    relations = vocabulary.related
    rows = [row for row, name in enumerate(relations.seen) if name in place]
    whole = np.abs(relations.weights).sum(axis=0)
    there = np.abs(relations.weights[rows]).sum(axis=0) >= ENOUGH_TOLD * whole
    columns = [column for column, name in enumerate(relations.told) if name in place and there[column]]
    return Told(
        np.array([place[relations.seen[row]] for row in rows], np.int64),
        np.array([place[relations.told[column]] for column in columns], np.int64),
        relations.weights[np.ix_(rows, columns)],
    )


def thresholds(vocabulary: Vocabulary, relations: Told, rule: Rule = FITTED) -> F32:
    """The score (L,) from which each tag is suggested; the rarer a tag, the higher."""
    rarities = np.array([rarity(tag.share) for tag in vocabulary.tags])
    found = rule.own_base + rule.own_slope * rarities
    found[relations.columns] = rule.base - rule.lower + rule.slope * rarities[relations.columns]
    return found.astype(np.float32)


def with_implied(logits: F32, implied: Sequence[tuple[int, int]]) -> F32:
    """Log odds (n, L) where no tag is less probable than one that implies it: a white dog is a dog.

    `implied` has (column, column that it implies), with what follows from several steps.
    """
    found = logits.copy()
    for column, other in implied:
        np.maximum(found[:, other], logits[:, column], out=found[:, other])
    return found


def evened(deviations: F32) -> F32:
    """Deviations (n, L) with half of what photos differ in their spread taken out.

    A picture unlike those that the model knows has all its scores close together, and its best tag is as good.
    """
    spread = deviations.std(axis=1, keepdims=True)
    return np.asarray(deviations / (0.5 * spread + 0.5), np.float32)


def contrast(vectors: F32, null: F32) -> F32:
    """Tag vectors (L, D) with the null vector (D,) taken away: what is scored with."""
    return np.asarray(vectors - null, np.float32)


def probability(logits: F32) -> F32:
    """1 / (1 + exp(-logits)), element by element."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)


def choose(logits: F32, *, least: float) -> list[list[tuple[int, float]]]:
    """For each row of (n, L) the tags with a probability of at least `least`: (position, probability), best first.

    The probability is at most HIGHEST.
    """
    found: list[list[tuple[int, float]]] = []
    rows, columns = np.nonzero(logits >= np.float32(math.log(least / (1 - least))))
    bounds = np.searchsorted(rows, np.arange(len(logits) + 1))
    for row in range(len(logits)):
        mine = columns[bounds[row] : bounds[row + 1]]
        best = mine[np.argsort(-logits[row, mine], kind="stable")][:MOST_TAGS]
        chances = np.minimum(probability(logits[row, best]), np.float32(HIGHEST))
        found.append([(int(j), float(c)) for j, c in zip(best, chances, strict=True)])
    return found
