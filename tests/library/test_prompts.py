"""Prompts and the classifier made of them."""

from __future__ import annotations

import numpy as np
import pytest

from library.errors import UsageError
from library.fakes import FakeEncoder
from library.prompts import DEFAULT_TEMPLATES, label_prompts, text_classifier


def test_templates_are_filled() -> None:
    assert label_prompts("  black \n cat ", ("a {}.", "{}")) == ["a black cat.", "black cat"]
    assert label_prompts("{0} {x}", ("a {}.",)) == ["a {0} {x}."], "a label is text, not a format"
    assert 8 <= len(DEFAULT_TEMPLATES) <= 15 == len(set(DEFAULT_TEMPLATES)) + 15 - len(DEFAULT_TEMPLATES)


@pytest.mark.parametrize(
    ("label", "templates"), [(" ", ("{}",)), ("cat", ("a photo",)), ("cat", ("{} {}",)), ("cat", ())]
)
def test_bad_prompts_are_refused(label: str, templates: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        label_prompts(label, templates)


def test_classifier_is_the_normalised_mean() -> None:
    encoder = FakeEncoder()
    labels = ["red car", "blue sky", "dog"]
    found = text_classifier(encoder, labels)
    assert found.shape == (3, encoder.stamp.dim)
    assert found.dtype == np.float32
    for row, label in zip(found, labels, strict=True):
        mean = np.mean([encoder.encode_texts([text])[0] for text in label_prompts(label)], axis=0)
        assert np.allclose(row, mean / np.linalg.norm(mean), atol=1e-6)


def test_one_template_is_the_text_itself() -> None:
    encoder = FakeEncoder()
    assert np.allclose(text_classifier(encoder, ["red"], ("{}",)), encoder.encode_texts(["red"]), atol=1e-6)


def test_no_labels() -> None:
    with pytest.raises(UsageError):
        text_classifier(FakeEncoder(), [])
