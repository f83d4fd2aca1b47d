"""Path or bytes -> an upright RGB picture and its facts. The only place in oko that opens images.

Everything here may run in many threads at once. A file that cannot become a picture raises a PictureError whose
message is the reason alone ("the file is empty (0 bytes)"), fit to follow the file's name in a list.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from PIL import Image, UnidentifiedImageError

from library import formats
from library.errors import FileChanging, MissingExtra, PictureError, TooManyPixels, UnreadablePicture
from library.exif import exif_of, exif_of_tiff, facts_from_exif, orientation_of
from library.formats import PICTURE_SUFFIXES, RAW_SUFFIXES, Family, looks_like_picture
from library.pixels import to_rgb, upright
from library.raw import RawFile, open_raw, reason_of
from library.records import ImageFacts

__all__ = [
    "PICTURE_SUFFIXES",
    "RAW_SUFFIXES",
    "Picture",
    "decode",
    "looks_like_picture",
    "opened",
    "read_bytes",
]

# Pillow's own limit is one number for the whole process and warns before it refuses; ours is an argument, checked
# from the header before any pixel is decoded. This module opens every image, so nothing is left unguarded.
Image.MAX_IMAGE_PIXELS = None

# Only these are ever tried: Pillow knows 40 more, among them EPS, which starts Ghostscript. They are imported here
# because Pillow's lazy registration is not made for threads.
_FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "JPEG2000", "PPM", "QOI", "AVIF")
for _plugin in ("Jpeg", "Mpo", "Png", "Gif", "WebP", "Bmp", "Tiff", "Jpeg2K", "Ppm", "Qoi", "Avif", "Tga"):
    import_module(f"PIL.{_plugin}ImagePlugin")

_DRAFT_FORMATS = ("JPEG", "MPO")  # MPO is a JPEG with more pictures behind it, as many phones write
_SMALLEST_PREVIEW_PX = 448  # a RAW's preview with a shorter side than this is developed instead: 2 x 224
_CUT_OFF_SIGNS = (
    "truncated",
    "unexpected end",
    "end of file",
    "eof",
    "broken data stream",
    "not enough data",
)
_NO_PICTURE = "not a picture (the content is not of any known format)"
_heif_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded photo: `image` is RGB and upright, perhaps reduced; `facts` has the full upright size."""

    image: Image.Image
    facts: ImageFacts


def read_bytes(path: bytes | Path, *, max_bytes: int) -> bytes:
    """A file's whole content.

    Raises UnreadablePicture (gone, not permitted, empty, too large, not a regular file) and FileChanging (written
    to meanwhile). Never blocks on a pipe or a device.
    """
    try:
        _require_file(os.stat(path), max_bytes)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb", buffering=0) as file:
            return _read_steady(file, max_bytes)
    except OSError as error:
        raise UnreadablePicture(_os_reason(error)) from error


def decode(data: bytes, *, name: str, max_pixels: int, min_side_px: int | None = None) -> Picture:
    """The picture in a file's content; of an animation the first frame, of a RAW the camera's own preview.

    `name` only tells RAW and Targa files by their suffix; for all others the content decides. With
    `min_side_px` a JPEG may come reduced, its shorter side no smaller than that. Measured with the built-in
    model at 448 px, as cosine with the full decode: 40 real photos of 1 to 16 megapixels least 0.998, mean 0.9994;
    36 small photos enlarged and with noise added, the hard case, least 0.990, mean 0.999 (a larger side does not
    raise that least). Raises UnreadablePicture, TooManyPixels or MissingExtra.
    """
    if not data:
        raise UnreadablePicture("the file is empty (0 bytes)")
    family = formats.family_of(data)
    limits = _Limits(max_pixels, min_side_px)
    if family is Family.RAW or (family in (Family.TIFF, Family.UNKNOWN) and formats.has_raw_suffix(name)):
        with _translated(data), open_raw(data) as raw:
            if raw is not None:
                return _decode_raw(raw, data, limits)
    with _translated(data), _open(data, family, name) as image:
        return _decode_open(image, limits)


@contextmanager
def opened(data: bytes, *, name: str) -> Iterator[Image.Image]:
    """A file's content with its header read and no pixel decoded, for what it says about itself.

    Raises UnreadablePicture or MissingExtra.
    """
    with _translated(data):
        image = _open(data, formats.family_of(data), name)
    with image:
        yield image


@dataclass(frozen=True, slots=True)
class _Limits:
    max_pixels: int
    min_side_px: int | None

    def check(self, size: tuple[int, int]) -> None:
        width, height = size
        if width * height > self.max_pixels:
            raise TooManyPixels(
                f"{width} x {height} pixels are {width * height / 1e6:,.0f} megapixels, more than the limit of "
                f"{self.max_pixels / 1e6:,.0f}",
                hint="Raise max_megapixels in the configuration if the picture is genuine, then: oko retry",
            )


