"""Zero-shot classification: which of some labels a photo shows, by CLIP's own method.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021), section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from library.encoder import Encoder
from library.errors import UsageError
from library.prompts import text_classifier
from library.records import Label


class Classifier:
    """Exclusive labels, embedded once; then any number of photos."""

    def __init__(self, encoder: Encoder, labels: Sequence[str], *, templates: Sequence[str]) -> None:
        """Labels are stripped, and repeated ones count once. Raises UsageError if none is left."""
        self.labels = list(dict.fromkeys(label.strip() for label in labels if label.strip()))
        if not self.labels:
            raise UsageError("there are no labels to choose from", hint="Give some: --labels cat,dog,car")
        self._scale = encoder.logit_scale
        self._weights = text_classifier(encoder, self.labels, templates)

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """softmax(logit_scale * cosine): (n, L) float32, rows sum to 1, for vectors (n, D) of L2 norm 1."""
        logits = self._scale * (vectors @ self._weights.T)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: NDArray[np.float32] = exponents / exponents.sum(axis=1, keepdims=True)
        return result

    def best(self, vectors: NDArray[np.float32], top: int) -> list[list[Label]]:
        """For each of (n, D) vectors its `top` labels, most probable first."""
        probabilities, cosines = self.probabilities(vectors), vectors @ self._weights.T
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        return [
            [Label(self.labels[j], float(probabilities[i, j]), float(cosines[i, j])) for j in row]
            for i, row in enumerate(order)
        ]
