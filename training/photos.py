"""A photo with its captions, wherever it lies; copies merged; the photos held back for measuring chosen."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from library.errors import FileChanging, UnreadablePicture
from library.images import read_bytes
from library.records import display_path

MAX_FILE_BYTES = 500_000_000
# Among how many photos recall is measured: more would take longer than it tells, and be lost for training.
MOST_HELD_BACK = 1000
# Enough of a picture's middle to tell it from any other: 16 KiB of compressed pixels.
_SAMPLE_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Source:
    """Where a picture's bytes are: a file, or `size_bytes` from `offset` of a tar archive."""

    path: Path
    member: str = ""  # its name in the archive; empty for a file of its own
    offset: int = 0
    size_bytes: int = 0

    @property
    def name(self) -> str:
        """How to call it in a list of problems."""
        return f"{display_path(self.path)}:{self.member}" if self.member else display_path(self.path)

    def read(self) -> bytes:
        """The picture file's content. Raises PictureError."""
        if not self.member:
            return read_bytes(self.path, max_bytes=MAX_FILE_BYTES)
        data = self._part(0, self.size_bytes)
        if len(data) != self.size_bytes:
            raise FileChanging("the archive is shorter than it was")
        return data

    def fingerprint(self) -> bytes:
        """32 bytes that are equal for copies of one picture: its size, and the middle of its content.

        Raises UnreadablePicture. A few milliseconds even where reading all of a RAW would take a second.
        """
        size = self.size_bytes
        try:
            size = size if self.member else self.path.stat().st_size
        except OSError as error:
            raise UnreadablePicture(f"the file cannot be read: {error.strerror}") from error
        middle = self._part(max(0, size - _SAMPLE_BYTES) // 2, min(size, _SAMPLE_BYTES))
        return hashlib.sha256(size.to_bytes(8, "big") + middle).digest()

    def _part(self, start: int, length: int) -> bytes:
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset + start)
                return file.read(length)
        except OSError as error:
            raise UnreadablePicture(f"the file cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture, the captions that describe it (at least one), and its label where it has exactly one."""

    source: Source
    captions: tuple[str, ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was passed over, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Identified:
    """A photo and the fingerprint of its content."""

    photo: Photo
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Split:
    """Photos to learn from, and photos that are only measured on. No picture is on both sides."""

    training: tuple[Photo, ...]
    held_back: tuple[Photo, ...]


def identify(photos: Sequence[Photo]) -> tuple[list[Identified], list[Problem]]:
    """Photos by their content, in a fixed order: copies become one photo with the captions of all of them."""
    merged: dict[bytes, Photo] = {}
    problems = []
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        for photo, found in zip(photos, pool.map(_fingerprint, photos), strict=True):
            if isinstance(found, Problem):
                problems.append(found)
                continue
            known = merged.get(found)
            merged[found] = photo if known is None else _merged(known, photo)
    return [Identified(photo, key) for key, photo in sorted(merged.items())], problems


def split(photos: Sequence[Identified], fraction: float) -> Split:
    """Holds back about `fraction` (0 to 1) of the photos, at least one unless it is 0, at most MOST_HELD_BACK.

    The choice depends on each photo's content alone: one that was held back once is held back again when
    others have joined it or the folder has moved, whatever the seed.
    """
    if fraction <= 0 or not photos:
        return Split(tuple(each.photo for each in photos), ())
    by_share = sorted((each.fingerprint for each in photos), key=_share)
    below = sum(_share(fingerprint) < fraction for fingerprint in by_share)
    return _divided(photos, set(by_share[: min(max(1, below), MOST_HELD_BACK)]))


def without(photos: Sequence[Identified], others: Iterable[Identified]) -> Split:
    """`photos` for training but for those that are among `others`, which are held back, MOST_HELD_BACK at most."""
    kept = list(others)
    seen = {each.fingerprint for each in kept}
    training = tuple(each.photo for each in photos if each.fingerprint not in seen)
    measured = sorted(kept, key=lambda each: _share(each.fingerprint))[:MOST_HELD_BACK]
    return Split(training, tuple(each.photo for each in measured))


def _divided(photos: Sequence[Identified], held: set[bytes]) -> Split:
    return Split(
        tuple(each.photo for each in photos if each.fingerprint not in held),
        tuple(each.photo for each in photos if each.fingerprint in held),
    )


def _fingerprint(photo: Photo) -> bytes | Problem:
    try:
        return photo.source.fingerprint()
    except UnreadablePicture as error:
        return Problem(photo.source.name, error.message)


def _merged(one: Photo, other: Photo) -> Photo:
    captions = tuple(dict.fromkeys((*one.captions, *other.captions)))
    return replace(one, captions=captions, label=one.label if one.label == other.label else "")


def _share(fingerprint: bytes) -> float:
    """A number from 0 to 1 that is spread evenly over fingerprints (they are SHA-256 digests)."""
    return float(int.from_bytes(fingerprint[:8], "big") / 2**64)
