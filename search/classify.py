"""Zero-shot classification: which of some labels a photo shows, by CLIP's own method.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021), section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from library.encoder import Encoder
from library.errors import UsageError
from library.prompts import text_classifier
from library.records import Label
from library.vocabulary import shipped_vocabulary

# An independent label is compared with subjects of every kind, none of which is meant: every so manieth shipped tag.
NULL_STEP = 8
NULL_TEMPLATE = "a photo of {}."
# Log odds = SLOPE * deviations above those subjects - OFFSET: a logistic fit over 102 labels of 693 photos that the
# built-in model had not seen, of which one in thirty was there. benchmarks/independent.py measures it on photos that
# it was not fitted on: what is said to have 25 % is there in 26 %, what has 57 % in 47 % (captions leave much out).
SLOPE, OFFSET = 1.07, 4.38


def null_subjects() -> list[str]:
    """The sentences that independent labels are compared with."""
    return [NULL_TEMPLATE.replace("{}", name) for name in shipped_vocabulary().names[::NULL_STEP]]


def distinct_labels(labels: Iterable[str]) -> list[str]:
    """Labels with single spaces, each once whatever its capitals, in the first spelling; empty ones left out."""
    found: dict[str, str] = {}
    for label in labels:
        text = " ".join(label.split())
        if text:
            found.setdefault(text.casefold(), text)
    return list(found.values())


class Classifier:
    """Labels, embedded once; then any number of photos."""

    def __init__(
        self,
        encoder: Encoder,
        labels: Sequence[str],
        *,
        templates: Sequence[str],
        independent: bool = False,
        embed: Callable[[Sequence[str]], NDArray[np.float32]] | None = None,
    ) -> None:
        """Labels are stripped, and repeated ones count once, whatever their capitals. Raises UsageError: none at all.

        They exclude each other unless `independent`: then any number of them may be true of a photo. `embed` gives the
        vectors (L, D) of labels where they are remembered; without it all are embedded here.
        """
        self.labels = distinct_labels(labels)
        if not self.labels:
            raise UsageError("there are no labels to choose from", hint="Give some: --labels cat,dog,car")
        self.independent = independent
        self._scale, self._bias = encoder.logit_scale, encoder.logit_bias
        self._weights = embed(self.labels) if embed else text_classifier(encoder, self.labels, templates)
        self._null = encoder.encode_texts(null_subjects()) if independent and self._bias is None else None

    def cosines(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, L) float32, -1 to 1, for vectors (n, D) of L2 norm 1."""
        return np.asarray(vectors @ self._weights.T, np.float32)

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, L) float32, 0 to 1, for vectors (n, D) of L2 norm 1.

        Exclusive labels: softmax(logit_scale * cosine), rows sum to 1. Independent ones: the sigmoid that a model with
        a bias was trained with (Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023); for others see
        `independent`.
        """
        return self._probabilities(vectors, self.cosines(vectors))

    def _probabilities(
        self, vectors: NDArray[np.float32], cosines: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if self._null is not None:
            return _sigmoid(SLOPE * above(cosines, vectors @ self._null.T) - OFFSET)
        logits = self._scale * cosines
        if self.independent:
            assert self._bias is not None
            return _sigmoid(logits + self._bias)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)

    def best(self, vectors: NDArray[np.float32], top: int) -> list[list[Label]]:
        """For each of (n, D) vectors its `top` labels, most probable first; ties in the order of the labels."""
        cosines = self.cosines(vectors)
        probabilities = self._probabilities(vectors, cosines)
        # Probabilities of a softmax may round to the same number where cosines still differ.
        columns = _uppermost(cosines, top)
        return [
            [Label(self.labels[j], float(probabilities[i, j]), float(cosines[i, j])) for j in row]
            for i, row in enumerate(columns)
        ]


def above(cosines: NDArray[np.float32], null: NDArray[np.float32]) -> NDArray[np.float32]:
    """How many deviations a photo's cosines (n, L) lie above those (n, N) of subjects that are not meant."""
    spread = np.maximum(null.std(axis=1, keepdims=True), 1e-6)
    return np.asarray((cosines - null.mean(axis=1, keepdims=True)) / spread, np.float32)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)


def _uppermost(values: NDArray[np.float32], top: int) -> NDArray[np.int64]:
    """Positions (n, min(top, L)) of each row's largest values, largest first; equal ones in their order."""
    if top >= values.shape[1] // 4:
        return np.argsort(-values, axis=1, kind="stable")[:, :top]
    edge = -np.partition(-values, top - 1, axis=1)[:, top - 1 : top]
    found = np.empty((len(values), top), np.int64)
    for i, row in enumerate(values):  # all at the edge are looked at, so that ties fall in order
        candidates = np.flatnonzero(row >= edge[i])
        found[i] = candidates[np.argsort(-row[candidates], kind="stable")[:top]]
    return found
