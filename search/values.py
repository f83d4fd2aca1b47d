"""The values of filters: dates, sizes, ratios and places as people write them. A ValueError says what is wrong."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable

from library.records import Bounds, Near

DATES = "Write 2023, 2023-07 or 2023-07-14; a range with two dots: 2023..2024-06."
SIZES = "Write >4mp, <500kb or 2mp..8mp: mp are millions of pixels, kb, mb and gb the size of the file."
RATIOS = "Width to height: 16:9, 1.5, >1.5 or 1.3..1.6."
PLACES = "Write latitude, longitude and kilometres: near:49.19,16.61,5"

DEFAULT_RADIUS_KM = 10.0
# 1366 x 768 is sold as 16:9, and a crop misses its ratio by a pixel or two.
RATIO_TOLERANCE = 0.01
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_SIZE = re.compile(rf"({_NUMBER})\s*(mp|kb|mb|gb|b)?", re.IGNORECASE)
_RATIO = re.compile(rf"({_NUMBER})(?:[:/x×]({_NUMBER}))?", re.IGNORECASE)
_KM = re.compile(rf"({_NUMBER})\s*(km|m)?", re.IGNORECASE)
_UNITS_BYTES = {"b": 1, "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000}


def date(text: str) -> str:
    """A year, month or day as an ISO 8601 prefix."""
    match = _DATE.fullmatch(text)
    try:
        datetime.date(*(int(part or 1) for part in match.groups())) if match else None
    except ValueError:
        match = None
    if match is None:
        raise ValueError(f"{text} is not a date")
    return text


def date_range(text: str) -> tuple[str | None, str | None]:
    """The first and the last date of 2023, 2023..2024-06, 2023.. or ..2023, both inclusive."""
    first, dots, last = text.partition("..")
    if not dots:
        return date(first), date(first)
    if not (first or last):
        raise ValueError("a range needs a date before or after its dots")
    after, before = date(first) if first else None, date(last) if last else None
    check_order(after, before)
    return after, before


def check_order(after: str | None, before: str | None) -> None:
    """Raises ValueError if no day can be both."""
    if after and before and after[: len(before)] > before[: len(after)]:
        raise ValueError(f"no photo was taken after {after} and before {before}")


def size(text: str) -> tuple[str, Bounds]:
    """("megapixels" or "size_bytes", its bounds). A number alone means what is rounded to it."""
    units: set[str] = set()

    def number(part: str) -> tuple[float, float]:
        match = _SIZE.fullmatch(part)
        if match is None:
            raise ValueError(f"{part or text} is not a size")
        unit = (match[2] or "").lower()
        units.add("mp" if unit == "mp" else "b" if unit else "")
        scale = _UNITS_BYTES.get(unit, 1)
        places = len(match[1].partition(".")[2])
        return float(match[1]) * scale, 0.5 * 10.0**-places * scale

    # 2..8mp: a unit at the end counts for the beginning, too.
    first, dots, last = text.partition("..")
    shared = re.search(r"[a-z]+$", last, re.IGNORECASE)
    if dots and shared and re.fullmatch(_NUMBER, first):
        text = f"{first}{shared[0]}..{last}"
    found = _bounds(text, number)
    if "" in units:
        raise ValueError(f"{text} has no unit")
    if len(units) > 1:
        raise ValueError(f"{text} mixes pixels and bytes")
    return "megapixels" if units == {"mp"} else "size_bytes", found


def ratio(text: str) -> Bounds:
    """Bounds of width / height. A ratio alone means what is within one per cent of it."""

    def number(part: str) -> tuple[float, float]:
        match = _RATIO.fullmatch(part)
        width, height = (float(match[1]), float(match[2] or 1)) if match else (0.0, 0.0)
        if not (width and height):
            raise ValueError(f"{part or text} is not a ratio")
        return width / height, RATIO_TOLERANCE * width / height

    return _bounds(text, number)


def _bounds(text: str, number: Callable[[str], tuple[float, float]]) -> Bounds:
    """`number` gives a value and how far from it still counts as it."""
    for sign in (">=", "<=", ">", "<"):
        if text.startswith(sign):
            value = number(text[len(sign) :])[0]
            strict = len(sign) == 1
            if sign[0] == ">":
                return Bounds(low=value, low_excluded=strict)
            return Bounds(high=value, high_excluded=strict)
    first, dots, last = text.partition("..")
    if not dots:
        value, around = number(text)
        return Bounds(value - around, value + around)
    if not (first or last):
        raise ValueError("a range needs a number before or after its dots")
    low, high = (number(part)[0] if part else None for part in (first, last))
    if low is not None and high is not None and low > high:
        raise ValueError(f"{text} ends before it begins")
    return Bounds(low, high)


def near(text: str) -> Near:
    """LAT,LON or LAT,LON,KM; the radius is 10 km unless it is given, in km or with m for metres."""
    parts = [part.strip() for part in text.split(",")]
    if not 2 <= len(parts) <= 3:
        raise ValueError(f"{text} is not a place")
    latitude, longitude = (_degrees(part, most) for part, most in zip(parts, (90.0, 180.0), strict=False))
    radius_km = DEFAULT_RADIUS_KM
    if len(parts) == 3:
        match = _KM.fullmatch(parts[2])
        radius_km = float(match[1]) if match else 0.0
        if match and (match[2] or "").lower() == "m":
            radius_km /= 1000
        if radius_km <= 0:
            raise ValueError(f"{parts[2]} is not a distance")
    return Near(latitude, longitude, radius_km)


def _degrees(text: str, most: float) -> float:
    text = text.replace("\N{MINUS SIGN}", "-")
    match = re.fullmatch(rf"[+-]?{_NUMBER}", text)
    value = float(text) if match else math.inf
    if abs(value) > most:
        name = "latitude" if most == 90 else "longitude"
        raise ValueError(f"{text} is not a {name}: it lies between -{most:.0f} and {most:.0f} degrees")
    return value
