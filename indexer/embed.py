"""Batches of prepared pictures -> photos with vectors; a batch that does not fit in memory is halved."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.decode import Prepared
from library.encoder import Encoder
from library.errors import ModelError, OutOfMemory
from library.records import FailedFile, FileState, NewPhoto

log = logging.getLogger(__name__)


def embed(items: Sequence[Prepared], encoder: Encoder) -> tuple[list[NewPhoto], list[FailedFile]]:
    """Give every item its vector. An item that fails alone, or whose vector is not a finite one, is a failure.

    Raises ModelError where the model itself is at fault (weights, device), not the batch.
    """
    try:
        vectors = encoder.encode_images(np.stack([item.pixels for item in items]))
    except ModelError as e:
        if not isinstance(e, OutOfMemory) and type(e) is not ModelError:
            raise
        if len(items) == 1:
            return [], [FailedFile(items[0].stamp, FileState.FAILED, e.message)]
        log.info("a batch of %d failed (%s); trying halves", len(items), e.message)
        middle = len(items) // 2
        first, second = embed(items[:middle], encoder), embed(items[middle:], encoder)
        return first[0] + second[0], first[1] + second[1]
    return _sorted_out(items, vectors)


def _sorted_out(
    items: Sequence[Prepared], vectors: NDArray[np.float32]
) -> tuple[list[NewPhoto], list[FailedFile]]:
    photos, failed = [], []
    for item, vector in zip(items, vectors, strict=True):
        if np.isfinite(vector).all():
            photos.append(_photo(item, vector))
        else:
            reason = "the model gave a vector that is not a number"
            failed.append(FailedFile(item.stamp, FileState.FAILED, reason))
    return photos, failed


def _photo(item: Prepared, vector: NDArray[np.float32]) -> NewPhoto:
    return NewPhoto(item.stamp, item.content_sha256, item.facts, item.perceptual_hash, item.thumbnail, vector)
