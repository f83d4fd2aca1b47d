"""Any Pillow mode -> 8-bit RGB: palettes, transparency, deep grey, floating point, CMYK, Lab."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FULL_16_BIT = 65_535.0


def to_rgb(image: Image.Image) -> Image.Image:
    """A new RGB picture with no metadata left in it. Transparent parts show white.

    Sixteen-bit grey is scaled by its full range, not clipped and not stretched. An ICC profile is ignored:
    CLIP was trained on pixels read the same way, and the conversion would cost more than the decode.
    """
    rgb = _convert(image)
    rgb.info = {}  # an orientation or a palette left here would be applied a second time by a later reader
    return rgb


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as EXIF orientation 1..8 says it should be shown; any other value changes nothing."""
    method = _TRANSPOSITIONS.get(orientation)
    return image if method is None else image.transpose(method)


def _convert(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _grey(np.asarray(image).astype(np.float32) / _FULL_16_BIT)
    if image.mode == "I":
        return _grey(_unit_range(np.asarray(image).astype(np.float32), (_FULL_16_BIT,)))
    if image.mode == "F":
        return _grey(_unit_range(np.asarray(image).astype(np.float32), (1.0, 255.0, _FULL_16_BIT)))
    if image.mode == "LAB":
        return _from_lab(image)
    if image.has_transparency_data or image.mode == "RGBa":
        return _on_white(image.convert("RGBA"))
    return image.convert("RGB")


def _unit_range(values: NDArray[np.float32], tops: tuple[float, ...]) -> NDArray[np.float32]:
    """Values of unknown range as 0..1: by the first of `tops` that holds all, else from least to most."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    for top in tops:
        if low >= 0.0 and high <= top:
            return values / np.float32(top)
    return (values - np.float32(low)) / np.float32(high - low or 1.0)


def _grey(values: NDArray[np.float32]) -> Image.Image:
    """(H, W) float32 in 0..1 -> RGB."""
    return Image.fromarray(np.rint(values * 255.0).astype(np.uint8)).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None  # only an in-place conversion returns nothing
    return converted
