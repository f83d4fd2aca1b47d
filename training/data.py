"""What each step shows the model: which photos, captions and views, all drawn from the seed and the step's number.

Nothing here remembers anything: step 1,000 is the same after a resumption as without one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from library.errors import PictureError
from library.images import decode
from training.photos import Photo, Problem

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
R = TypeVar("R")
Int = NDArray[np.int64]
Preprocess = Callable[[Image.Image], "Tensor"]

MAX_PIXELS = 300_000_000
# The kinds of random draws, so that no two use the same stream.
_ORDER, _STEP, _VIEW = 1, 2, 3
_LEAST_CROP = 0.6  # of the picture's area: captions name things at its edge, too
_SIDES = 2  # decoded at no less than this many times the model's input side


@dataclass(frozen=True, slots=True)
class Draw:
    """One step's pairs: rows of the photos, of their captions, and views, each (N,) int64."""

    step: int
    photos: Int
    captions: Int
    views: Int

    def only(self, keep: Sequence[int]) -> Draw:
        """The pairs at these places."""
        rows = np.asarray(keep, np.int64)
        return Draw(self.step, self.photos[rows], self.captions[rows], self.views[rows])


class Captions:
    """The captions of all photos in a row, and which of them say the same."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self.texts = [text for photo in photos for text in photo.captions]
        self._first = np.cumsum([0, *(len(photo.captions) for photo in photos)])
        self.digest = hashlib.sha256("\n".join(self.texts).encode("utf-8", "surrogatepass")).hexdigest()
        known: dict[str, int] = {}
        self.meaning = np.array([known.setdefault(_plain(text), len(known)) for text in self.texts], np.int64)

    def pick(self, photos: Int, shares: NDArray[np.float64]) -> Int:
        """One caption's row for each photo: the one that lies at the share (0 to 1) of its captions."""
        counts = self._first[photos + 1] - self._first[photos]
        return np.asarray(self._first[photos] + (shares * counts).astype(np.int64), dtype=np.int64)

    def of(self, photo: int) -> range:
        """The rows of a photo's captions."""
        return range(int(self._first[photo]), int(self._first[photo + 1]))

    def positives(self, draw: Draw) -> NDArray[np.bool_]:
        """(N, N) bool: row i, column j is True when the j-th text is a caption of the i-th photo."""
        columns: dict[int, list[int]] = {}
        for column, caption in enumerate(draw.captions):
            columns.setdefault(int(self.meaning[caption]), []).append(column)
        found = np.eye(len(draw.photos), dtype=np.bool_)
        for row, photo in enumerate(draw.photos):
            for caption in self.of(int(photo)):
                found[row, columns.get(int(self.meaning[caption]), [])] = True
        return found


class Order:
    """Photos in a new random order each epoch, a caption and a view of each."""

    def __init__(self, captions: Captions, photos: int, *, batch: int, views: int, seed: int) -> None:
        self._captions = captions
        self._photos = photos
        self._views = views
        self._seed = seed
        self.batch = min(batch, photos)

    @property
    def steps_per_epoch(self) -> int:
        """Full batches only; the photos left over are others in each epoch."""
        return self._photos // self.batch

    def draw(self, step: int) -> Draw:
        """The pairs of one step, counted from 0."""
        epoch, number = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self._seed, _ORDER, epoch]).permutation(self._photos)
        photos = order[number * self.batch : (number + 1) * self.batch].astype(np.int64)
        random = np.random.default_rng([self._seed, _STEP, step])
        captions = self._captions.pick(photos, random.random(self.batch))
        return Draw(step, photos, captions, random.integers(self._views, size=self.batch))


def view_seed(seed: int, photo: int, view: int) -> np.random.Generator:
    """The random numbers of one view of one photo."""
    return np.random.default_rng([seed, _VIEW, photo, view])


def view_of(image: Image.Image, view: int, random: np.random.Generator) -> Image.Image:
    """One of a photo's views: 0 as it is, 1 mirrored, the others a random part of it, mirrored or not."""
    if view == 0:
        return image
    if view == 1:
        return ImageOps.mirror(image)
    side = np.sqrt(random.uniform(_LEAST_CROP, 1))
    width, height = max(1, round(image.width * side)), max(1, round(image.height * side))
    left, top = (int(random.integers(room + 1)) for room in (image.width - width, image.height - height))
    part = image.crop((left, top, left + width, top + height))
    return ImageOps.mirror(part) if random.random() < 0.5 else part


def open_photo(photo: Photo, *, side_px: int) -> Image.Image | Problem:
    """A photo's picture, upright RGB, its shorter side reduced to twice `side_px` where that is quicker."""
    try:
        data = photo.source.read()
        return decode(data, name=photo.source.name, max_pixels=MAX_PIXELS, min_side_px=_SIDES * side_px).image
    except PictureError as error:
        return Problem(photo.source.name, error.message)


def threads() -> int:
    """How many threads decode."""
    return max(2, os.cpu_count() or 1)


def _plain(text: str) -> str:
    """A caption without what does not change its meaning to the model: case, blanks, a full stop."""
    return " ".join(text.lower().split()).rstrip(".")
