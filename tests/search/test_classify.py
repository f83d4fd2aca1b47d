"""Zero-shot classification: CLIP's formula, and labels as people write them."""

from __future__ import annotations

from pathlib import Path

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
    classifier = Classifier(ENCODER, [" red", "red", "", "Red", "kočka ", "KOČKA"], templates=TEMPLATES)
    assert classifier.labels == ["red", "kočka"]


def test_remembered_vectors_serve() -> None:
    vectors = ENCODER.encode_texts(["a", "b"])
    classifier = Classifier(ENCODER, ["x", "y"], templates=TEMPLATES, embed=lambda labels: vectors)
    np.testing.assert_allclose(np.diag(classifier.cosines(vectors)), 1, atol=1e-6)


def test_a_single_label_is_certain() -> None:
    assert (
        Classifier(ENCODER, ["red"], templates=TEMPLATES).best(pictures((0, 0, 255)), 3)[0][0].probability
        == 1
    )


@pytest.mark.parametrize("labels", [[], ["", "  "]])
def test_no_labels_are_refused(labels: list[str]) -> None:
    with pytest.raises(UsageError, match="no labels"):
        Classifier(ENCODER, labels, templates=TEMPLATES)


def test_equals_what_open_clip_builds() -> None:
    """The built-in weights, the default templates, and open_clip's own function for zero-shot weights."""
    import open_clip
    import torch

    from library.encoder import load_encoder
    from library.models import Registry
    from library.prompts import DEFAULT_TEMPLATES

    encoder = load_encoder(Registry(Path()).resolve("builtin"), device="cpu", precision="fp32")
    labels = ["dog", "kočka", "red car", "an old town at night"]
    reference = open_clip.build_zero_shot_classifier(
        encoder.clip.module,
        encoder.clip.tokenizer,
        labels,
        [lambda label, template=template: template.replace("{}", label) for template in DEFAULT_TEMPLATES],
        num_classes_per_batch=2,
        device="cpu",
        use_tqdm=False,
    )  # (D, L)
    random = np.random.default_rng(0).standard_normal((50, encoder.stamp.dim)).astype(np.float32)
    vectors = random / np.linalg.norm(random, axis=1, keepdims=True)
    ours = Classifier(encoder, labels, templates=DEFAULT_TEMPLATES)
    np.testing.assert_allclose(ours.cosines(vectors), vectors @ reference.detach().numpy(), atol=1e-4)
    expected = torch.softmax(
        encoder.logit_scale * torch.from_numpy(vectors) @ reference.detach(), dim=1
    ).numpy()
    np.testing.assert_allclose(ours.probabilities(vectors), expected, atol=1e-4)


def test_the_best_of_many_labels_are_those_of_a_full_sort() -> None:
    labels = [f"label {n}" for n in range(60)] + ["red", "green"]
    classifier = Classifier(ENCODER, labels, templates=["{}"])
    vectors = pictures((230, 25, 25), (25, 25, 230), (120, 120, 120))
    order = np.argsort(-classifier.cosines(vectors), axis=1, kind="stable")[:, :3]
    found = [[label.name for label in row] for row in classifier.best(vectors, 3)]
    assert found == [[labels[j] for j in row] for row in order]


def test_independent_labels_are_judged_one_by_one() -> None:
    alone = Classifier(ENCODER, ["red"], templates=["{}"], independent=True)
    both = Classifier(ENCODER, ["red", "blue"], templates=["{}"], independent=True)
    vectors = pictures((230, 25, 25), (25, 25, 230))
    np.testing.assert_allclose(both.probabilities(vectors)[:, :1], alone.probabilities(vectors), atol=1e-6)
    assert alone.probabilities(vectors)[0, 0] > 0.5 > alone.probabilities(vectors)[1, 0]


def test_a_model_with_a_bias_uses_its_sigmoid() -> None:
    encoder = FakeEncoder()
    encoder.logit_bias = -10.0
    classifier = Classifier(encoder, ["red"], templates=["{}"], independent=True)
    vectors = pictures((230, 25, 25))
    expected = 1 / (1 + np.exp(-(encoder.logit_scale * classifier.cosines(vectors) - 10)))
    np.testing.assert_allclose(classifier.probabilities(vectors), expected, atol=1e-6)
