"""Keywords that a photo carries already: in its sidecars, and inside the file as XMP, IPTC or EXIF."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import ExifTags, IptcImagePlugin

from library import images, sidecars
from library.errors import PictureError, SidecarUnusable
from library.records import display_path
from library.vocabulary import tidy_name

_IPTC_KEYWORDS = (2, 25)  # IIM 4.2, record 2, data set 25
_IPTC_CHARACTER_SET = (1, 90)
_UTF8_ESCAPE = b"\x1b%G"  # ISO 2022: what follows is UTF-8
_MOST_BYTES = 500_000_000
_START_OF_SCAN = 0xDA  # ITU T.81, table B.1


def keywords_of(photo: Path) -> tuple[list[str], list[str]]:
    """The keywords of a photo, and the sentences on what could not be read: a sidecar, or the photo itself."""
    names: list[str] = []
    problems: list[str] = []
    for path in sidecars.sidecars_of(photo):
        try:
            names += sidecars.read_sidecar(path)
        except SidecarUnusable as e:
            problems.append(f"{display_path(path)}: {e.message}")
    try:
        names += _keywords_inside(photo)
    except PictureError as e:
        problems.append(f"{display_path(photo)}: {e.message}")
    tidy = []
    for name in names:
        with contextlib.suppress(ValueError):  # an empty keyword, or a whole text that was put there
            tidy.append(tidy_name(name))
    return sidecars.distinct(tidy), problems


def _keywords_inside(photo: Path) -> list[str]:
    head = _before_the_picture(photo)
    if head:
        with contextlib.suppress(PictureError):  # a kind of JPEG that needs more to be opened
            return embedded_keywords(head, name=photo.name)
    return embedded_keywords(images.read_bytes(photo, max_bytes=_MOST_BYTES), name=photo.name)


def _before_the_picture(photo: Path) -> bytes:
    """A JPEG up to where its pixels begin, some kilobytes of many; b"" for other files and for odd ones."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(photo, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or file.read(2) != b"\xff\xd8":
                return b""
            parts = [b"\xff\xd8"]
            while len(start := file.read(4)) == 4 and start[0] == 0xFF and start[1] not in (0x00, 0xFF):
                size = int.from_bytes(start[2:], "big") - 2  # ITU T.81, B.1.1.4: the length counts itself
                parts += [start, file.read(max(size, 0))]
                if start[1] == _START_OF_SCAN:
                    return b"".join(parts)
    except OSError:
        pass  # reading the whole file says what is the matter
    return b""


def embedded_keywords(content: bytes, *, name: str) -> list[str]:
    """The keywords inside a file's content; what is damaged is passed over. Raises UnreadablePicture, MissingExtra."""
    with images.opened(content, name=name) as image:
        found = [*_from_xmp(image), *_from_iptc(image), *_from_exif(image)]
    return sidecars.distinct(found)


def _from_xmp(image: Any) -> Iterator[str]:
    packets = [image.info.get("xmp"), image.info.get("XML:com.adobe.xmp")]
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        packets.append(tags.get(700))
    for packet in packets:
        if isinstance(packet, str):
            packet = packet.encode()
        if isinstance(packet, bytes):
            with contextlib.suppress(SidecarUnusable):
                yield from sidecars.read_keywords(packet)


def _from_iptc(image: Any) -> Iterator[str]:
    try:
        found = IptcImagePlugin.getiptcinfo(image) or {}
    except Exception:  # Pillow's parser raises whatever the broken bytes lead it to
        return
    values = found.get(_IPTC_KEYWORDS, [])
    is_utf8 = found.get(_IPTC_CHARACTER_SET) == _UTF8_ESCAPE
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, bytes):
            yield _text(value, is_utf8=is_utf8)


def _text(value: bytes, *, is_utf8: bool) -> str:
    # Most programs write UTF-8 without saying so; what is no UTF-8 is Latin-1, as it was before that.
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("utf-8", "replace") if is_utf8 else value.decode("latin-1")


def _from_exif(image: Any) -> Iterator[str]:
    try:
        value = image.getexif().get(ExifTags.Base.XPKeywords)
    except Exception:  # as above
        return
    if isinstance(value, tuple):
        value = bytes(value)
    if isinstance(value, bytes):
        yield from (part.strip() for part in value.decode("utf-16-le", "replace").rstrip("\0").split(";"))
