"""Which photos pass a filter, decided in SQL before anything is ranked.

Conditions look at the photo's own row, or are sub-queries that stand for themselves, never correlated ones: SQLite may
run those through the wrong index, and then 300,000 photos take minutes instead of a fraction of a second.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Text, and_, case, cast, false, func, not_, or_, select, true

from library import geography
from library.catalog.numbers import numbers
from library.catalog.reading import below, hidden_photo_ids, roots
from library.records import Bounds, FileState, Near, Orientation, PhotoFilter, Root
from library.schema import favourite, file, photo, tag

Condition = ColumnElement[bool]

DISTANCE = "oko_distance_km"
"""The name under which SQL can call `geography.distance_km`."""


def matching_photo_ids(c: Connection, wanted: PhotoFilter) -> NDArray[np.int64]:
    """Photos that pass the filter, ascending; which of several duplicates is one to pass is not asked here."""
    conditions = _Conditions(roots(c), include_missing=wanted.include_missing)
    # Put in order here: SQLite would read the whole table for it, instead of an index.
    found = np.sort(numbers(c, select(photo.c.id).where(conditions.of(wanted))))
    if wanted.include_missing or wanted.folders:
        return found
    hidden = hidden_photo_ids(c)
    return found[~np.isin(found, hidden)] if len(hidden) else found


class _Conditions:
    """Filters as conditions on a row of `photo`."""

    def __init__(self, folders: Sequence[Root], *, include_missing: bool) -> None:
        self._roots = folders
        self._include_missing = include_missing

    def of(self, wanted: PhotoFilter) -> Condition:
        """The condition that the whole filter passes."""
        further = [each for each in wanted.also if not _is_of_folders(each)]
        never = [each for each in wanted.excluded if not _is_of_folders(each)]
        found = [*self._folders(wanted), *_own(wanted), *map(self.of, further)]
        # What is unknown (no date, no camera) is not what is excluded: NULL counts as false.
        found += [case((self.of(each), 0), else_=1) == 1 for each in never]
        if wanted.any_of:
            found.append(or_(*map(self.of, wanted.any_of)))
        return and_(true(), *found)

    def _folders(self, wanted: PhotoFilter) -> Iterator[Condition]:
        """All folders that a photo must or must not lie in, asked of one and the same file of it."""
        asked = [wanted.folders] if wanted.folders else []
        asked += [each.folders for each in wanted.also if _is_of_folders(each)]
        refused = [each.folders for each in wanted.excluded if _is_of_folders(each)]
        if asked or refused:
            places = [or_(*map(self._in, folders)) for folders in asked]
            places += [not_(or_(*map(self._in, folders))) for folders in refused]
            states = [] if self._include_missing else [file.c.state == FileState.INDEXED]
            files = select(file.c.photo_id).where(file.c.photo_id.is_not(None), *places, *states)
            yield photo.c.id.in_(files)

    def _in(self, folder: Path) -> Condition:
        """Whether a file lies below a folder."""
        found = _below_path if folder.is_absolute() else _below_name
        conditions = [
            and_(file.c.root_id == each.id, where)
            for each in self._roots
            if (where := found(each.path, folder)) is not None
        ]
        return or_(*conditions) if conditions else false()


def _is_of_folders(wanted: PhotoFilter) -> bool:
    return bool(wanted.folders) and wanted == PhotoFilter(folders=wanted.folders)


def _below_path(root: Path, folder: Path) -> Condition | None:
    if root == folder or folder in root.parents:
        return true()
    if root in folder.parents:
        condition: Condition = below(os.fsencode(folder.relative_to(root)))
        return condition
    return None


def _below_name(root: Path, name: Path) -> Condition | None:
    """Below any folder of that name: its parts follow each other in the path, whatever their capitals."""
    parts, inside = [_folded(part) for part in name.parts], [_folded(part) for part in root.parts]
    if any(inside[at : at + len(parts)] == parts for at in range(len(inside))):
        return true()
    # A name that begins with the last parts of the root goes on at the beginning of the relative path.
    starts = [
        count for count in range(1, len(parts)) if inside[-count:] == parts[:count] and len(inside) >= count
    ]
    path = cast(file.c.path, Text)
    found = []
    for spelling in _spellings("/".join(name.parts)):
        found += [_like(path, spelling), _like(path, spelling, before="%/")]
    for count in starts:
        found += [_like(path, spelling) for spelling in _spellings("/".join(name.parts[count:]))]
    return or_(*found)


def _like(path: Any, folder: str, *, before: str = "") -> Condition:
    escaped = folder.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    condition: Condition = path.like(f"{before}{escaped}/%", escape="\\")
    return condition


def _folded(text: str) -> str:
    return normalize("NFC", text).casefold()


def _spellings(name: str) -> set[str]:
    """How a folder may be written on a disk: LIKE knows the capitals of ASCII alone, and macOS takes letters apart."""
    text = name.encode("utf-8", "replace").decode()
    cases = (text, text.lower(), text.upper(), text.capitalize(), text.title())
    spelled = [form for each in cases for form in (normalize("NFC", each), normalize("NFD", each))]
    return set({each.encode("utf-8").lower(): each for each in spelled}.values())


def _own(wanted: PhotoFilter) -> Iterator[Condition]:
    """Conditions of the fields that ask for one fact each."""
    if wanted.taken_after:
        yield photo.c.dated_at >= wanted.taken_after
    if wanted.taken_before:
        # "~" comes after every character of a date, so that a whole day, month or year is included.
        yield photo.c.dated_at <= wanted.taken_before + "~"
    if wanted.camera:
        names = [
            func.coalesce(each, "") for each in (photo.c.camera_make, photo.c.camera_model, photo.c.lens)
        ]
        yield (names[0] + " " + names[1] + " " + names[2]).icontains(wanted.camera, autoescape=True)
    if wanted.lens:
        yield photo.c.lens.icontains(wanted.lens, autoescape=True)
    if wanted.formats:
        yield photo.c.format.in_(wanted.formats)
    if wanted.has_gps is not None:
        yield photo.c.latitude.is_not(None) if wanted.has_gps else photo.c.latitude.is_(None)
    if wanted.near:
        yield from _near(wanted.near)
    yield from _shape(wanted)
    yield from _said_by_people(wanted)


def _shape(wanted: PhotoFilter) -> Iterator[Condition]:
    width, height = photo.c.width, photo.c.height
    yield from _within(width * height / 1e6, wanted.megapixels)
    yield from _within(photo.c.size_bytes, wanted.size_bytes)
    yield from _within(width * 1.0 / height, wanted.ratio)
    if wanted.orientation is not None:
        # Two per cent from square is square.
        yield {
            Orientation.PORTRAIT: height * 49 > width * 50,
            Orientation.LANDSCAPE: width * 49 > height * 50,
            Orientation.SQUARE: and_(height * 49 <= width * 50, width * 49 <= height * 50),
            Orientation.PANORAMA: width >= height * 2,
        }[wanted.orientation]


def _within(value: Any, bounds: Bounds | None) -> Iterator[Condition]:
    if bounds is None:
        return
    if bounds.low is not None:
        yield value > bounds.low if bounds.low_excluded else value >= bounds.low
    if bounds.high is not None:
        yield value < bounds.high if bounds.high_excluded else value <= bounds.high


def _near(near: Near) -> Iterator[Condition]:
    # The box first: the distance is a function of Python's, and few photos are left for it.
    (south, north), ranges = geography.box(near.latitude, near.longitude, near.radius_km)
    yield photo.c.latitude.between(south, north)
    yield or_(*(photo.c.longitude.between(west, east) for west, east in ranges))
    place = (photo.c.latitude, photo.c.longitude, near.latitude, near.longitude)
    yield getattr(func, DISTANCE)(*place) <= near.radius_km


def _said_by_people(wanted: PhotoFilter) -> Iterator[Condition]:
    for name in wanted.tags:
        yield photo.c.id.in_(select(tag.c.photo_id).where(tag.c.name == name, tag.c.state != "rejected"))
    if wanted.untagged:
        yield photo.c.id.not_in(select(tag.c.photo_id).where(tag.c.state != "rejected"))
    if wanted.favourite is not None:
        chosen = select(favourite.c.photo_id).where(favourite.c.is_favourite == 1)
        yield photo.c.id.in_(chosen) if wanted.favourite else photo.c.id.not_in(chosen)
