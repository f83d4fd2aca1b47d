"""Groups of photos that are the same, nearly the same, or alike. Nothing is ever deleted here.

- exact: several files with the same content, which are one photo of the catalog;
- near: the same picture saved again: scaled, recompressed, a little edited (perceptual hash and thumbnail);
- similar: shots of the same scene, crops, mirrored copies (vectors).

Every group has one photo that is suggested for keeping, and every other one of it looks like that very photo.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.catalog import copies, filtering, reading
from library.catalog.copies import CopyFile
from library.records import ModelStamp, PhotoFilter
from library.store import Store
from search import lookalikes
from search.lookalikes import Pairs

Ids = NDArray[np.int64]

NEAR_BITS = 8
SIMILAR_COSINE = 0.93
MOST_BITS = 12  # beyond, too many different photos are proposed, and a large library takes minutes
LEAST_COSINE = 0.8  # likewise
MOST_CLOSE = 200  # photos that are looked at for the group of one


class Kind(StrEnum):
    """How alike the photos of a group are."""

    EXACT = "exact"
    NEAR = "near"
    SIMILAR = "similar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What counts as a duplicate."""

    kinds: frozenset[Kind] = frozenset({Kind.EXACT, Kind.NEAR})
    distance_bits: int = NEAR_BITS  # of 64
    least_cosine: float = SIMILAR_COSINE
    folders: tuple[Path, ...] = ()  # absolute; only files below one of them, none: all


@dataclass(frozen=True, slots=True)
class Member:
    """A photo of a group; `kind` says how it is related to the photo that is kept, None for that one itself."""

    id: int
    kind: Kind | None
    distance_bits: int | None  # of NEAR
    cosine: float | None  # of SIMILAR
    width: int
    height: int
    format: str
    taken_at: str | None
    taken_from: str | None
    camera: str | None
    favourite: bool
    files: tuple[CopyFile, ...]  # the one to keep first


