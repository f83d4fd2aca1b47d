"""Zero-shot prompts: a label put into sentences, and their embeddings averaged into one classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from library.errors import UsageError

# Several wordings of one label: the average points more at the thing than at any one phrase does
# (Radford et al. 2021, section 3.1.4). Chosen for people's own photos; the bare label comes first.
DEFAULT_TEMPLATES: tuple[str, ...] = (
    "{}",
    "a photo of {}.",
    "a photo of a {}.",
    "a picture of the {}.",
    "a snapshot of a {}.",
    "a close-up of a {}.",
    "a {} in the distance.",
    "a blurry phone photo of a {}.",
    "my holiday photo of a {}.",
    "an indoor photo of a {}.",
    "an outdoor photo of a {}.",
)


class TextEncoder(Protocol):
    """What a classifier needs of an encoder."""

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """(N,) texts -> (N, D) float32, L2 norm 1."""
        ...


def label_prompts(label: str, templates: Sequence[str] = DEFAULT_TEMPLATES) -> list[str]:
    """`label` put into each template at "{}". Raises UsageError: empty label, template without "{}"."""
    text = " ".join(label.split())
    if not text:
        raise UsageError("a label is empty")
    without = [template for template in templates if template.count("{}") != 1]
    if without or not templates:
        which = f'; "{without[0]}" does not have it' if without else ""
        raise UsageError(f"a prompt template needs {{}} exactly once, where the label goes{which}")
    return [template.replace("{}", text) for template in templates]


def text_classifier(
    encoder: TextEncoder, labels: Sequence[str], templates: Sequence[str] = DEFAULT_TEMPLATES
) -> NDArray[np.float32]:
    """One vector a label: the prompts' embeddings averaged over the templates, then normalised again.

    Returns (L, D) float32 with L2 norm 1, in the order of `labels`; cosine with an image vector ranks
    the labels. Source: Radford et al. 2021, section 3.1.4.
    Raises UsageError when there are no labels, and what `encoder.encode_texts` raises.
    """
    if not labels:
        raise UsageError("there are no labels to choose from")
    prompts = [prompt for label in labels for prompt in label_prompts(label, templates)]
    vectors = encoder.encode_texts(prompts)
    means = vectors.reshape(len(labels), len(templates), -1).mean(axis=1)  # (L, T, D) -> (L, D)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(means / np.maximum(norms, 1e-12), dtype=np.float32)
