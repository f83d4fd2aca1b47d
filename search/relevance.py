"""How relevant a photo is to a query, 0 to 1: a number that means the same for every query, library and model.

A cosine means nothing by itself, so a query's is judged against those of SUBJECTS, a few hundred texts that no one
asked for (docs/relevance.md has the measurements behind every step):

1. Ranking. A bare name ("giraffe") lies in the direction m that all names share, a sentence does not, and photos near
   m answer every name. With t = ((q - s) . (m - s) / |m - s|^2), 0 for the mean s of SENTENCES and 1 for m, photos are
   ranked by their product with q' = q - max(t, 0)^2 m.
2. Is there such a thing? Of the five best photos the largest z = (q . v - mean) / deviation, both over the products of
   that photo with SUBJECTS: how far this text stands out among all that could be said of that very photo.
3. A photo loses as it falls behind the best one. logit = SURENESS z - FALL (q' . best - q' . v) / unit + BIAS, where
   the unit is the mean deviation of step 2 over the library.
4. The best of few photos stands out less than the best of many, whether there is such a thing or not: in a library of
   n < ENOUGH photos the logit is raised by ALLOWANCE ln(ENOUGH / n), which leaves as many absent queries empty.

Within one query relevance falls with the ranking, so the line is a least score, and all photos above it are counted
in one pass. Step 2 follows the calibration of tags (search/calibration.py) and, like the querybank of Bogolin et al.,
"Cross Modal Retrieval with Querybank Normalisation" (2022), compares a query with others; step 1 takes what helps of
the mean's removal (Mu and Viswanath, "All-but-the-Top", 2018) where it helps.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

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
SURENESS, FALL, BIAS = 1.22, 0.98, -4.72
# No query is surer: one in twenty captions of the built-in model is. A better model, of which all are, must not show
# half the library for one.
SUREST = 7.0
# With every tenfold smaller library 1.3 to 1.8 less is needed for 88 % of absent queries to come back empty.
ALLOWANCE, ENOUGH = 0.55, 400
# Photos looked at to tell whether the library has what is asked for.
BEST = 5
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
    """Of one query: relevance = 1 / (1 + exp(-(slope * score + offset))), the score being that of the ranking."""

    slope: float
    offset: float

    def of(self, scores: F32) -> F32:
        """Relevance (n,) float32, 0 to 1, of photos with ranking scores (n,)."""
        return np.asarray(0.5 * (1 + np.tanh(0.5 * (self.slope * scores + self.offset))), np.float32)

    def least_score(self, line: float) -> float:
        """The ranking score at which relevance reaches `line`, 0 to 1."""
        if line <= 0 or line >= 1:
            return math.copysign(math.inf, line - 0.5)
        return (math.log(line / (1 - line)) - self.offset) / self.slope


class Judge:
    """What a model's scores mean in one library. Immutable: any thread may use it."""

    def __init__(self, texts: F32, sample: F32) -> None:
        """`texts` (S, D) as `null_texts` has them, `sample` (n, D) of the library, n >= 1; all of L2 norm 1."""
        self._subjects = texts[: len(SUBJECTS)]
        self._mean = np.asarray(self._subjects.mean(axis=0), np.float32)  # m
        self._plain = texts[len(SUBJECTS) :].mean(axis=0)  # s
        across = self._mean - self._plain
        self._across = across / max(float(across @ across), 1e-12)
        self._sample = sample
        self.unit = max(float((sample @ self._subjects.T).std(axis=1).mean()), 1e-6)
        self.allowance = ALLOWANCE * max(math.log(ENOUGH / len(sample)), 0.0)

    def direction(self, vector: F32, nature: Nature = Nature.WORDS) -> F32:
        """What photos are ranked by for a query `vector` (D,) of L2 norm 1: q' (D,), of any length."""
        if nature is not Nature.WORDS:
            return vector
        likeness = max(float((vector - self._plain) @ self._across), 0.0)
        return np.asarray(vector - likeness**2 * self._mean, np.float32)

    def sureness(self, vector: F32, best: F32) -> float:
        """How far a text `vector` (D,) stands out among all texts at the photos `best` (b, D): z, at most SUREST."""
        # Not `@`: BLAS spreads so little over threads, and on a busy machine waits 30 ms for them instead of 0.2 ms.
        nulls = np.einsum("bd,sd->bs", best, self._subjects)  # (b, S)
        z = (best @ vector - nulls.mean(axis=1)) / np.maximum(nulls.std(axis=1), 1e-6)
        return min(float(z.max()), SUREST)

    def judge(self, vector: F32, best: F32, nature: Nature = Nature.WORDS) -> Judgement | None:
        """Judge a query `vector` (D,) by the photos `best` (b, D), 1 <= b, that are ranked first for it, best first.

        None where relevance makes no difference.
        """
        if nature is Nature.UNWANTED:
            return None
        if nature is Nature.PICTURES:
            return self._of_picture(vector)
        top = float(best[0] @ self.direction(vector))
        slope = FALL / self.unit
        return Judgement(slope, SURENESS * self.sureness(vector, best) - slope * top + BIAS + self.allowance)

    def _of_picture(self, vector: F32) -> Judgement:
        scores = self._sample @ vector
        known = len(scores) / (len(scores) + USUAL_COUNTS)
        mean = known * float(scores.mean()) + (1 - known) * USUAL_MEAN
        variance = known * float(scores.var()) + (1 - known) * USUAL_DEVIATION**2
        slope = SLOPE_OF_PICTURES / max(math.sqrt(variance), 1e-6)
        return Judgement(slope, -slope * mean - SLOPE_OF_PICTURES * LINE_OF_PICTURES)


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
