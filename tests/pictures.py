"""Test pictures, always the same for the same arguments: scenes, rotated copies, a folder of hostile files."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageFilter

INDEXED, UNREADABLE, IGNORED = "indexed", "unreadable", "ignored"

# What was done to the pixels, so that the orientation in EXIF undoes it when the picture is shown.
_STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """An RGB scene: a sky, a ground, a few soft shapes. Different seeds look different."""
    rng = random.Random(seed)
    picture = _sky_and_ground(rng, size)
    pen = ImageDraw.Draw(picture)
    width, height = size
    for _ in range(rng.randint(3, 7)):
        x, y = rng.randrange(width), rng.randrange(height)
        radius = rng.randint(max(2, min(size) // 16), max(3, min(size) // 4))
        box = (x - radius, y - radius, x + radius, y + radius * rng.uniform(0.4, 1.2))
        shape = rng.choice((pen.ellipse, pen.rectangle))
        shape(box, fill=_colour(rng))
    return picture.filter(ImageFilter.GaussianBlur(min(size) / 200))


def jpeg_bytes(
    image: Image.Image, *, orientation: int = 1, exif: Image.Exif | None = None, quality: int = 92
) -> bytes:
    """The picture as a JPEG file. An orientation other than 1 is written as it is; the pixels are not turned."""
    tags = Image.Exif() if exif is None else exif
    if orientation != 1:
        tags[ExifTags.Base.Orientation] = orientation
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, exif=tags)
    return out.getvalue()


def file_bytes(image: Image.Image, format: str, **options: object) -> bytes:
    """The picture as a file in any format that Pillow writes."""
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def save_jpeg(
    path: Path, image: Image.Image, *, orientation: int = 1, exif: Image.Exif | None = None
) -> Path:
    """Write the picture as a JPEG; returns the path."""
    path.write_bytes(jpeg_bytes(image, orientation=orientation, exif=exif))
    return path


def oriented_copies(image: Image.Image) -> dict[int, bytes]:
    """EXIF orientation -> JPEG file. All eight show the same picture once EXIF is applied."""
    stored = {1: image} | {number: image.transpose(how) for number, how in _STORED_AS.items()}
    return {number: jpeg_bytes(copy, orientation=number, quality=95) for number, copy in stored.items()}


def camera_exif(
    *,
    taken_at: str = "2023:07:14 18:03:22",
    offset: str | None = "+02:00",
    position: tuple[float, float] | None = (50.0875, 14.4213),
) -> Image.Exif:
    """The EXIF of an ordinary camera; the position is (latitude, longitude) in degrees."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Okular\0"
    exif[ExifTags.Base.Model] = "Okular X100"
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = taken_at
    details[ExifTags.Base.LensModel] = "35mm f/2"
    if offset:
        details[ExifTags.Base.OffsetTimeOriginal] = offset
    if position:
        _set_position(exif, *position)
    return exif


def png_bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """A well-formed PNG of a few hundred bytes whose header claims that many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def hostile_folder(path: Path) -> dict[bytes, str]:
    """Fill the folder with what people's disks hold; relative path -> INDEXED, UNREADABLE or IGNORED."""
    contents = _sound_files() | _broken_files()
    expected = {}
    for name, (content, outcome) in contents.items():
        with open(os.path.join(os.fsencode(path), name), "wb") as file:
            file.write(content)
        expected[name] = outcome
    os.mkfifo(path / "x.jpg")
    (path / "broken.jpg").symlink_to(path / "nowhere.jpg")
    (path / "loop").symlink_to(path, target_is_directory=True)
    return expected | {b"x.jpg": IGNORED, b"broken.jpg": IGNORED, b"loop": IGNORED}


def _sound_files() -> dict[bytes, tuple[bytes, str]]:
    """Unusual, but pictures. Every one has content of its own, so that none is a copy of another."""
    names = (
        b"new\nline.jpg",
        b"\xff\xfe.jpg",
        b"-rf.jpg",
        "kočka 😀.jpg".encode(),
        b"n" * 251 + b".jpg",
        b"no-extension",
        b"UPPER.JPG",
        b"two  spaces 'and\" quotes.jpeg",
    )
    files = {name: jpeg_bytes(photo(100 + number)) for number, name in enumerate(names)}
    frames = [photo(seed) for seed in (131, 132, 133)]
    animation: dict[str, object] = {"save_all": True, "append_images": frames[1:], "duration": 100}
    files |= {
        b"cmyk.jpg": file_bytes(photo(120).convert("CMYK"), "JPEG"),
        b"grey16.png": file_bytes(deep_grey(121), "PNG"),
        b"grey16.tif": file_bytes(deep_grey(122), "TIFF"),
        b"palette.png": file_bytes(photo(123).quantize(16), "PNG", transparency=0),
        b"la.png": file_bytes(photo(124).convert("LA"), "PNG"),
        b"moving.gif": file_bytes(frames[0], "GIF", **animation),
        b"moving.webp": file_bytes(frames[0], "WEBP", **animation),
        b"png-inside.jpg": file_bytes(photo(125), "PNG"),
    }
    return {name: (content, INDEXED) for name, content in files.items()}


def _broken_files() -> dict[bytes, tuple[bytes, str]]:
    jpeg, png = jpeg_bytes(photo(140)), file_bytes(photo(141), "PNG")
    broken = {
        b"cut.jpg": jpeg[: len(jpeg) // 2],
        b"cut.png": png[: len(png) // 2],
        b"empty.jpg": b"",
        b"text.jpg": b"These are words, not light.\n" * 40,
        b"bomb.png": png_bomb(),
    }
    files = {name: (content, UNREADABLE) for name, content in broken.items()}
    return files | {b"notes.txt": (b"Milk, bread, film.\n", IGNORED)}


def deep_grey(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture of mode I;16 that uses the whole range, 0 to 65535."""
    values = np.asarray(photo(seed, size).convert("L")).astype(np.float64)
    values = (values - values.min()) / (values.max() - values.min())
    return Image.fromarray(np.rint(values * 65535).astype(np.uint16))


def _colour(rng: random.Random) -> tuple[int, int, int]:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def _sky_and_ground(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Two gradients that meet at a tilted horizon."""
    width, height = size
    top, middle, ground, bottom = (np.array(_colour(rng), float) for _ in range(4))
    y, x = np.mgrid[0:height, 0:width].astype(float)
    horizon = height * rng.uniform(0.35, 0.7) + (x - width / 2) * rng.uniform(-0.2, 0.2)
    above = np.clip(y / np.maximum(horizon, 1), 0, 1)[..., None]
    below = np.clip((y - horizon) / np.maximum(height - horizon, 1), 0, 1)[..., None]
    sky, land = top + (middle - top) * above, ground + (bottom - ground) * below
    return Image.fromarray(np.where((y < horizon)[..., None], sky, land).astype(np.uint8))


def _set_position(exif: Image.Exif, latitude: float, longitude: float) -> None:
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef] = "N" if latitude >= 0 else "S"
    gps[ExifTags.GPS.GPSLatitude] = _sexagesimal(abs(latitude))
    gps[ExifTags.GPS.GPSLongitudeRef] = "E" if longitude >= 0 else "W"
    gps[ExifTags.GPS.GPSLongitude] = _sexagesimal(abs(longitude))
    gps[ExifTags.GPS.GPSAltitudeRef] = b"\x00"
    gps[ExifTags.GPS.GPSAltitude] = 191.5


def _sexagesimal(degrees: float) -> tuple[float, float, float]:
    whole, minutes = int(degrees), int(degrees * 60 % 60)
    return float(whole), float(minutes), round(degrees * 3600 % 60, 4)
