"""The filters of the query language: their names, what they take, and the PhotoFilter each one makes."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from library.records import Orientation, PhotoFilter
from search import values


@dataclass(frozen=True, slots=True)
class Filter:
    """One kind of filter. `read` makes the condition of one value; a ValueError of it says what is wrong."""

    name: str
    help: str
    example: str  # a value
    read: Callable[[str], PhotoFilter]
    advice: str = ""  # how a value is written, for errors
    choices: tuple[str, ...] = ()  # all values, where they can be listed
    can_be_negated: bool = True
    takes_list: bool = True  # commas separate values; otherwise they belong to the one value


# File types as people call them -> Pillow's names. Phones write JPEGs with several pictures in them (MPO).
TYPES = {
    "jpeg": ("JPEG", "MPO"),
    "png": ("PNG",),
    "webp": ("WEBP",),
    "gif": ("GIF",),
    "tiff": ("TIFF",),
    "heic": ("HEIF",),
    "avif": ("AVIF",),
    "raw": ("RAW",),
    "bmp": ("BMP", "DIB"),
    "jp2": ("JPEG2000",),
    "ppm": ("PPM",),
    "tga": ("TGA",),
    "qoi": ("QOI",),
}
_TYPE_ALIASES = {"jpg": "jpeg", "tif": "tiff", "heif": "heic", "apng": "png"}


def _tag(text: str) -> PhotoFilter:
    return PhotoFilter(tags=(" ".join(text.split()),))


def _folder(text: str) -> PhotoFilter:
    path = os.path.normpath(os.path.expanduser(text))
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise ValueError("no folder can be called so") from None
    if path in (".", "..") or path.startswith(f"..{os.sep}"):
        raise ValueError(f"{text} is no folder's name")
    return PhotoFilter(folders=(Path(path),))


def _date(text: str) -> PhotoFilter:
    after, before = values.date_range(text)
    return PhotoFilter(taken_after=after, taken_before=before)


def _type(text: str) -> PhotoFilter:
    name = text.lower().lstrip(".")
    name = _TYPE_ALIASES.get(name, name)
    if name not in TYPES:
        raise ValueError(f"there is no type {text}")
    return PhotoFilter(formats=TYPES[name])


def _size(text: str) -> PhotoFilter:
    field, bounds = values.size(text)
    return PhotoFilter(megapixels=bounds) if field == "megapixels" else PhotoFilter(size_bytes=bounds)


def _orientation(text: str) -> PhotoFilter:
    try:
        return PhotoFilter(orientation=Orientation(text.lower()))
    except ValueError:
        raise ValueError(f"there is no orientation {text}") from None


def _one_of(name: str, found: dict[str, PhotoFilter]) -> Callable[[str], PhotoFilter]:
    def read(text: str) -> PhotoFilter:
        if text.lower() not in found:
            raise ValueError(f"there is no {name}:{text}")
        return found[text.lower()]

    return read


_TAGGED = PhotoFilter(excluded=(PhotoFilter(untagged=True),))
_HAS = {"gps": PhotoFilter(has_gps=True), "tags": _TAGGED}
_IS = {
    "favourite": PhotoFilter(favourite=True),
    "favorite": PhotoFilter(favourite=True),
    "untagged": PhotoFilter(untagged=True),
    "tagged": _TAGGED,
}
_DUP = {"no": PhotoFilter(one_of_duplicates=True)}

FILTERS: dict[str, Filter] = {
    each.name: each
    for each in (
        Filter("tag", "has the tag, suggested or confirmed", "dog", _tag),
        Filter("folder", "lies in a folder of that name, or below that path", "holiday", _folder),
        Filter("date", "taken in that year, month, day or range", "2023..2024-06", _date, values.DATES),
        Filter(
            "after",
            "taken on that date or later",
            "2023-07",
            lambda text: PhotoFilter(taken_after=values.date(text)),
            values.DATES,
        ),
        Filter(
            "before",
            "taken on that date or earlier",
            "2023-07-14",
            lambda text: PhotoFilter(taken_before=values.date(text)),
            values.DATES,
        ),
        Filter(
            "camera", "the camera's or the lens's name contains it", "pixel", lambda t: PhotoFilter(camera=t)
        ),
        Filter("lens", "the lens's name contains it", "50mm", lambda t: PhotoFilter(lens=t)),
        Filter("type", "the file is of that type", "png", _type, choices=tuple(TYPES)),
        Filter("size", "so many megapixels, or so large a file", ">4mp", _size, values.SIZES),
        Filter(
            "ratio",
            "width to height",
            "16:9",
            lambda text: PhotoFilter(ratio=values.ratio(text)),
            values.RATIOS,
        ),
        Filter(
            "orientation",
            "how the photo lies",
            "portrait",
            _orientation,
            choices=tuple(map(str, Orientation)),
        ),
        Filter(
            "near",
            "taken within so many kilometres of a place",
            "49.19,16.61,5",
            lambda text: PhotoFilter(near=values.near(text)),
            values.PLACES,
            takes_list=False,
        ),
        Filter(
            "has", "knows where it was taken; has any tag", "gps", _one_of("has", _HAS), choices=tuple(_HAS)
        ),
        Filter(
            "is",
            "a favourite; with no tag at all",
            "favourite",
            _one_of("is", _IS),
            choices=("favourite", "untagged", "tagged"),
        ),
        Filter(
            "dup",
            "of photos that look the same only one",
            "no",
            _one_of("dup", _DUP),
            choices=tuple(_DUP),
            can_be_negated=False,
        ),
    )
}


def any_of(found: Iterable[PhotoFilter]) -> PhotoFilter:
    """The filter that one of these passes; a single one is itself."""
    each = tuple(dict.fromkeys(found))
    if all(one == PhotoFilter(formats=one.formats) for one in each):
        return PhotoFilter(formats=tuple(dict.fromkeys(name for one in each for name in one.formats)))
    if all(one == PhotoFilter(folders=one.folders) for one in each):
        return PhotoFilter(folders=tuple(folder for one in each for folder in one.folders))
    return each[0] if len(each) == 1 else PhotoFilter(any_of=each)


def advice(kind: Filter, text: str) -> str:
    """What to write in place of a value that the filter does not take."""
    if not kind.choices:
        return kind.advice
    if len(kind.choices) == 1:
        return f"There is only {kind.name}:{kind.choices[0]}."
    close = difflib.get_close_matches(text.lower(), kind.choices, n=1)
    meant = f"Did you mean {kind.name}:{close[0]}? " if close else ""
    return f"{meant}There are {', '.join(kind.choices)}."


# What other programs, or a person's own language, may call a filter.
_SYNONYMS = {
    "keyword": "tag",
    "label": "tag",
    "schlagwort": "tag",
    "štítek": "tag",
    "ordner": "folder",
    "složka": "folder",
    "dossier": "folder",
    "path": "folder",
    "dir": "folder",
    "album": "folder",
    "in": "folder",
    "year": "date",
    "taken": "date",
    "since": "after",
    "until": "before",
    "format": "type",
    "ext": "type",
    "filetype": "type",
    "aspect": "ratio",
    "gps": "near",
    "location": "near",
    "duplicates": "dup",
    "similar": "like",
    "id": "like",
    "order": "sort",
}


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that was most likely meant, if any is like it."""
    folded = re.sub(r"[\s_-]", "", name.casefold())
    if folded in _SYNONYMS:
        return _SYNONYMS[folded]
    close = difflib.get_close_matches(folded, list(known), n=1, cutoff=0.6)
    return close[0] if close else None