@dataclass(frozen=True, slots=True)
class Group:
    """Photos that are one too many: the first is suggested for keeping, for `reason`."""

    kind: Kind  # the loosest of its members'
    members: tuple[Member, ...]
    reason: str
    redundant: tuple[CopyFile, ...]  # all files but the one to keep

    @property
    def kept(self) -> CopyFile:
        """The file that is suggested for keeping."""
        return self.members[0].files[0]

    @property
    def saved_bytes(self) -> int:
        """What would be free without the redundant files."""
        return sum(each.size_bytes for each in self.redundant)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Photos among which groups are looked for, the one most worth keeping first."""

    ids: Ids  # (n,)
    hashes: Ids  # (n,) perceptual hashes
    several: Ids  # photos of which several files are on disk


def find(store: Store, stamp: ModelStamp | None, limits: Limits | None = None) -> list[Group]:
    """All groups, the one that takes most space first. A photo is in one group at most.

    `stamp` names the model whose vectors tell what is similar; without one, or without its vectors, nothing is.
    """
    limits = limits or Limits()
    with store.catalog.reading() as c:
        ids, hashes = copies.by_worth(c)
        if limits.folders:
            passing = filtering.matching_photo_ids(c, PhotoFilter(folders=limits.folders))
            inside = np.isin(ids, passing)
            ids, hashes = ids[inside], hashes[inside]
        several = copies.photos_in_several_files(c) if Kind.EXACT in limits.kinds else np.empty(0, np.int64)
    return _grouped(store, stamp, limits, Candidates(ids, hashes, several))


def group_of(store: Store, stamp: ModelStamp, photo_id: int, limits: Limits | None = None) -> Group | None:
    """The group of a photo among the photos most like it, without looking for the groups of all others."""
    limits = limits or Limits(kinds=frozenset(Kind))
    close = [
        photo_id,
        *_close_by_hash(store, photo_id, limits),
        *_close_by_vector(store, stamp, photo_id, limits),
    ]
    with store.catalog.reading() as c:
        ids, hashes = copies.by_worth(c, only=list(dict.fromkeys(close)))
        several = np.array(
            [key for key, files in copies.files_on_disk(c, [photo_id]).items() if len(files) > 1]
        )
    groups = _grouped(store, stamp, limits, Candidates(ids, hashes, several.astype(np.int64)))
    return next((g for g in groups if any(m.id == photo_id for m in g.members)), None)


def _close_by_hash(store: Store, photo_id: int, limits: Limits) -> list[int]:
    if Kind.NEAR not in limits.kinds:
        return []
    with store.catalog.reading() as c:
        ids, hashes = copies.hashes(c)
    mine = hashes[ids == photo_id]
    if not len(mine):
        return []
    bits = np.bitwise_count(hashes ^ mine[0])
    close = np.flatnonzero(bits <= limits.distance_bits)
    return [int(key) for key in ids[close[np.argsort(bits[close], kind="stable")[:MOST_CLOSE]]]]


def _close_by_vector(store: Store, stamp: ModelStamp, photo_id: int, limits: Limits) -> list[int]:
    with store.catalog.reading() as c:
        model_id = reading.model_id(c, stamp)
        if Kind.SIMILAR not in limits.kinds or model_id is None:
            return []
        own = [v for _, part in reading.embeddings(c, model_id, stamp.dim, ids=[photo_id]) for v in part]
    if not own:
        return []
    ids, cosines = store.vectors(model_id, stamp.dim).search(own[0], MOST_CLOSE)
    return [int(key) for key in ids[cosines >= limits.least_cosine]]


def _grouped(store: Store, stamp: ModelStamp | None, limits: Limits, among: Candidates) -> list[Group]:
    ids, hashes, several = among.ids, among.hashes, among.several
    links = _Links(len(ids))
    if Kind.NEAR in limits.kinds:
        links.add(near_pairs(store, ids, hashes, limits.distance_bits), Kind.NEAR)
    if Kind.SIMILAR in limits.kinds and stamp is not None:
        links.add(_similar_pairs(store, stamp, ids, limits.least_cosine), Kind.SIMILAR)
    kept = links.kept()
    members = _members(ids, kept, several)
    return sorted(
        _groups(store, limits, members, links, ids), key=lambda g: (-g.saved_bytes, g.members[0].id)
    )


class OneOfEach:
    """For the filter `dup:no`: of photos that are nearly the same only the one that is most worth keeping.

    Reads the whole library once, and again when it has changed; the pairs are remembered in between.
    """

    def __init__(self, store: Store, distance_bits: int = NEAR_BITS) -> None:
        self._store = store
        self._distance_bits = distance_bits
        self._state: tuple[copies.State, Ids, Pairs] | None = None

    def __call__(self, ids: Ids) -> Ids:
        """Those of `ids` (n,) that have no better near-duplicate among `ids`, in their order."""
        worth, pairs = self._pairs()
        rows = np.flatnonzero(np.isin(worth, ids))
        row_of = np.full(len(worth), -1)
        row_of[rows] = np.arange(len(rows))
        inside = (row_of[pairs.worse] >= 0) & (row_of[pairs.better] >= 0)
        ours = Pairs(row_of[pairs.worse[inside]], row_of[pairs.better[inside]], pairs.values[inside])
        kept = lookalikes.kept_for(len(rows), ours, -ours.values.astype(np.float32))
        dropped = worth[rows[kept != np.arange(len(rows))]]
        return ids[~np.isin(ids, dropped)]

    def _pairs(self) -> tuple[Ids, Pairs]:
        with self._store.catalog.reading() as c:
            state = copies.state(c)
            if self._state is None or self._state[0] != state:
                worth, hashes = copies.by_worth(c)
                pairs = near_pairs(self._store, worth, hashes, self._distance_bits)
                self._state = (state, worth, pairs)
        return self._state[1], self._state[2]


def near_pairs(store: Store, ids: Ids, hashes: Ids, distance_bits: int) -> Pairs:
    """Pairs of rows of the photos `ids` (n,) that look the same; values are bits of their `hashes` (n,), int64."""
    from search import appearance  # opens pictures, which a search does not

    proposed = lookalikes.close_hashes(hashes, distance_bits)
    return proposed.where(appearance.same_look(store, ids, proposed))


def _similar_pairs(store: Store, stamp: ModelStamp, ids: Ids, least_cosine: float) -> Pairs:
    order = np.argsort(ids)
    vectors = np.zeros((len(ids), stamp.dim), np.float16)
    with store.catalog.reading() as c:
        model_id = reading.model_id(c, stamp)
        few = ids.tolist() if len(ids) <= 2 * MOST_CLOSE + 1 else None  # of many it is quicker to read all
        chunks = reading.embeddings(c, model_id, stamp.dim, ids=few) if model_id is not None else iter(())
        for keys, part in chunks:
            at = np.searchsorted(ids[order], keys)
            here = (at < len(ids)) & (ids[order][np.minimum(at, len(ids) - 1)] == keys)
            vectors[order[at[here]]] = part[here]
    return lookalikes.close_vectors(vectors, least_cosine)


class _Links:
    """Pairs of both kinds, near ones before similar ones."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._found: list[tuple[Kind, Pairs]] = []

    def add(self, pairs: Pairs, kind: Kind) -> None:
        self._found.append((kind, pairs))

    def kept(self) -> Ids:
        """For each row the row that is kept in its place."""
        everything = lookalikes.joined(
            [Pairs(p.worse, p.better, _closeness(k, p)) for k, p in self._found], np.float32
        )
        return lookalikes.kept_for(self._count, everything, everything.values.astype(np.float32))

    def between(self, worse: int, better: int) -> tuple[Kind, float]:
        """How two linked rows are related: (NEAR, bits) or (SIMILAR, cosine)."""
        for kind, pairs in self._found:
            start, stop = np.searchsorted(pairs.worse, [worse, worse + 1])
            for at in range(start, stop):
                if pairs.better[at] == better:
                    return kind, float(pairs.values[at])
        raise AssertionError("only linked rows are grouped")


