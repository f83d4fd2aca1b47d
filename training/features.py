"""Pictures as the trained part of the image tower wants them: pixels made for each step, or computed once.

Where the first layers are frozen, what they make of a picture never changes: it is computed once for a few views
of each photo and kept in a file, and an epoch costs seconds instead of minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from library.ahead import ordered_map
from library.weights import write_atomically
from training.data import Draw, open_photo, threads, view_of, view_seed
from training.photos import Photo, Problem
from training.towers import Towers

if TYPE_CHECKING:
    from torch import Tensor

F32 = NDArray[np.float32]
_CHUNK = 32  # pictures that go through the frozen layers at once


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's pictures, (N, ...) float32 on the processor, and the pairs they belong to: bad ones are gone."""

    draw: Draw
    images: Tensor
    problems: tuple[Problem, ...] = ()


class Inputs(Protocol):
    """Where a step's pictures come from."""

    def batches(self, draws: Iterator[Draw]) -> Iterator[Batch]:
        """The pictures of each draw, in order."""
        ...


class PixelInputs:
    """Every picture decoded and cropped anew for each step, by threads, two batches ahead."""

    def __init__(self, towers: Towers, photos: Sequence[Photo], *, seed: int) -> None:
        self._towers = towers
        self._photos = photos
        self._seed = seed

    def batches(self, draws: Iterator[Draw]) -> Iterator[Batch]:
        """Pixels through the frozen layers, if there are any; each view is another random part of the photo."""
        with ThreadPoolExecutor(threads()) as pool:

            def collect(draw: Draw) -> Batch:
                return _gathered(
                    draw, list(pool.map(lambda row: self._pixels(draw, row), range(len(draw.photos))))
                )

            for batch in ordered_map(collect, draws, workers=1, ahead=2):
                yield self._through_frozen(batch)

    def _pixels(self, draw: Draw, row: int) -> Tensor | Problem:
        photo = int(draw.photos[row])
        image = open_photo(self._photos[photo], side_px=self._towers.clip.image_size)
        if isinstance(image, Problem):
            return image
        # A view that no other step has: 2 and more are random parts.
        random = view_seed(self._seed, photo, draw.step + 2)
        return self._towers.clip.preprocess(view_of(image, draw.step + 2, random))

    def _through_frozen(self, batch: Batch) -> Batch:
        if not self._towers.frozen or not len(batch.images):
            return batch
        values = _computed(self._towers, batch.images)
        return Batch(batch.draw, values, batch.problems)


def _gathered(draw: Draw, found: Sequence[Tensor | Problem]) -> Batch:
    import torch

    keep = [row for row, each in enumerate(found) if not isinstance(each, Problem)]
    sound = [each for each in found if not isinstance(each, Problem)]
    images = torch.stack(sound) if sound else torch.zeros(0)
    return Batch(draw.only(keep), images, tuple(each for each in found if isinstance(each, Problem)))


def _computed(towers: Towers, pixels: Tensor) -> Tensor:
    """The frozen layers' output in pieces, float32 on the processor."""
    import torch

    pieces = torch.split(pixels, _CHUNK)
    return torch.cat([towers.frozen_part(piece.to(towers.clip.device)).float().cpu() for piece in pieces])


class FeatureInputs:
    """What the frozen layers made of a few views of every photo, from a file that is mapped into memory."""

    def __init__(self, values: NDArray[np.float16]) -> None:
        self._values = values  # (views, photos, ...)

    def batches(self, draws: Iterator[Draw]) -> Iterator[Batch]:
        """The rows of each draw."""
        import torch

        for draw in draws:
            yield Batch(draw, torch.from_numpy(self._values[draw.views, draw.photos].astype(np.float32)))


@dataclass(frozen=True, slots=True)
class Kept:
    """The photos that could be read, as rows of the given ones, what was computed, and the others."""

    rows: list[int]
    values: NDArray[np.float16]  # (views, len(rows), ...)
    problems: list[Problem]


