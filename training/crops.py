"""Pictures for a VQGAN: found without captions, and cut into squares drawn from the seed and the step's number."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from library.ahead import ordered_map
from library.catalog import reading
from library.errors import UsageError
from library.images import PICTURE_SUFFIXES
from library.records import FileState, display_path
from library.store import Store
from training.data import open_photo, threads, view_seed
from training.photos import Photo, Problem, Source, Split
from training.sources import LIBRARY, TABLES, Found, read_members, read_table
from training.splits import is_held_out

if TYPE_CHECKING:
    from torch import Tensor

Int = NDArray[np.int64]

_PICTURES = frozenset(os.fsdecode(suffix) for suffix in PICTURE_SUFFIXES)
_ORDER = 11  # the kind of random draw; others have theirs in training/data.py
_MOST_SCALE = 2.0  # a picture is shrunk until its shorter side is one to so many crops long
_FORMS = "Give a folder of pictures, .tar shards, a .csv with a column path, or the word library."


@dataclass(frozen=True, slots=True)
class Crops:
    """One step's squares: `images` (N, 3, S, S) float32 in -1..1 on the processor; what could not be read is gone."""

    step: int
    images: Tensor
    problems: tuple[Problem, ...] = ()


def read_pictures(data: Sequence[str], store: Store | None = None, *, shards: Sequence[str] = ()) -> Found:
    """Every picture in the given places, in a fixed order, with no captions.

    `store` is the library that the word "library" means; `shards`, when given, are the names of the only .tar files
    that are taken from folders. Raises UsageError for a place that is of no known kind, and when there is no picture.
    """
    found = Found()
    for place in data:
        _read(place, store, shards, found)
    if not found.photos:
        raise UsageError(f"no picture was found in {', '.join(data)}", hint=_FORMS)
    return found


def by_key(photos: Sequence[Photo]) -> Split:
    """Holds back the pictures whose key in their shard is held out for measuring, as the built-in models do."""
    held = [photo for photo in photos if is_held_out(_key(photo))]
    out = {photo.source for photo in held}
    return Split(tuple(photo for photo in photos if photo.source not in out), tuple(held))


def _key(photo: Photo) -> str:
    return PurePosixPath(photo.source.member or photo.source.path.name).name.partition(".")[0]


def _read(place: str, store: Store | None, shards: Sequence[str], found: Found) -> None:
    path = Path(place).expanduser().absolute()
    if place == LIBRARY:
        if store is None:
            raise UsageError("there is no library to take photos from", hint="Index some photos first.")
        found.photos += _library_pictures(store)
    elif path.is_dir():
        _read_folder(path, shards, found)
    elif not path.is_file():
        raise UsageError(f"{display_path(path)} does not exist", hint=_FORMS)
    elif path.suffix.lower() in TABLES:
        read_table(path, found)
    elif path.suffix.lower() == ".tar":
        _read_tar(path, found)
    elif path.suffix.lower() in _PICTURES:
        found.photos.append(_bare(Source(path)))
    else:
        raise UsageError(f"{display_path(path)} is not a source of pictures", hint=_FORMS)


def _read_folder(folder: Path, shards: Sequence[str], found: Found) -> None:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            suffix = path.suffix.lower()
            if suffix == ".tar" and (not shards or path.stem in shards):
                _read_tar(path, found)
            elif suffix in _PICTURES and not shards:
                found.photos.append(_bare(Source(path)))


def _read_tar(path: Path, found: Found) -> None:
    def take(_: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        if member.isfile() and PurePosixPath(member.name).suffix.lower() in _PICTURES:
            found.photos.append(_bare(Source(path, member.name, member.offset_data, member.size)))

    read_members(path, found, take)


def _library_pictures(store: Store) -> list[Photo]:
    with store.catalog.reading() as c:
        files = reading.photo_files(c, reading.all_photo_ids(c))
    return [
        _bare(Source(path))
        for path, state in (rows[0] for rows in files.values())
        if state == FileState.INDEXED
    ]


def _bare(source: Source) -> Photo:
    return Photo(source, ())


class CropOrder:
    """Pictures in a new random order each epoch; nothing is remembered, so a resumed run sees the same."""

    def __init__(self, photos: Sequence[Photo], *, batch: int, crop: int, seed: int) -> None:
        self._photos = photos
        self._batch = min(batch, len(photos))
        self._crop = crop
        self._seed = seed

    def rows(self, step: int) -> Int:
        """Which pictures a step sees, (N,) int64; a batch may run over the end of an epoch into the next."""
        first = step * self._batch
        epochs = range(first // len(self._photos), (first + self._batch - 1) // len(self._photos) + 1)
        orders = [
            np.random.default_rng([self._seed, _ORDER, epoch]).permutation(len(self._photos))
            for epoch in epochs
        ]
        start = first - epochs[0] * len(self._photos)
        return np.concatenate(orders)[start : start + self._batch].astype(np.int64)

    def batches(self, steps: Iterator[int]) -> Iterator[Crops]:
        """The squares of each step, decoded by threads two steps ahead."""
        with ThreadPoolExecutor(threads()) as pool:

            def collect(step: int) -> Crops:
                return _gathered(
                    step, list(pool.map(lambda row: self._square(step, int(row)), self.rows(step)))
                )

            yield from ordered_map(collect, steps, workers=1, ahead=3)

    def _square(self, step: int, row: int) -> NDArray[np.float32] | Problem:
        image = open_photo(self._photos[row], side_px=self._crop)
        if isinstance(image, Problem):
            return image
        return to_numbers(random_square(image, self._crop, view_seed(self._seed, row, step)))


def random_square(image: Image.Image, side_px: int, random: np.random.Generator) -> Image.Image:
    """A square of the picture, mirrored or not, at a random scale: from most of the picture to its details."""
    most = max(side_px, min(min(image.size), round(_MOST_SCALE * side_px)))
    shorter = int(random.integers(side_px, most + 1))
    image = _shorter_side(image, shorter)
    left, top = (int(random.integers(room - side_px + 1)) for room in image.size)
    square = image.crop((left, top, left + side_px, top + side_px))
    return ImageOps.mirror(square) if random.random() < 0.5 else square


def middle_square(image: Image.Image, side_px: int) -> Image.Image:
    """The middle of the picture, its shorter side brought to `side_px`."""
    image = _shorter_side(image, side_px)
    left, top = ((room - side_px) // 2 for room in image.size)
    return image.crop((left, top, left + side_px, top + side_px))


def to_numbers(image: Image.Image) -> NDArray[np.float32]:
    """RGB -> (3, H, W) float32 in -1..1."""
    return np.asarray(image, np.float32).transpose(2, 0, 1) / 127.5 - 1


def to_picture(values: NDArray[np.float32]) -> Image.Image:
    """(3, H, W) float32, clipped to -1..1 -> RGB."""
    levels = ((values.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
    return Image.fromarray(levels.transpose(1, 2, 0))


def _shorter_side(image: Image.Image, side_px: int) -> Image.Image:
    scale = side_px / min(image.size)
    width, height = (max(side_px, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def _gathered(step: int, found: Sequence[NDArray[np.float32] | Problem]) -> Crops:
    import torch

    sound = [each for each in found if not isinstance(each, Problem)]
    images = torch.from_numpy(np.stack(sound)) if sound else torch.zeros(0)
    return Crops(step, images, tuple(each for each in found if isinstance(each, Problem)))
