"""Photos changed by code: by time of day and weather, by what cameras and programs do to a file, and plain noise."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageEnhance, ImageFilter

from library.images import decode

_MAX_PIXELS = 100_000_000
_BLANK_PX = 224
_TURNED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def at_night(photo: Image.Image) -> Image.Image:
    """Dark, blue and grainy, its highlights left as lamps; RGB of the same size."""
    light = np.asarray(photo, np.float32) / 255
    dark = 0.34 * light**1.25 + 0.5 * np.clip(light - 0.88, 0, None) / 0.12  # (H, W, 3)
    dark *= np.array([0.78, 0.88, 1.2], np.float32)
    dark += np.random.default_rng(0).normal(0, 0.012, light.shape)
    return _from_unit(dark)


def at_sunset(photo: Image.Image) -> Image.Image:
    """Low orange light: the sky glows, the ground lies in shadow; RGB of the same size."""
    light = np.asarray(photo, np.float32) / 255
    down = np.linspace(0, 1, light.shape[0], dtype=np.float32)[:, None, None]  # 0 at the top
    shadow = light * np.array([0.85, 0.55, 0.42], np.float32) * (0.95 - 0.45 * down)
    across = np.linspace(-1, 1, light.shape[1], dtype=np.float32)[None, :, None]
    glow = np.exp(-((across / 0.7) ** 2) - ((down - 0.35) / 0.25) ** 2) * np.array([1, 0.55, 0.2], np.float32)
    return _from_unit(shadow + 0.5 * glow * (0.4 + light))


def in_fog(photo: Image.Image) -> Image.Image:
    """Pale and soft, more so towards the top, where it is farther away; RGB of the same size."""
    soft = photo.filter(ImageFilter.GaussianBlur(max(photo.size) / 150))
    light = np.asarray(soft, np.float32) / 255
    down = np.linspace(0, 1, light.shape[0], dtype=np.float32)[:, None, None]
    veil = 0.84 - 0.42 * down
    grey = light.mean(axis=2, keepdims=True)
    return _from_unit((0.5 * light + 0.5 * grey) * (1 - veil) + 0.8 * veil)


def in_daylight(photo: Image.Image) -> Image.Image:
    """The photo as it is."""
    return photo


LIGHTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "on a bright day": in_daylight,
    "at night": at_night,
    "at sunset": at_sunset,
    "in fog": in_fog,
}


def _resized(side_px: int) -> Callable[[Image.Image], Image.Image]:
    def change(photo: Image.Image) -> Image.Image:
        scale = side_px / max(photo.size)
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        return photo.resize(size, Image.Resampling.LANCZOS)

    return change


def _cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    def change(photo: Image.Image) -> Image.Image:
        width, height = photo.size
        x, y = (1 - share) * width / 2, (1 - share) * height / 2
        return photo.crop((round(x), round(y), round(width - x), round(height - y)))

    return change


def _through_jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    """Written as a JPEG and read as oko reads it."""

    def change(photo: Image.Image) -> Image.Image:
        out = io.BytesIO()
        photo.save(out, "JPEG", quality=quality)
        return decode(out.getvalue(), name="", max_pixels=_MAX_PIXELS).image

    return change


def _turned_by_exif(orientation: int) -> Callable[[Image.Image], Image.Image]:
    """The pixels stored turned, without loss, and EXIF saying so: read as oko reads it, it is the same photo."""

    def change(photo: Image.Image) -> Image.Image:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        out = io.BytesIO()
        photo.transpose(_TURNED[orientation]).save(out, "PNG", exif=exif, compress_level=1)
        return decode(out.getvalue(), name="", max_pixels=_MAX_PIXELS).image

    return change


def _mirrored(photo: Image.Image) -> Image.Image:
    return photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _greyed(photo: Image.Image) -> Image.Image:
    return ImageEnhance.Color(photo).enhance(0)


def _lying(photo: Image.Image) -> Image.Image:
    return photo.transpose(Image.Transpose.ROTATE_90)


# What must hardly move a photo's vector; the last two may, and show what a change of content does.
CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "four times as large": _resized(896),
    "112 pixels": _resized(112),
    "64 pixels": _resized(64),
    "cropped to 80 %": _cropped(0.8),
    "cropped to 60 %": _cropped(0.6),
    "JPEG quality 75": _through_jpeg(75),
    "JPEG quality 30": _through_jpeg(30),
    "JPEG quality 10": _through_jpeg(10),
    "EXIF rotation 180": _turned_by_exif(3),
    "EXIF rotation 90": _turned_by_exif(6),
    "EXIF rotation 270": _turned_by_exif(8),
    "mirrored": _mirrored,
    "without colour": _greyed,
    "lying, without EXIF": _lying,
}


def blanks() -> dict[str, Image.Image]:
    """Pictures of nothing: black, white, grey and coloured areas, fine and coarse noise; RGB, always the same."""
    side = (_BLANK_PX, _BLANK_PX)
    plain = {name: Image.new("RGB", side, colour) for name, colour in _PLAIN.items()}
    gradient = Image.merge("RGB", (Image.linear_gradient("L").resize(side),) * 3)
    random = np.random.default_rng(0)
    noise = {
        f"noise of {cells} cells": Image.fromarray(
            random.integers(0, 256, (cells, cells, 3), np.uint8)
        ).resize(side, Image.Resampling.BICUBIC)
        for cells in (4, 14, 56, 224)
    }
    grey = random.integers(0, 256, side, np.uint8)
    return {**plain, "gradient": gradient, **noise, "grey noise": Image.fromarray(grey).convert("RGB")}


_PLAIN = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (200, 30, 40),
    "blue": (40, 80, 200),
    "green": (40, 140, 60),
    "lens cap": (9, 8, 10),
    "overexposed": (252, 251, 247),
}


def _from_unit(pixels: NDArray[np.floating]) -> Image.Image:
    """(H, W, 3) in 0..1, clipped -> RGB."""
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))
