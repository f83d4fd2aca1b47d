"""What a photo's EXIF says about it: when, where, and with which camera. Broken EXIF gives None, never an error."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from PIL import ExifTags, Image

from library.records import ImageFacts

_EXIF_IFD: Final = ExifTags.IFD.Exif
_GPS_IFD: Final = ExifTags.IFD.GPSInfo
_DATE = re.compile(r"(\d{4})[:\-/.](\d{2})[:\-/.](\d{2})[ T](\d{2}):(\d{2}):(\d{2})")
_OFFSET = re.compile(r"[+-](?:0\d|1[0-4]):[0-5]\d")
_LONGEST_TEXT = 200  # characters; a longer maker or model name is damage
_LOWEST_M, _HIGHEST_M = -11_000.0, 100_000.0  # from the deepest trench to the edge of space

Tags = Mapping[int, Any]


def facts_from_exif(
    exif: Image.Exif, *, width: int, height: int, format: str, orientation: int
) -> ImageFacts:
    """The record of one photo. Sizes in pixels as shown; `orientation` as `orientation_of` gave it."""
    details = _tags(lambda: exif.get_ifd(_EXIF_IFD))
    latitude, longitude, altitude_m = _position(_tags(lambda: exif.get_ifd(_GPS_IFD)))
    return ImageFacts(
        width=width,
        height=height,
        format=format,
        orientation=orientation,
        taken_at=_taken_at(exif, details),
        camera_make=_text(exif, ExifTags.Base.Make),
        camera_model=_text(exif, ExifTags.Base.Model),
        lens=_text(details, ExifTags.Base.LensModel),
        latitude=latitude,
        longitude=longitude,
        altitude_m=altitude_m,
    )


def orientation_of(exif: Image.Exif) -> int | None:
    """EXIF's orientation, 1..8; None when there is none or it makes no sense."""
    value = _value(exif, ExifTags.Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def exif_of(image: Image.Image) -> Image.Exif:
    """The picture's EXIF, empty where there is none or it cannot be parsed."""
    try:
        return image.getexif()
    except Exception:  # Pillow's parser raises whatever the broken bytes lead it to
        return Image.Exif()


def exif_of_tiff(data: bytes) -> Image.Exif:
    """The EXIF of a camera RAW whose content is laid out as TIFF; empty for any other content."""
    exif = Image.Exif()
    if data[:2] not in (b"II", b"MM"):
        return exif
    # Olympus and Panasonic put signs of their own where TIFF has 42; what follows is the same.
    sign = b"II*\0" if data[:2] == b"II" else b"MM\0*"
    try:
        exif.load(sign + data[4:])
    except Exception:  # as above
        return Image.Exif()
    return exif


def _tags(read: Callable[[], Tags]) -> Tags:
    try:
        return dict(read())
    except Exception:  # as above
        return {}


def _value(tags: Tags | Image.Exif, tag: int) -> Any:
    try:
        return tags.get(tag)
    except Exception:  # an entry is parsed when it is first asked for
        return None


def _text(tags: Tags | Image.Exif, tag: int) -> str | None:
    value = _value(tags, tag)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    printable = "".join(c if c.isprintable() else " " for c in value.split("\0")[0])
    return " ".join(printable.split())[:_LONGEST_TEXT] or None


def _taken_at(exif: Image.Exif, details: Tags) -> str | None:
    """ISO 8601 local time with the offset where there is one; fractions of a second are left out."""
    sources: tuple[tuple[Tags | Image.Exif, int, int], ...] = (
        (details, ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
        (details, ExifTags.Base.DateTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
        (exif, ExifTags.Base.DateTime, ExifTags.Base.OffsetTime),
    )
    for tags, date_tag, offset_tag in sources:
        moment = _moment(_text(tags, date_tag))
        if moment:
            offset = _text(details, offset_tag) or ""
            return moment + (offset if _OFFSET.fullmatch(offset) else "")
    return None


def _moment(text: str | None) -> str | None:
    match = _DATE.match(text or "")
    if not match:
        return None
    try:
        return datetime(*(int(part) for part in match.groups())).isoformat(timespec="seconds")  # type: ignore[arg-type]
    except ValueError:
        return None


def _position(gps: Tags) -> tuple[float | None, float | None, float | None]:
    """Latitude and longitude in degrees, both or neither, and the altitude in metres."""
    latitude = _degrees(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "NS", 90.0)
    longitude = _degrees(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "EW", 180.0)
    if latitude is None or longitude is None or (latitude == 0.0 and longitude == 0.0):
        return None, None, None  # 0, 0 is what receivers write before they know where they are
    return latitude, longitude, _altitude_m(gps)


def _degrees(gps: Tags, tag: int, ref_tag: int, refs: str, limit: float) -> float | None:
    """Degrees, minutes and seconds as one number; negative for the second letter of `refs`."""
    ref, parts = (_text(gps, ref_tag) or "").upper()[:1], _numbers(_value(gps, tag))
    if not ref or ref not in refs or not 1 <= len(parts) <= 3:
        return None
    if any(not 0.0 <= part < math.inf for part in parts) or any(part > 60.0 for part in parts[1:]):
        return None
    degrees = sum(part / 60.0**power for power, part in enumerate(parts))
    if degrees > limit:
        return None
    return round(-degrees if ref == refs[1] else degrees, 7)  # seven places are a centimetre


def _altitude_m(gps: Tags) -> float | None:
    values = _numbers(_value(gps, ExifTags.GPS.GPSAltitude))
    if len(values) != 1 or not math.isfinite(values[0]):
        return None
    below = _value(gps, ExifTags.GPS.GPSAltitudeRef) in (1, b"\x01")
    altitude_m = round(-values[0] if below else values[0], 2)
    return altitude_m if _LOWEST_M <= altitude_m <= _HIGHEST_M else None


def _numbers(value: Any) -> list[float]:
    """A rational, or a row of them, as floats; a denominator of zero gives NaN, anything else an empty list."""
    try:
        return [float(part) for part in (value if isinstance(value, tuple | list) else (value,))]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return []
