"""How relevant a photo is to a query, 0 to 1: a number that means the same for every query, library and model.

A cosine means nothing by itself, so a query's is judged against those of SUBJECTS, a few hundred texts that no one
asked for (docs/relevance.md has the measurements behind every step):

1. Ranking. A bare name ("giraffe") lies in the direction m that all names share, a sentence does not, and photos near
   m answer every name. With t = ((q - s) . (m - s) / |m - s|^2), 0 for the mean s of SENTENCES and 1 for m, photos are
   ranked by their product with q' = q - max(t, 0)^2 m.
2. How far does the text stand out? At a photo, z = (q . v - mean) / deviation, both over the products of that photo
   with SUBJECTS. It is looked at along the ranking, at PLACES, and in a library of n photos min(n / ENOUGH, 1) of the
   way to the mean over places near each other: of many photos one may be far off by chance.
3. Hundreds of photos that stand out a little are as good a sign as one that stands out far, and then all of them are
   meant: logit = SURENESS z + DEPTH ln(place) + BIAS, place 1 being the best photo. A photo is worth what the best of
   it and those behind it are worth, so relevance falls along the ranking.
4. The best of few photos stands out less than the best of many, whether there is such a thing or not: in a library of
   n photos the logit changes by ALLOWANCE ln(ENOUGH / n), and where n > ENOUGH by -CAUTION ln(n / ENOUGH).

Within one query relevance is a function of the ranking's score, so the line is a least score, and all photos above it
are counted in one pass. Step 2 follows the calibration of tags (search/calibration.py) and, like the querybank of
Bogolin et al., "Cross Modal Retrieval with Querybank Normalisation" (2022), compares a query with others; step 1 takes
what helps of the mean's removal (Mu and Viswanath, "All-but-the-Top", 2018) where it helps.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from library.catalog import tagging
from library.errors import OkoError
from library.folder import writer_lock
from library.prompts import TextEncoder
from library.records import ModelStamp
from library.store import Store
from search.subjects import SENTENCES, SUBJECTS

F32 = NDArray[np.float32]

# A logistic model of three numbers, printed by `python -m benchmarks.relevance --fit`.
SURENESS, DEPTH, BIAS = 1.63, 0.55, -6.13
# No place is surer: a better model, of which every caption is, must not show half the library for one.
SUREST = 7.0
# What keeps as many absent queries empty in libraries of 1 to 7,000 photos as in one of 500.
ALLOWANCE, CAUTION, ENOUGH = 0.6, 0.28, 500
# The places of the ranking that are looked at, 0 being the best: each of the first, then ever fewer of the next.
PLACES = np.unique(np.concatenate([np.arange(16), np.geomspace(16, 599, 48).astype(np.int64)]))
# The places from p / NEAR to NEAR (p + 1) are near place p.
NEAR = 1.3
# Behind the last place a photo loses so much with every `unit` of score.
FALL = 1.0
# Pictures score higher with pictures than texts do, and each in its own way: they are judged by their distance from
# the library's mean score, in deviations. The slope is a fit over classes of objects; at the line stands what one
# photo in a thousand would reach by chance.
SLOPE_OF_PICTURES, LINE_OF_PICTURES = 1.9, 3.1
# What is known of scores of pictures in a library of none, as so many photos.
USUAL_MEAN, USUAL_DEVIATION, USUAL_COUNTS = 0.3, 0.15, 10
# The deviation is a mean over at most so many photos.
SAMPLE = 2_000


class Nature(StrEnum):
    """How a query is to be judged."""

    WORDS = "words"
    PICTURES = "pictures"  # a picture is among what is wanted
    UNWANTED = "unwanted"  # nothing is wanted: everything that is not like it is as relevant


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of one query: relevance = 1 / (1 + exp(-logit)), the logit being a function of the ranking's score.

    It goes through the points (score, logit), both ascending; beyond them it is a line with the slope of that end.
    """

    scores: F32  # (p,), p >= 1
    logits: F32  # (p,)
    below: float  # slope, > 0
    above: float = 0.0  # slope, >= 0

    def of(self, scores: F32) -> F32:
        """Relevance (n,) float32, 0 to 1, of photos with ranking scores (n,)."""
        logits = np.interp(scores, self.scores, self.logits)
        logits -= self.below * np.maximum(self.scores[0] - scores, 0)
        logits += self.above * np.maximum(scores - self.scores[-1], 0)
        return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)

    def least_score(self, line: float) -> float:
        """The ranking score at which relevance reaches `line`, 0 to 1; infinite where it never does."""
        if line <= 0 or line >= 1:
            return math.copysign(math.inf, line - 0.5)
        wanted = math.log(line / (1 - line))
        at = int(np.searchsorted(self.logits, wanted))
        if at == 0:
            return float(self.scores[0]) - (float(self.logits[0]) - wanted) / self.below
        if at == len(self.logits):
            missing = wanted - float(self.logits[-1])
            return float(self.scores[-1]) + missing / self.above if self.above else math.inf
        (low, high), (left, right) = self.logits[at - 1 : at + 1], self.scores[at - 1 : at + 1]
        return float(left + (wanted - low) / (high - low) * (right - left))


