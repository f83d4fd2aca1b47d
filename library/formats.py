"""Which files look like pictures: their suffixes, and the first bytes of their content. Decodes nothing."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath
from typing import Final

RAW_SUFFIXES: Final = frozenset(
    b".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw .orf .ori .pef .raf"
    b" .raw .rw2 .rwl .sr2 .srf .srw .x3f".split()
)
"""Suffixes of camera RAW files, lower case."""

PICTURE_SUFFIXES: Final = RAW_SUFFIXES | frozenset(
    b".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .avif .avifs .heic .heics .heif .heifs .hif"
    b" .jp2 .j2k .jpc .jpf .jpx .ppm .pgm .pbm .pnm .tga .qoi".split()
)
"""Suffixes of every file that the scan takes for a picture, lower case."""

_PREFIXES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",  # JPEG 2000 in a container
    b"\xff\x4f\xff\x51\x00",  # JPEG 2000 code stream
    b"qoif\x00",
    b"qoif\xff",
    *(b"P%d%c" % (kind, space) for kind in range(1, 7) for space in b"\n\r"),  # PBM, PGM, PPM
)
_TIFF_PREFIXES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # "+" is BigTIFF
_RAW_PREFIXES = (
    b"FUJIFILMCCD-RAW",
    b"IIRO",  # Olympus
    b"IIRS",
    b"MMOR",
    b"IIU\0",  # Panasonic
    b"FOVb",  # Sigma
    b"\0MRM",  # Minolta
)
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})  # sizes of the header versions that exist
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)


class Family(StrEnum):
    """Which decoder a file's content is for."""

    COMMON = "common"  # Pillow, by itself
    AVIF = "avif"  # Pillow, where it was built with it
    HEIF = "heif"  # pillow_heif
    RAW = "raw"  # rawpy
    TIFF = "tiff"  # Pillow, unless the suffix says RAW: many RAW formats are TIFF inside
    UNKNOWN = "unknown"


def family_of(data: bytes) -> Family:
    """The family that the first bytes of a file tell; 32 of them are enough for all but a few HEIF files."""
    if data.startswith(_RAW_PREFIXES) or data[6:14] == b"HEAPCCDR" or data[4:12] == b"ftypcrx ":
        return Family.RAW
    if data.startswith(_TIFF_PREFIXES):
        return Family.RAW if data[8:10] == b"CR" else Family.TIFF
    if data[4:8] == b"ftyp":
        return _family_of_brands(data)
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if is_webp or data.startswith(_PREFIXES) or _is_bitmap(data):
        return Family.COMMON
    return Family.UNKNOWN


def looks_like_picture(head: bytes) -> bool:
    """Whether the first 32 bytes of a file are those of a picture format (TGA has no such sign)."""
    return family_of(head) is not Family.UNKNOWN


def has_raw_suffix(name: str) -> bool:
    """Whether a file of this name is a camera RAW."""
    return _suffix(name) in RAW_SUFFIXES


def has_tga_suffix(name: str) -> bool:
    """Whether a file of this name is a Targa picture, which only its name can tell."""
    return _suffix(name) == b".tga"


def _suffix(name: str) -> bytes:
    return PurePath(name).suffix.lower().encode("utf-8", "surrogateescape")


def _is_bitmap(data: bytes) -> bool:
    return (
        data[:2] == b"BM" and data[6:10] == bytes(4) and int.from_bytes(data[14:18], "little") in _BMP_HEADERS
    )


def _family_of_brands(data: bytes) -> Family:
    """The family of an ISO media file: its main brand decides, the compatible ones where it says neither."""
    main, end = data[8:12], int.from_bytes(data[:4], "big")
    compatible = {data[at : at + 4] for at in range(16, min(end, len(data), 256), 4)}
    if main in _AVIF_BRANDS or (main in (b"mif1", b"msf1") and compatible & _AVIF_BRANDS):
        return Family.AVIF
    return Family.HEIF if main in _HEIF_BRANDS else Family.UNKNOWN
