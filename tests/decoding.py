"""What tests of pictures need: decode without ceremony, compare, and a plain reference for EXIF's turns."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from library.images import Picture, decode

_MAX_PIXELS = 300_000_000


def decoded(data: bytes, name: str = "", min_side_px: int | None = None) -> Picture:
    return decode(data, name=name, max_pixels=_MAX_PIXELS, min_side_px=min_side_px)


def difference(a: Image.Image, b: Image.Image) -> float:
    """Mean absolute difference of two RGB pictures of one size, in 8-bit levels."""
    assert a.mode == b.mode == "RGB"
    assert a.size == b.size
    return float(np.abs(pixels(a) - pixels(b)).mean())


def pixels(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image).astype(np.float64)


def correlation(a: Image.Image, b: Image.Image) -> float:
    return float(np.corrcoef(pixels(a.convert("L")).ravel(), pixels(b.convert("L")).ravel())[0, 1])


def heic_bytes(image: Image.Image, exif: bytes | None = None) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, quality=90, exif=exif)
    return out.getvalue()


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """A plain reference for EXIF's orientations, straight from its table of where row 0 and column 0 lie."""
    grid = np.asarray(image)
    grid = grid.swapaxes(0, 1) if orientation >= 5 else grid
    grid = grid[:, ::-1] if orientation in (2, 3, 6, 7) else grid
    grid = grid[::-1] if orientation in (3, 4, 7, 8) else grid
    return Image.fromarray(np.ascontiguousarray(grid))
