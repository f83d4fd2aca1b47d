"""Camera RAW files: the preview the camera stored in them, or a quick development. Sole importer of rawpy."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from PIL import Image

from library.errors import MissingExtra, UnreadablePicture

if TYPE_CHECKING:
    import rawpy

# LibRaw's `flip` -> EXIF orientation: half a turn, a quarter to the left, a quarter to the right.
_ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}


class RawFile:
    """An open RAW file. Sizes are upright; `orientation` is EXIF's, of the pixels as they are stored."""

    def __init__(self, handle: rawpy.RawPy) -> None:
        self._handle = handle
        sizes = handle.sizes
        self.orientation = _ORIENTATIONS.get(sizes.flip, 1)
        self.stored_size = (sizes.width, sizes.height)
        self.size = self.stored_size[::-1] if self.orientation > 4 else self.stored_size

    def preview(self) -> bytes | Image.Image | None:
        """The largest embedded preview, not turned upright: a JPEG file, or a bitmap; None without one."""
        import rawpy

        try:
            found = self._handle.extract_thumb()
        except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
            return None
        return found.data if isinstance(found.data, bytes) else Image.fromarray(found.data)

    def develop(self) -> Image.Image:
        """RGB at half size, upright, with the camera's white balance: about a second for 24 megapixels."""
        return Image.fromarray(self._handle.postprocess(half_size=True, use_camera_wb=True, output_bps=8))

    def stored_orientation(self, preview_size: tuple[int, int], own: int | None) -> int:
        """The EXIF orientation by which a preview becomes upright.

        `own` is what the preview's EXIF says, None where it says nothing. LibRaw gives a preview without EXIF
        the orientation of the RAW, though some cameras turn the preview's pixels already: one that stands
        while the sensor lies (or the reverse) must not be turned again.
        """
        if self.orientation > 4 and _stands(preview_size) != _stands(self.stored_size):
            return 1
        return self.orientation if own is None else own


@contextmanager
def open_raw(data: bytes) -> Iterator[RawFile | None]:
    """The RAW file in `data`; None if LibRaw knows no such format. Raises MissingExtra, UnreadablePicture."""
    engine = _load_rawpy()
    try:
        handle = _read(engine, data)
        if handle is None:
            yield None
            return
        with handle:
            yield RawFile(handle)
    except engine.LibRawIOError as error:
        raise UnreadablePicture("the file is cut off: it ends before its own contents do") from error
    except engine.LibRawError as error:
        raise UnreadablePicture(f"damaged: {reason_of(error)}") from error


def reason_of(error: BaseException) -> str:
    """What a decoder's exception says, as text; LibRaw gives bytes."""
    first = error.args[0] if error.args else ""
    text = first.decode("utf-8", "replace") if isinstance(first, bytes) else str(error)
    return text.strip() or type(error).__name__


def _read(engine: ModuleType, data: bytes) -> rawpy.RawPy | None:
    try:
        handle: rawpy.RawPy = engine.imread(io.BytesIO(data))
    except (engine.LibRawFileUnsupportedError, engine.LibRawIOError):  # the latter: too short to tell
        return None
    return handle


def _load_rawpy() -> ModuleType:
    try:
        import rawpy
    except ImportError as error:
        raise MissingExtra("camera RAW files need the package rawpy", extra="raw") from error
    return rawpy


def _stands(size: tuple[int, int]) -> bool:
    return size[1] > size[0]
