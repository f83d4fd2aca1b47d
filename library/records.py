"""The frozen records that the parts of oko hand to each other."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # numpy takes longer to load than a search through a running server takes
    import numpy as np
    from numpy.typing import NDArray


class FileState(StrEnum):
    """What oko knows about one file on disk."""

    INDEXED = "indexed"
    MISSING = "missing"  # was there once; nothing about it is deleted
    UNREADABLE = "unreadable"  # its content cannot become a picture; `reason` says why
    FAILED = "failed"  # it was read, but embedding it failed; tried again by every run


class FileStamp(NamedTuple):  # made for every file by every run, and a tuple is made in a third of the time
    """One picture file as the scan saw it: enough to tell whether it changed, without opening it."""

    path: bytes  # relative to its root, in the file system's own bytes, "/" between folders
    size_bytes: int
    mtime_ns: int
    inode: int
    companions: tuple[bytes, ...] = ()  # the RAW or the video that belongs to the same shot


class FileRow(NamedTuple):  # a tuple as well
    """One file as the catalog knows it: its stamp, then what else is known."""

    path: bytes
    size_bytes: int
    mtime_ns: int
    inode: int
    companions: tuple[bytes, ...]
    id: int
    photo_id: int | None
    state: FileState
    has_embedding: bool  # by the model in question
    failed: bool = False  # the last time it was read it could not be indexed; also known of a missing file


@dataclass(frozen=True, slots=True)
class Root:
    """A folder the user asked to index."""

    id: int
    path: Path


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a photo says about itself. Sizes in pixels as shown (upright), positions in degrees."""

    width: int
    height: int
    format: str  # Pillow's name: "JPEG", "PNG", "HEIF", ...
    orientation: int = 1  # EXIF's 1..8, as stored in the file
    taken_at: str | None = None  # ISO 8601 local time, with the offset where the file has one
    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    latitude: float | None = None  # degrees, north positive
    longitude: float | None = None  # degrees, east positive
    altitude_m: float | None = None


@dataclass(frozen=True, slots=True)
class ModelStamp:
    """Which model made a vector. Two vectors may be compared only when their stamps are equal."""

    name: str
    weights_sha256: str  # hex
    dim: int
    preprocessing: str  # canonical text: size, resize mode, interpolation, mean, std


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """One file's content, ready to be written: made by one read and one decode."""

    stamp: FileStamp
    content_sha256: bytes  # 32 bytes
    facts: ImageFacts
    perceptual_hash: int  # 64-bit pHash as a signed integer
    thumbnail: bytes  # WebP
    embedding: NDArray[np.float32]  # (D,), L2 norm 1


