"""Files -> pictures ready for the model: one read and one decode each, in threads, in order, bounded."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library import images, previews
from library.errors import FileChanging, PictureError
from library.records import FailedFile, FileStamp, FileState, ImageFacts, KnownPhoto

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one file may cost."""

    max_bytes: int
    max_pixels: int
    min_side_px: int | None  # JPEGs are decoded at the scale that keeps this shorter side; None: in full
    thumbnail_px: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A decoded file: everything but its vector."""

    stamp: FileStamp
    content_sha256: bytes
    facts: ImageFacts
    perceptual_hash: int
    thumbnail: bytes
    pixels: NDArray[np.float32]  # (3, H, W), as the model wants it


@dataclass(frozen=True, slots=True)
class Decoder:
    """Turns one file of a root into `Prepared`, `KnownPhoto` or `FailedFile`. Safe to call from many threads."""

    root: Path
    limits: Limits
    known: Container[bytes]  # contents that have a vector already: hashed, but not decoded
    prepare: Callable[[Image.Image], NDArray[np.float32]]

    def __call__(self, stamp: FileStamp) -> Prepared | KnownPhoto | FailedFile:
        try:
            return self._decode(stamp)
        except PictureError as e:
            return _failure(stamp, e)
        except MemoryError:
            return FailedFile(stamp, FileState.FAILED, "there was not enough memory to decode it")
        except Exception as e:
            # One file must never stop a run; what this is, the log says in full.
            log.warning("decoding %r failed unexpectedly", stamp.path, exc_info=True)
            return FailedFile(
                stamp, FileState.FAILED, f"decoding failed unexpectedly: {type(e).__name__}: {e}"
            )

    def _decode(self, stamp: FileStamp) -> Prepared | KnownPhoto:
        data = images.read_bytes(
            os.path.join(os.fsencode(self.root), stamp.path), max_bytes=self.limits.max_bytes
        )
        if len(data) != stamp.size_bytes:  # changed since the scan; the old time has the next run look again
            stamp = stamp._replace(size_bytes=len(data))
        sha256 = hashlib.sha256(data).digest()
        if sha256 in self.known:
            return KnownPhoto(stamp, sha256)
        limits = self.limits
        name = os.fsdecode(stamp.path)
        picture = images.decode(data, name=name, max_pixels=limits.max_pixels, min_side_px=limits.min_side_px)
        return Prepared(
            stamp,
            sha256,
            picture.facts,
            previews.perceptual_hash(picture.image),
            previews.thumbnail(picture.image, limits.thumbnail_px),
            self.prepare(picture.image),
        )


def _failure(stamp: FileStamp, error: PictureError) -> FailedFile:
    if isinstance(error.__cause__, FileNotFoundError):
        return FailedFile(stamp, FileState.MISSING, "it was deleted while the folder was being indexed")
    reason = f"{error.message}; {error.hint}" if error.hint else error.message
    # What the system refused (permission, a bad cable) may be mended without the file changing, and costs nothing to
    # try again; the errors of decoders have no number.
    refused = isinstance(error.__cause__, OSError) and error.__cause__.errno is not None
    passing = refused or isinstance(error, FileChanging)
    return FailedFile(stamp, FileState.FAILED if passing else FileState.UNREADABLE, reason)
