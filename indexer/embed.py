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

# When so many photos fail one after the other and none succeeds, the device is broken, not the photos.
TOO_MANY = 8


def embed(items: Sequence[Prepared], encoder: Encoder) -> tuple[list[NewPhoto], list[FailedFile]]:
    """Give every item its vector. An item that fails alone, or whose vector is not a finite one, is a failure.

    Raises ModelError where the model itself is at fault (weights, device), not the batch: also when not one
    of several items could be embedded, though there was memory enough.
    """
    try:
        return _sorted_out(items, encoder.encode_images(np.stack([item.pixels for item in items])))
    except ModelError as e:
        _raise_if_final(e)
        photos, failed = _one_by_one(items, encoder, e)
        if not photos and len(items) >= TOO_MANY and not isinstance(e, OutOfMemory):
            raise
        return photos, failed


def _one_by_one(
    items: Sequence[Prepared], encoder: Encoder, error: ModelError
) -> tuple[list[NewPhoto], list[FailedFile]]:
    """What can be had of a batch that failed with `error`: its halves, down to single items."""
    if len(items) == 1:
        return [], [FailedFile(items[0].stamp, FileState.FAILED, error.message)]
    log.info("a batch of %d failed (%s); trying halves", len(items), error.message)
    photos: list[NewPhoto] = []
    failed: list[FailedFile] = []
    middle = len(items) // 2
    for half in (items[:middle], items[middle:]):
        try:
            found = _sorted_out(half, encoder.encode_images(np.stack([item.pixels for item in half])))
        except ModelError as e:
            _raise_if_final(e)
            found = _one_by_one(half, encoder, e)
        photos += found[0]
        failed += found[1]
    return photos, failed


def _raise_if_final(error: ModelError) -> None:
    """A fault that no smaller batch can mend is the run's, not a photo's."""
    if not isinstance(error, OutOfMemory) and type(error) is not ModelError:
        raise error


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
