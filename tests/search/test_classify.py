"""Zero-shot classification: CLIP's formula, and labels as people write them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from library.errors import UsageError
from library.fakes import FakeEncoder
from library.prompts import text_classifier
from search.classify import Classifier

ENCODER = FakeEncoder()
TEMPLATES = ("{}", "a {} thing")


def pictures(*colours: tuple[int, int, int]) -> np.ndarray:
    return ENCODER.encode_images(np.stack([ENCODER.prepare(Image.new("RGB", (40, 30), c)) for c in colours]))


def test_probabilities_are_the_softmax_of_scaled_cosines() -> None:
    labels = ["red", "green", "blue"]
    vectors = pictures((230, 25, 25), (25, 25, 230), (120, 120, 120))
    logits = ENCODER.logit_scale * vectors.astype(np.float64) @ text_classifier(ENCODER, labels, TEMPLATES).T
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = Classifier(ENCODER, labels, templates=TEMPLATES).probabilities(vectors)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_the_best_labels_come_first() -> None:
    best = Classifier(ENCODER, ["green", "red", "blue"], templates=TEMPLATES).best(
        pictures((230, 25, 25)), 2
    )[0]
    assert next(label.name for label in best) == "red"
    assert len(best) == 2
    assert best[0].probability > best[1].probability


def test_labels_are_stripped_and_repeated_ones_count_once() -> None:
    classifier = Classifier(ENCODER, [" red", "red", "", "kočka "], templates=TEMPLATES)
    assert classifier.labels == ["red", "kočka"]


def test_a_single_label_is_certain() -> None:
    assert (
        Classifier(ENCODER, ["red"], templates=TEMPLATES).best(pictures((0, 0, 255)), 3)[0][0].probability
        == 1
    )


@pytest.mark.parametrize("labels", [[], ["", "  "]])
def test_no_labels_are_refused(labels: list[str]) -> None:
    with pytest.raises(UsageError, match="no labels"):
        Classifier(ENCODER, labels, templates=TEMPLATES)
