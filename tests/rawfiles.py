"""A small DNG, as a camera would write it: Bayer data in a sub-folder, and an embedded JPEG preview."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

from tests.pictures import jpeg_bytes

_SHORT, _LONG, _RATIONAL, _SRATIONAL, _ASCII, _BYTE = 3, 4, 5, 10, 2, 1
_CODES = {_SHORT: "H", _LONG: "I", _RATIONAL: "I", _SRATIONAL: "i", _BYTE: "B"}
_DAYLIGHT = 21  # EXIF's number for the illuminant D65
_CFA, _JPEG, _RGGB = 32803, 7, (0, 1, 1, 2)

Entry = tuple[int, int, bytes | tuple[int, ...]]


def dng_bytes(
    image: Image.Image, *, orientation: int = 1, preview_size: tuple[int, int] | None = None
) -> bytes:
    """A DNG whose sensor saw the picture as it is stored; `preview_size` adds a JPEG preview of that size."""
    mosaic = _mosaic(image)
    preview = jpeg_bytes(image.resize(preview_size)) if preview_size else b""
    start = 8
    raw_at = start + len(preview)
    main_at = raw_at + len(mosaic)
    raw = _raw_entries(image.size, raw_at, len(mosaic))
    if not preview:
        return _file(main_at, preview + mosaic + _directory(main_at, _camera(orientation) + raw))
    sub_at = main_at
    sub = _directory(sub_at, raw)
    main_at += len(sub)
    entries = [
        *_camera(orientation),
        *_preview_entries(image.size, start, len(preview)),
        (330, _LONG, (sub_at,)),
    ]
    return _file(main_at, preview + mosaic + sub + _directory(main_at, entries))


def _file(main_at: int, body: bytes) -> bytes:
    return struct.pack("<2sHI", b"II", 42, main_at) + body


def _mosaic(image: Image.Image) -> bytes:
    """(H, W) uint16, one colour a pixel, as the RGGB filter lets through; linear light would look no different."""
    rgb = np.asarray(image).astype(np.uint16) << 4
    bayer = rgb[..., 1].copy()
    bayer[0::2, 0::2], bayer[1::2, 1::2] = rgb[0::2, 0::2, 0], rgb[1::2, 1::2, 2]
    return bayer.astype("<u2").tobytes()


def _camera(orientation: int) -> list[Entry]:
    identity = tuple(n for row in np.eye(3, dtype=int).tolist() for value in row for n in (value, 1))
    return [
        (271, _ASCII, b"Okular\0"),
        (272, _ASCII, b"Okular RAW\0"),
        (274, _SHORT, (orientation,)),
        (306, _ASCII, b"2022:05:06 07:08:09\0"),
        (50706, _BYTE, (1, 4, 0, 0)),  # DNG version
        (50708, _ASCII, b"Okular RAW\0"),
        (50721, _SRATIONAL, identity),  # colour matrix
        (50728, _RATIONAL, (1, 1) * 3),  # as-shot neutral
        (50778, _SHORT, (_DAYLIGHT,)),
    ]


def _raw_entries(size: tuple[int, int], at: int, length: int) -> list[Entry]:
    width, height = size
    return [
        (254, _LONG, (0,)),
        (256, _LONG, (width,)),
        (257, _LONG, (height,)),
        (258, _SHORT, (16,)),
        (259, _SHORT, (1,)),
        (262, _SHORT, (_CFA,)),
        (273, _LONG, (at,)),
        (277, _SHORT, (1,)),
        (278, _LONG, (height,)),
        (279, _LONG, (length,)),
        (33421, _SHORT, (2, 2)),
        (33422, _BYTE, _RGGB),
        (50717, _LONG, (4095,)),  # white level
    ]


def _preview_entries(size: tuple[int, int], at: int, length: int) -> list[Entry]:
    width, height = size
    return [
        (254, _LONG, (1,)),
        (256, _LONG, (width,)),
        (257, _LONG, (height,)),
        (258, _SHORT, (8, 8, 8)),
        (259, _SHORT, (_JPEG,)),
        (262, _SHORT, (6,)),
        (273, _LONG, (at,)),
        (277, _SHORT, (3,)),
        (278, _LONG, (height,)),
        (279, _LONG, (length,)),
    ]


def _directory(at: int, entries: list[Entry]) -> bytes:
    """One TIFF directory that lies at `at`, with the values that do not fit into its entries behind it."""
    behind_at = at + 2 + 12 * len(entries) + 4
    head, behind = struct.pack("<H", len(entries)), b""
    for tag, kind, value in sorted(entries, key=lambda entry: entry[0]):
        packed = value if isinstance(value, bytes) else struct.pack(f"<{len(value)}{_CODES[kind]}", *value)
        count = len(value) // (2 if kind in (_RATIONAL, _SRATIONAL) else 1)
        field = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", behind_at + len(behind))
        behind += packed if len(packed) > 4 else b""
        head += struct.pack("<HHI", tag, kind, count) + field
    return head + struct.pack("<I", 0) + behind