def _closeness(kind: Kind, pairs: Pairs) -> NDArray[np.float32]:
    values = pairs.values.astype(np.float32)
    return np.asarray(2 - values / 64, np.float32) if kind is Kind.NEAR else values


def _members(ids: Ids, kept: Ids, several: Ids) -> dict[int, list[int]]:
    """Rows of each group by the row that is kept, which is the first."""
    found: dict[int, list[int]] = {}
    for row in np.flatnonzero(kept != np.arange(len(kept))).tolist():
        found.setdefault(int(kept[row]), []).append(row)
    for row in np.flatnonzero(np.isin(ids, several)).tolist():
        found.setdefault(row, []) if kept[row] == row else None
    return {first: [first, *rest] for first, rest in found.items()}


def _groups(
    store: Store, limits: Limits, members: Mapping[int, Sequence[int]], links: _Links, ids: Ids
) -> Iterator[Group]:
    keys = [int(ids[row]) for rows in members.values() for row in rows]
    with store.catalog.reading() as c:
        photos, files = reading.photo_rows(c, keys), copies.files_on_disk(c, keys)
    for first, rows in members.items():
        found = []
        for row in rows:
            key = int(ids[row])
            mine = [f for f in files.get(key, ()) if _is_below(f.path, limits.folders)]
            if key in photos and mine:
                relation = None if row == first else links.between(row, first)
                found.append(_member(photos[key], relation, mine))
        if found and found[0].kind is None:
            group = _group(tuple(found), exact=Kind.EXACT in limits.kinds)
            if group.redundant:
                yield group


def _is_below(path: Path, folders: Sequence[Path]) -> bool:
    return not folders or any(os.path.commonpath([folder, path]) == str(folder) for folder in folders)


def _member(photo: Any, relation: tuple[Kind, float] | None, files: Sequence[CopyFile]) -> Member:
    kind, value = relation or (None, 0.0)
    return Member(
        id=photo.id,
        kind=kind,
        distance_bits=int(value) if kind is Kind.NEAR else None,
        cosine=value if kind is Kind.SIMILAR else None,
        width=photo.width,
        height=photo.height,
        format=photo.format,
        taken_at=photo.dated_at,
        taken_from=photo.taken_from,
        camera=" ".join(part for part in (photo.camera_make, photo.camera_model) if part) or None,
        favourite=bool(photo.favourite),
        files=tuple(files),
    )


def _group(members: tuple[Member, ...], *, exact: bool) -> Group:
    others = [f for member in members[1:] for f in member.files]
    own = members[0].files[1:] if exact else ()
    kinds = {member.kind for member in members[1:]}
    kind = next((k for k in (Kind.SIMILAR, Kind.NEAR) if k in kinds), Kind.EXACT)
    return Group(kind, members, _reason(members), (*own, *others))


def _reason(members: Sequence[Member]) -> str:
    """In what the kept photo differs from all others: the first point in which it does."""
    first, others = members[0], members[1:]
    if not others:
        return _reason_for_file(first.files)
    points: list[tuple[str, Any, list[Any]]] = [
        ("a favourite", first.favourite, [m.favourite for m in others]),
        ("a RAW or video beside it", _companions(first) > 0, [_companions(m) > 0 for m in others]),
        ("most pixels", first.width * first.height, [m.width * m.height for m in others]),
        ("date or camera from EXIF", _has_exif(first), [_has_exif(m) for m in others]),
        ("largest file", first.files[0].size_bytes, [m.files[0].size_bytes for m in others]),
        ("oldest", _age(first), [_age(m) for m in others]),
    ]
    for words, mine, theirs in points:
        if all(mine > each for each in theirs):
            return words
    better = [words for words, mine, theirs in points if any(mine > each for each in theirs)]
    return ", ".join(better) or "the first indexed"


def _reason_for_file(files: Sequence[CopyFile]) -> str:
    if files[0].companions > max((f.companions for f in files[1:]), default=0):
        return "a RAW or video beside it"
    if all(files[0].mtime_ns < f.mtime_ns for f in files[1:]):
        return "oldest file"
    return "same content and age; shortest path"


def _companions(member: Member) -> int:
    return max(f.companions for f in member.files)


def _has_exif(member: Member) -> bool:
    return member.taken_from == "exif" or member.camera is not None


def _age(member: Member) -> tuple[float, ...]:
    # Text that sorts by time, turned round: an earlier date is larger.
    return tuple(-ord(character) for character in member.taken_at or "~")