def _require_file(status: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnreadablePicture("not a regular file")
    if status.st_size == 0:
        raise UnreadablePicture("the file is empty (0 bytes)")
    if status.st_size > max_bytes:
        raise UnreadablePicture(
            f"the file has {status.st_size / 1e6:,.1f} MB, more than the limit of {max_bytes / 1e6:,.1f} MB"
        )


def _read_steady(file: io.FileIO, max_bytes: int) -> bytes:
    before = os.fstat(file.fileno())
    _require_file(before, max_bytes)  # again: the path may name another file since it was asked
    parts, missing = [], before.st_size + 1  # one more than there should be shows a file that grows
    while missing > 0 and (part := file.read(missing)):
        parts.append(part)
        missing -= len(part)
    after = os.fstat(file.fileno())
    steady = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not steady or missing != 1:
        raise FileChanging("the file was being written to while it was read")
    return b"".join(parts)


def _os_reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    if isinstance(error, PermissionError):
        return "no permission to read the file"
    return f"the file cannot be read: {error.strerror or error}"


@contextmanager
def _translated(data: bytes) -> Iterator[None]:
    """Whatever a decoder raises becomes UnreadablePicture, its cause kept; running out of memory stays itself."""
    try:
        yield
    except (PictureError, MemoryError):
        raise
    except Exception as error:
        raise UnreadablePicture(_decode_reason(error, data)) from error


def _decode_reason(error: Exception, data: bytes) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "damaged: the header makes no sense" if looks_like_picture(data) else _NO_PICTURE
    reason = reason_of(error)
    is_cut = isinstance(error, EOFError) or any(sign in reason.lower() for sign in _CUT_OFF_SIGNS)
    return f"the file is cut off: {reason}" if is_cut else f"damaged: {reason}"


def _open(data: bytes, family: Family, name: str) -> Image.Image:
    """The picture with its header read and no pixel decoded yet."""
    accepted: tuple[str, ...] = _FORMATS
    if family is Family.HEIF:
        _register_heif()
        accepted = ("HEIF",)
    elif family is Family.AVIF:
        if "AVIF" not in Image.OPEN:
            raise UnreadablePicture("this Pillow was built without AVIF")
    elif family is Family.UNKNOWN:
        if not formats.has_tga_suffix(name):
            raise UnreadablePicture(_NO_PICTURE)
        accepted = ("TGA",)
    return Image.open(io.BytesIO(data), formats=accepted)


def _register_heif() -> None:
    with _heif_lock:
        if "HEIF" in Image.OPEN:
            return
        try:
            from pillow_heif import register_heif_opener
        except ImportError as error:
            raise MissingExtra("HEIC pictures need the package pillow-heif", extra="heic") from error
        register_heif_opener()


def _decode_open(image: Image.Image, limits: _Limits) -> Picture:
    rgb, size, exif = _load(image, limits)
    orientation = orientation_of(exif) or 1
    width, height = size[::-1] if orientation > 4 else size
    stored = image.info.get("original_orientation") or orientation  # libheif has turned the pixels itself
    facts = facts_from_exif(exif, width=width, height=height, format=image.format or "", orientation=stored)
    return Picture(upright(rgb, orientation), facts)


def _load(image: Image.Image, limits: _Limits) -> tuple[Image.Image, tuple[int, int], Image.Exif]:
    """RGB as stored (perhaps reduced), the full size as stored, and the EXIF."""
    limits.check(image.size)
    size = image.size
    is_draft = image.format in _DRAFT_FORMATS and limits.min_side_px is not None
    if is_draft and limits.min_side_px:
        image.draft(None, (limits.min_side_px, limits.min_side_px))
    if image.format == "PNG":
        image.load()  # its EXIF may stand behind the pixels, so asking for it would decode, errors hidden
    exif = exif_of(image)  # before the pixels: a TIFF gives its file away when it has decoded
    image.load()
    rgb = to_rgb(image)
    return rgb, size if is_draft else rgb.size, exif


def _decode_raw(raw: RawFile, data: bytes, limits: _Limits) -> Picture:
    limits.check(raw.size)
    exif = exif_of_tiff(data)
    preview = raw.preview()
    image: Image.Image | None = None
    if isinstance(preview, bytes):
        image, own = _decode_preview(raw, preview, limits)
        exif = exif if len(exif) else own
    elif preview is not None:
        image = upright(to_rgb(preview), raw.stored_orientation(preview.size, None))
    enough = min(limits.min_side_px or _SMALLEST_PREVIEW_PX, *(side // 2 for side in raw.size))
    if image is None or min(image.size) < enough:
        image = to_rgb(raw.develop())
    width, height = raw.size
    facts = facts_from_exif(exif, width=width, height=height, format="RAW", orientation=raw.orientation)
    return Picture(image, facts)


def _decode_preview(raw: RawFile, preview: bytes, limits: _Limits) -> tuple[Image.Image | None, Image.Exif]:
    """A RAW's embedded JPEG, upright; None where it is damaged, as the RAW itself may be sound."""
    try:
        with Image.open(io.BytesIO(preview), formats=("JPEG",)) as opened:
            rgb, size, exif = _load(opened, limits)
    except (MemoryError, TooManyPixels):
        raise
    except Exception:  # any decoder error; developing the RAW comes next, and raises if that is damaged too
        return None, Image.Exif()
    return upright(rgb, raw.stored_orientation(size, orientation_of(exif))), exif
