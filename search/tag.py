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
# threshold = BASE + SLOPE * rarity(share), in deviations; fitted by benchmarks/tag_priors.py. The first pair holds for
# a tag's own score, the second when the photo's other tags have had their say.
OWN_BASE, OWN_SLOPE = -0.80, 1.57
BASE, SLOPE = -2.88, 2.47
# Log odds a deviation above the threshold is worth: a logistic fit over all tags of the same photos.
STEEPNESS = 1.87
# What the other tags of the photo say, against its own score.
CONTEXT = 0.2
# A photo's best tags are worth that many deviations more: among a thousand, the first few are rarely chance. With
# pictures unlike those that the shares were fitted on it matters: on 620 of them precision rose from 0.38 to 0.43.
BEST, BEST_WORTH = 3, 0.8
# A tag is not suggested below so many deviations, nor below this part of the photo's best: where a cat is plain to
# see, "person" at half a deviation is not there, however common people are.
LEAST_DEVIATION, LEAST_OF_BEST = 1.0, 0.25
FAINT = -1.0  # the most log odds of such a tag; decisions can still lift it
# More suggestions than this on one photo are noise; the best stay.
MOST_TAGS = 20
# No score is shown higher: nothing that a model says about a photo is certain.
HIGHEST = 0.99


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

    def __init__(self, vocabulary: Vocabulary, vectors: F32, null: F32, numbers: F32) -> None:
        """`vectors` (L, D) from `embed_prompts`, `null` (D,) from `null_vector`, `numbers` (2, L) from `calibrate`."""
        self.names = vocabulary.names
        self._contrast = contrast(vectors, null)
        self._mean, self._deviation = numbers
        self._rarities = np.array([rarity(tag.share) for tag in vocabulary.tags], np.float32)
        self._related = related_matrix(vocabulary)
        place = {name: i for i, name in enumerate(self.names)}
        self.implied = [(place[name], place[other]) for name, other in vocabulary.implications()]

    def logits(self, vectors: F32) -> F32:
        """Log odds of each tag for photos (n, D) of L2 norm 1: (n, L) float32; 0 is the threshold."""
        deviations = evened((vectors @ self._contrast.T - self._mean) / self._deviation)
        combined = in_context(deviations, self._rarities, self._related)
        logits = STEEPNESS * (combined - (BASE + SLOPE * self._rarities))
        faint = np.maximum(LEAST_DEVIATION, LEAST_OF_BEST * deviations.max(axis=1, keepdims=True, initial=0))
        seen = np.asarray(np.where(deviations < faint, np.minimum(logits, FAINT), logits), np.float32)
        return with_implied(seen, self.implied)


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


def in_context(deviations: F32, rarities: F32, related: F32) -> F32:
    """Deviations (n, L) with what the photo's other tags say, as far as they seem to be there, added.

    A step of naive Bayes: `related` (L, L) holds ln(P(b | a) / P(b)).
    """
    knows = np.flatnonzero((related != 0).any(axis=0) | (related != 0).any(axis=1))  # a fifth of all tags
    own = STEEPNESS * (deviations[:, knows] - (OWN_BASE + OWN_SLOPE * rarities[knows]))
    chances = probability(np.asarray(own, np.float32))
    found = deviations.copy()
    found[:, knows] += CONTEXT * (chances @ related[np.ix_(knows, knows)])
    if deviations.shape[1] > 10 * BEST:  # of a handful of tags, some are always the best
        edge = -np.partition(-deviations, BEST - 1, axis=1)[:, BEST - 1 : BEST]
        found = found + BEST_WORTH * (deviations >= edge)
    return np.asarray(found, np.float32)


def contrast(vectors: F32, null: F32) -> F32:
    """Tag vectors (L, D) with the null vector (D,) taken away: what is scored with."""
    return np.asarray(vectors - null, np.float32)


def probability(logits: F32) -> F32:
    """1 / (1 + exp(-logits)), element by element."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)


def related_matrix(vocabulary: Vocabulary) -> F32:
    """R[a, b] = what tag a says about tag b, 0 where nothing is known: (L, L)."""
    place = {name: i for i, name in enumerate(vocabulary.names)}
    matrix = np.zeros((len(place), len(place)), np.float32)
    for name, others in vocabulary.related.items():
        for other, weight in others.items():
            if name in place and other in place:
                matrix[place[name], place[other]] = weight
    return matrix


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