@dataclass(frozen=True, slots=True)
class KnownPhoto:
    """A file whose content is in the catalog already, with an embedding: no decoding needed."""

    stamp: FileStamp
    content_sha256: bytes


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that could not be indexed, and why (a sentence for people)."""

    stamp: FileStamp
    state: FileState  # UNREADABLE or FAILED
    reason: str


class Orientation(StrEnum):
    """How a photo lies, as it is shown."""

    PORTRAIT = "portrait"
    LANDSCAPE = "landscape"
    SQUARE = "square"  # within 2 %
    PANORAMA = "panorama"  # at least twice as wide as high; a landscape, too


@dataclass(frozen=True, slots=True)
class Bounds:
    """A range of numbers; an end that is None is open."""

    low: float | None = None
    high: float | None = None
    low_excluded: bool = False
    high_excluded: bool = False


@dataclass(frozen=True, slots=True)
class Near:
    """A circle on the earth, by great-circle distance."""

    latitude: float  # degrees, -90 to 90, north positive
    longitude: float  # degrees, -180 to 180, east positive
    radius_km: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFilter:
    """Which photos may answer. Empty means all that are on disk; every field that is given must hold.

    Dates are those of EXIF, else the file's own time (`SearchResult.taken_from` says which).
    """

    folders: tuple[Path, ...] = ()  # any of them: absolute, or relative for every folder of that name
    taken_after: str | None = None  # ISO 8601 prefix, inclusive: "2023", "2023-07", "2023-07-14"
    taken_before: str | None = None  # ISO 8601 prefix, inclusive
    camera: str | None = None  # part of maker, model or lens, any case
    lens: str | None = None  # part of the lens alone, any case
    tags: tuple[str, ...] = ()  # all of them, suggested or confirmed
    untagged: bool = False  # no tag, suggested or confirmed
    formats: tuple[str, ...] = ()  # any of them: names as in `ImageFacts.format`
    megapixels: Bounds | None = None
    size_bytes: Bounds | None = None
    ratio: Bounds | None = None  # width / height, as shown
    orientation: Orientation | None = None
    near: Near | None = None
    has_gps: bool | None = None
    favourite: bool | None = None
    one_of_duplicates: bool = False  # of photos that look the same only one; applied after all others
    excluded: tuple[PhotoFilter, ...] = ()  # none of these may pass
    any_of: tuple[PhotoFilter, ...] = ()  # at least one of these must pass, unless there are none
    also: tuple[PhotoFilter, ...] = ()  # all of these must pass
    include_missing: bool = False

    @property
    def is_open(self) -> bool:
        """Whether only missing photos are left out."""
        return replace(self, include_missing=False) == PhotoFilter()

    def __and__(self, other: PhotoFilter) -> PhotoFilter:
        """The filter that passes what both pass; missing photos, if one of them takes those."""
        merged: dict[str, Any] = {}
        further: dict[str, Any] = {}
        for each in fields(self):
            mine, others = getattr(self, each.name), getattr(other, each.name)
            if mine == each.default or mine == others:
                merged[each.name] = others
            elif others == each.default:
                merged[each.name] = mine
            elif each.name in ("tags", "excluded", "also"):
                merged[each.name] = tuple(dict.fromkeys((*mine, *others)))
            else:
                merged[each.name] = mine
                further[each.name] = others
        if further:
            merged["also"] = (*merged["also"], PhotoFilter(**further))
        return PhotoFilter(**merged)


@dataclass(frozen=True, slots=True)
class Hit:
    """One row of a ranking: a photo's id and its cosine similarity to the query, -1 to 1."""

    id: int
    score: float


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag on a photo. `state` is "suggested" (by a model), "confirmed" or "rejected" (by a person)."""

    name: str
    score: float | None
    state: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A photo that answers a query, with everything a list or a page shows of it."""

    id: int
    path: Path
    score: float  # cosine similarity, -1 to 1
    relevance: float | None  # 0 to 1; None until calibrated
    copies: tuple[Path, ...]  # further files with the same content
    width: int
    height: int
    taken_at: str | None
    missing: bool
    tags: tuple[Tag, ...] = ()
    format: str = ""  # as in `ImageFacts`
    size_bytes: int = 0
    camera: str | None = None  # maker and model
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    favourite: bool = False
    taken_from: str | None = None  # where `taken_at` is from: "exif", or "file" for the file's own time


@dataclass(frozen=True, slots=True)
class Label:
    """One answer of a zero-shot classification: probability 0 to 1, and the raw cosine."""

    name: str
    probability: float
    cosine: float


@dataclass(slots=True)
class IndexReport:
    """What a run did. Counts are files unless the name says otherwise."""

    scanned: int = 0
    embedded: int = 0
    known: int = 0  # content was known: attached without embedding
    unchanged: int = 0
    moved: int = 0
    returned: int = 0
    missing: int = 0
    excluded: int = 0  # indexed before, kept out by a rule now
    unreadable: int = 0
    failed: int = 0
    companions: int = 0
    elapsed_s: float = 0.0
    embed_s: float = 0.0
    interrupted: bool = False
    offline_roots: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # the first few, as sentences
    skipped: dict[str, int] = field(default_factory=dict)  # reason -> files or folders not taken


def display_path(path: bytes | Path) -> str:
    """A path as text that any terminal can print: undecodable bytes and control characters escaped."""
    text = os.fsdecode(path)
    return "".join(
        c
        if c.isprintable()
        else c.encode("utf-8", "surrogateescape").decode("latin-1").encode("unicode_escape").decode()
        for c in text
    )
