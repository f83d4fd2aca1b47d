"""Whether two photos whose perceptual hashes are close really look the same, judged by their thumbnails.

A hash of 64 bits is blind where there is little to see: blank pages, black frames and pictures of one colour all have
about the same, and pages of text differ in a few bits only. So every pair that the hash proposes is looked at, as
64 x 64 pixels in colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from library.catalog import reading
from library.errors import PictureError
from library.images import decode
from library.store import Store
from search.lookalikes import Pairs

SIDE_PX = 64
# Measured on 8,353 photos, 16 kinds of altered copies and 300 pages of text: docs/duplicates.md.
LEAST_CORRELATION = 0.8
FLAT_DEVIATION = 3.0  # of 255: a picture whose brightness varies less shows nothing to correlate
FLAT_DIFFERENCE = 8.0  # of 255, a channel: two flat pictures of the same colour, compressed differently
COLOUR_DIFFERENCE = (
    16.0  # of 255, mean of both colour channels: the same cut in another colour is another shirt
)
GREY_SATURATION = (
    3.0  # of 255: below it a picture has no colour, and may be a colourless copy of one that has
)
PAIRS = 4_000  # looked at together: up to 8,000 photos, 100 MB
READ = 500  # thumbnails read at a time
COMPARED = 200  # pairs compared at a time: 10 MB an array
WORKERS = 2
_MAX_PIXELS = 10_000_000
# Rec. 601: luma, and the differences of blue and red from it (ITU-R BT.601-7, section 2.5.1).
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)


def same_look(store: Store, ids: NDArray[np.int64], pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs (m,) of rows of the photos `ids` (n,) show the same, by the thumbnails that the library keeps."""
    found = np.empty(len(pairs), bool)
    for start in range(0, len(pairs), PAIRS):
        part = slice(start, start + PAIRS)
        rows = np.concatenate([pairs.worse[part], pairs.better[part]])
        involved, places = np.unique(rows, return_inverse=True)
        pictures = _looks(store, ids[involved].tolist())
        found[part] = same_pictures(pictures, *np.split(places, 2))
    return found


def _looks(store: Store, ids: Sequence[int]) -> NDArray[np.uint8]:
    """(n, 64, 64, 3) uint8 RGB of the photos' thumbnails, stretched to squares; all 0 where there is none."""
    found = np.zeros((len(ids), SIDE_PX, SIDE_PX, 3), np.uint8)
    with ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(ids), READ):
            part = ids[start : start + READ]
            with store.catalog.reading() as c:
                thumbnails = reading.thumbnails(c, part)
            for row, pixels in enumerate(pool.map(small, (thumbnails.get(key, b"") for key in part)), start):
                found[row] = pixels
    return found


def small(thumbnail: bytes) -> NDArray[np.uint8]:
    """(64, 64, 3) uint8 RGB of a thumbnail, stretched to a square; all 0 for one that is no picture."""
    try:
        image = decode(thumbnail, name="", max_pixels=_MAX_PIXELS).image
    except PictureError:
        return np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    return np.asarray(image.resize((SIDE_PX, SIDE_PX), reducing_gap=2.0), np.uint8)


def same_pictures(
    pictures: NDArray[np.uint8], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which pairs of rows (m,) of pictures (n, H, W, 3) uint8 RGB show the same."""
    found = np.empty(len(left), bool)
    for start in range(0, len(left), COMPARED):
        part = slice(start, start + COMPARED)
        found[part] = _same(pictures[left[part]], pictures[right[part]])
    return found


def _same(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """For pictures (m, H, W, 3) uint8 RGB and as many others: whether they show the same, (m,)."""
    a, b = (each.reshape(len(each), -1, 3).astype(np.float32) @ _TO_YCC.T for each in (left, right))
    spread_a, spread_b = a[..., 0].std(axis=1), b[..., 0].std(axis=1)
    centred = [each[..., 0] - each[..., 0].mean(axis=1, keepdims=True) for each in (a, b)]
    correlation = (centred[0] * centred[1]).mean(axis=1) / np.maximum(spread_a * spread_b, 1e-6)
    colours = np.abs(a[..., 1:] - b[..., 1:]).mean(axis=(1, 2))
    colourless = np.minimum(*(np.abs(each[..., 1:]).mean(axis=(1, 2)) for each in (a, b))) < GREY_SATURATION
    matching = (correlation >= LEAST_CORRELATION) & ((colours <= COLOUR_DIFFERENCE) | colourless)
    flat_a, flat_b = spread_a < FLAT_DEVIATION, spread_b < FLAT_DEVIATION
    apart = np.abs(left.mean(axis=(1, 2)) - right.mean(axis=(1, 2))).max(axis=1)
    both_flat = flat_a & flat_b
    return np.asarray((both_flat & (apart <= FLAT_DIFFERENCE)) | (matching & ~flat_a & ~flat_b), bool)
