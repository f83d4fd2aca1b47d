"""A question -> a query vector: words, pictures, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library.encoder import Encoder
from library.errors import UsageError


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for. Every text and every picture counts the same."""

    texts: Sequence[str] = ()
    pictures: Sequence[Image.Image] = ()  # upright RGB


def query_vector(query: Query, encoder: Encoder) -> NDArray[np.float32]:
    """The direction of the query: (D,) float32, L2 norm 1.

    Each text and each picture is embedded with L2 norm 1; their mean is normalised again, so that neither kind
    outweighs the other by the length of its vectors. Raises UsageError for an empty query.
    """
    texts = [text.strip() for text in query.texts if text.strip()]
    parts = []
    if texts:
        parts.append(encoder.encode_texts(texts))
    if query.pictures:
        parts.append(
            encoder.encode_images(np.stack([encoder.prepare(picture) for picture in query.pictures]))
        )
    if not parts:
        raise UsageError(
            "there is nothing to search for",
            hint='Give words or a picture: oko search "a red boat", oko search --image FILE',
        )
    mean = np.concatenate(parts).mean(axis=0)
    vector: NDArray[np.float32] = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return vector