def computed_features(
    towers: Towers,
    photos: Sequence[Photo],
    file: Path,
    *,
    views: int,
    seed: int,
    told: Callable[[int], None] = lambda done: None,
) -> Kept:
    """The frozen layers' output for `views` views of each photo, kept in `file` (.npy) and taken from there
    when it was made from the same photos by the same layers. `told` hears how many photos are done.
    """
    key = _key(towers, photos, views, seed)
    note = file.with_suffix(".json")
    known = _known(note, key)
    if known is None or not file.is_file():
        known = _compute(towers, photos, file, views=views, seed=seed, told=told)
        write_atomically(note, json.dumps({"key": key, "problems": known}))
    rows = [row for row in range(len(photos)) if str(row) not in known]
    problems = [Problem(photos[int(row)].source.name, reason) for row, reason in known.items()]
    values: NDArray[np.float16] = np.load(file, mmap_mode="r")
    return Kept(rows, values[:, : len(rows)], problems)


def _key(towers: Towers, photos: Sequence[Photo], views: int, seed: int) -> str:
    """What the file's content depends on, as a hash."""
    stamp = towers.clip.stamp
    layers = [group.name for group in towers.frozen]
    parts = [stamp.weights_sha256, stamp.preprocessing, layers, views, seed, towers.use_bf16]
    digest = hashlib.sha256(repr(parts).encode())
    for photo in photos:
        digest.update(repr(photo.source).encode())
    return digest.hexdigest()


def _known(note: Path, key: str) -> dict[str, str] | None:
    """Row -> why it could not be read, of a finished file with this key."""
    try:
        content = json.loads(note.read_text("utf-8"))
        problems: dict[str, str] = content["problems"]
        return problems if content["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _compute(
    towers: Towers, photos: Sequence[Photo], file: Path, *, views: int, seed: int, told: Callable[[int], None]
) -> dict[str, str]:
    """Fills the file; sound photos stand in its first columns, in their order. Returns row -> reason of others."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".part")
    out: np.memmap[tuple[int, ...], np.dtype[np.float16]] | None = None
    problems: dict[str, str] = {}
    done = 0
    for start, found in _pixel_chunks(towers, photos, views, seed):
        sound = []
        for offset, each in enumerate(found):
            if isinstance(each, Problem):
                problems[str(start + offset)] = each.reason
            else:
                sound.append(each)
        if sound:
            values = _frozen_views(towers, sound)
            if out is None:
                shape = (views, len(photos), *values.shape[2:])
                out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            out[:, done : done + len(sound)] = values
            done += len(sound)
        told(start + len(found))
    if out is None:
        out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=(views, 0, 1))
    out.flush()
    del out
    os.replace(temporary, file)
    return problems


def _pixel_chunks(
    towers: Towers, photos: Sequence[Photo], views: int, seed: int
) -> Iterator[tuple[int, list[Tensor | Problem]]]:
    """(first row, (views, 3, H, W) of each photo or why not), a few photos at a time, one chunk ahead."""
    import torch

    def pixels(row: int) -> Tensor | Problem:
        image = open_photo(photos[row], side_px=towers.clip.image_size)
        if isinstance(image, Problem):
            return image
        shown = (view_of(image, view, view_seed(seed, row, view)) for view in range(views))
        return torch.stack([towers.clip.preprocess(each) for each in shown])

    many = max(1, _CHUNK // views)
    stream = ordered_map(pixels, range(len(photos)), workers=threads(), ahead=2 * many)
    for start in range(0, len(photos), many):
        yield start, [next(stream) for _ in range(min(many, len(photos) - start))]


def _frozen_views(towers: Towers, pixels: Sequence[Tensor]) -> NDArray[np.float16]:
    """Photos as (views, 3, H, W) each -> (views, photos, ...) float16."""
    import torch

    stacked = torch.stack(list(pixels))  # (photos, views, 3, H, W)
    values = _computed(towers, stacked.flatten(0, 1))
    values = values.reshape(*stacked.shape[:2], *values.shape[1:])
    return np.asarray(values.transpose(0, 1).numpy().clip(-65_000, 65_000), dtype=np.float16)