class Judge:
    """What a model's scores mean in one library. Immutable: any thread may use it."""

    def __init__(self, texts: F32, sample: F32, count: int) -> None:
        """`texts` (S, D) as `null_texts` has them, `sample` (m, D) of the library's `count` photos, m >= 1.

        All vectors are of L2 norm 1.
        """
        self._subjects = texts[: len(SUBJECTS)]
        self._mean = np.asarray(self._subjects.mean(axis=0), np.float32)  # m
        self._plain = texts[len(SUBJECTS) :].mean(axis=0)  # s
        across = self._mean - self._plain
        self._across = across / max(float(across @ across), 1e-12)
        self._sample = sample
        self.unit = max(float((sample @ self._subjects.T).std(axis=1).mean()), 1e-6)
        self._crowd = min(count / ENOUGH, 1.0)
        self.allowance = (ALLOWANCE if count < ENOUGH else CAUTION) * math.log(ENOUGH / count)

    def direction(self, vector: F32, nature: Nature = Nature.WORDS) -> F32:
        """What photos are ranked by for a query `vector` (D,) of L2 norm 1: q' (D,), of any length."""
        if nature is not Nature.WORDS:
            return vector
        likeness = max(float((vector - self._plain) @ self._across), 0.0)
        return np.asarray(vector - likeness**2 * self._mean, np.float32)

    def standing_out(self, vector: F32, photos: F32) -> F32:
        """How far a text `vector` (D,) stands out among all texts at the photos (p, D) in the first p of PLACES.

        Returns z (p,), partly averaged over places near each other, at most SUREST.
        """
        # Not `@`: BLAS spreads so little over threads, and on a busy machine waits 30 ms for them instead of 1 ms.
        nulls = np.einsum("pd,sd->ps", photos, self._subjects)  # (p, S)
        z = (photos @ vector - nulls.mean(axis=1)) / np.maximum(nulls.std(axis=1), 1e-6)
        sums = np.concatenate([[0.0], np.cumsum(z)])
        first, end = _near(len(photos))
        z += self._crowd * ((sums[end] - sums[first]) / (end - first) - z)
        return np.asarray(np.minimum(z, SUREST), np.float32)

    def judge(self, vector: F32, photos: F32, nature: Nature = Nature.WORDS) -> Judgement | None:
        """Judge a query `vector` (D,) by the photos (p, D) in the first p of PLACES of its ranking, p >= 1.

        None where relevance makes no difference.
        """
        if nature is Nature.UNWANTED:
            return None
        if nature is Nature.PICTURES:
            return self._of_picture(vector)
        z = self.standing_out(vector, photos)
        logits = SURENESS * z + DEPTH * np.log(PLACES[: len(photos)] + 1) + BIAS + self.allowance
        falling = np.maximum.accumulate(logits[::-1])  # the worst photo first
        scores = photos[::-1] @ self.direction(vector)
        return Judgement(scores, falling.astype(np.float32), below=FALL / self.unit)

    def _of_picture(self, vector: F32) -> Judgement:
        scores = self._sample @ vector
        known = len(scores) / (len(scores) + USUAL_COUNTS)
        mean = known * float(scores.mean()) + (1 - known) * USUAL_MEAN
        variance = known * float(scores.var()) + (1 - known) * USUAL_DEVIATION**2
        slope = SLOPE_OF_PICTURES / max(math.sqrt(variance), 1e-6)
        at_mean = np.array([-SLOPE_OF_PICTURES * LINE_OF_PICTURES], np.float32)
        return Judgement(np.array([mean], np.float32), at_mean, below=slope, above=slope)


@cache
def _near(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each of the first `count` PLACES the first of those near it, and one past the last."""
    places = PLACES[:count]
    first, end = np.searchsorted(places, places / NEAR), np.searchsorted(places, np.ceil((places + 1) * NEAR))
    return first, end


def null_texts() -> tuple[str, ...]:
    """The texts whose vectors a Judge needs, in their order."""
    return (*SUBJECTS, *SENTENCES)


def null_vectors(store: Store, stamp: ModelStamp, encoder: TextEncoder | None) -> F32 | None:
    """The vectors (S, D) of `null_texts`: from the library, which remembers them; else from the model, if there is one.

    They are embedded once for each model, which takes about a second with a small one.
    """
    texts = null_texts()
    digests = [_digest(text) for text in texts]
    model_id = store.model_id(stamp)
    with store.catalog.reading() as c:
        known = tagging.text_vectors(c, model_id, digests, stamp.dim)
    if all(digest in known for digest in digests):
        return np.stack([known[digest] for digest in digests])
    if encoder is None:
        return None
    vectors = encoder.encode_texts(list(texts))
    _remember(store, model_id, digests, vectors)
    return vectors


def _digest(text: str) -> bytes:
    return hashlib.sha256(f"relevance\0{text}".encode()).digest()


def _remember(store: Store, model_id: int, digests: Sequence[bytes], vectors: F32) -> None:
    """Keep them if nobody else is writing: whoever searches next does it otherwise."""
    try:
        with writer_lock(store.folder, purpose="remembering texts", timeout_s=0):
            store.remember_tag_vectors(model_id, digests, vectors)
    except OkoError:
        return
