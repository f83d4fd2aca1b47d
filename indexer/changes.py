"""What a scan found against what the catalog knows. Pure: no disk, no database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from indexer.scan import PassedOver
from library.records import FileRow, FileStamp, FileState

# Above this share of a root's files vanishing at once, something is wrong with the drive, not with the photos.
SUSPICIOUS_SHARE = 0.2
# In a folder of a few files, deleting one is ordinary.
SUSPICIOUS_FILES = 10


@dataclass(slots=True)
class Changes:
    """What has to be done about one root. Row numbers are those of the catalog's file rows."""

    added: list[FileStamp] = field(default_factory=list)
    changed: list[FileStamp] = field(default_factory=list)
    lacking: list[FileStamp] = field(
        default_factory=list
    )  # known and unchanged, but without a vector of this model
    moved: list[tuple[int, FileStamp]] = field(default_factory=list)
    returned: list[tuple[int, FileStamp]] = field(default_factory=list)
    restamped: list[tuple[int, FileStamp]] = field(
        default_factory=list
    )  # another inode or companion, same content
    missing: list[int] = field(default_factory=list)
    excluded: list[int] = field(default_factory=list)  # on disk perhaps, but kept out by a rule
    absorbed: dict[bytes, bytes] = field(
        default_factory=dict
    )  # once a photo of its own, now a companion of another
    unchanged: int = 0
    unreadable: int = 0  # known to be unreadable, and unchanged
    companions: int = 0
    known: int = 0  # files of the root that were on disk at the last scan

    @property
    def work(self) -> list[FileStamp]:
        """What has to be read, in this order: a content must find its new file before its old one is rewritten."""
        return [*self.added, *self.changed, *self.lacking]

    @property
    def needs_writing(self) -> bool:
        """Whether something is to be written before, or without, anything being read."""
        return bool(self.moved or self.returned or self.restamped or self.missing or self.excluded)

    def is_suspicious(self, *, whole_root: bool) -> bool:
        """Whether so much vanished at once that the drive is the likelier cause."""
        gone, known = len(self.missing), self.known - len(self.excluded)
        if whole_root and 0 < gone == known:
            return True
        return gone >= SUSPICIOUS_FILES and gone > SUSPICIOUS_SHARE * known


def compare(
    stamps: Sequence[FileStamp],
    rows: Iterable[FileRow],
    *,
    retry: bool = False,
    passed_over: Callable[[bytes], PassedOver | None] = lambda path: None,
) -> Changes:
    """Sort the files of one root into `Changes`. With `retry`, unreadable files count as changed.

    `passed_over` says of a path that has a row and no stamp why that is, if not because the file is gone.
    """
    found = Changes()
    at = {row.path: row for row in rows}
    unseen = dict(at)
    places: dict[tuple[int, int, int], bytes] | None = None
    found.known = sum(row.state != FileState.MISSING for row in at.values())
    owner = {path: stamp.path for stamp in stamps for path in stamp.companions}
    for stamp in stamps:
        row, was_elsewhere = unseen.pop(stamp.path, None), False
        if row is not None and _is_unchanged(row, stamp):
            found.unchanged += 1
            continue
        if row is not None and row.inode != stamp.inode:
            places = _places(at.values()) if places is None else places
            place = places.get((stamp.inode, stamp.size_bytes, stamp.mtime_ns), stamp.path)
            was_elsewhere = place != stamp.path
        _sort(found, stamp, row, retry=retry, was_elsewhere=was_elsewhere)
    found.companions = len(owner)
    found.absorbed = {path: main for path, main in owner.items() if path in at}
    gone = [row for path, row in unseen.items() if path not in owner]
    _find_moves(found, gone, at)
    moved = {key for key, _ in found.moved}
    for row in gone:
        if row.state != FileState.MISSING and row.id not in moved:
            _sort_gone(found, row.id, passed_over(row.path))
    return found


def _places(rows: Iterable[FileRow]) -> dict[tuple[int, int, int], bytes]:
    """Where the catalog saw each inode, with its size and time."""
    return {(row.inode, row.size_bytes, row.mtime_ns): row.path for row in rows if row.inode}


def _sort_gone(found: Changes, row_id: int, why: PassedOver | None) -> None:
    if why is None:
        found.missing.append(row_id)
    elif why == PassedOver.EXCLUDED:
        found.excluded.append(row_id)


def _is_unchanged(row: FileRow, stamp: FileStamp) -> bool:
    """What `_sort` would find of most files, in a third of the time."""
    return row[: len(stamp)] == stamp and row.has_embedding and row.state == FileState.INDEXED


def _sort(found: Changes, stamp: FileStamp, row: FileRow | None, *, retry: bool, was_elsewhere: bool) -> None:
    if row is None:
        found.added.append(stamp)
    elif not _same_stamp(row, stamp) or row.state == FileState.FAILED:
        found.changed.append(stamp)
    elif row.inode != stamp.inode and was_elsewhere:
        # Two files of one size and time have traded places, or the file system numbers anew: the content tells.
        found.changed.append(stamp)
    elif row.state == FileState.UNREADABLE:
        if retry:
            found.changed.append(stamp)
        else:
            found.unreadable += 1
    elif row.state == FileState.MISSING and (row.photo_id is None or row.failed):
        found.changed.append(stamp)
    elif row.state == FileState.MISSING:
        found.returned.append((row.id, stamp))
        if not row.has_embedding:
            found.lacking.append(stamp)
    elif not row.has_embedding:
        found.lacking.append(stamp)
    else:
        found.unchanged += 1
        if (row.inode, row.companions) != (stamp.inode, stamp.companions):
            found.restamped.append((row.id, stamp))


def _same_stamp(row: FileRow, stamp: FileStamp) -> bool:
    return (row.size_bytes, row.mtime_ns) == (stamp.size_bytes, stamp.mtime_ns)


def _can_move(row: FileRow) -> bool:
    sound = row.state in (FileState.INDEXED, FileState.MISSING) and not row.failed
    return bool(row.inode) and row.photo_id is not None and row.has_embedding and sound


def _find_moves(found: Changes, gone: list[FileRow], at: dict[bytes, FileRow]) -> None:
    """Files that have another path but the same inode, size and time, swaps included: they need not be read."""
    replaced = [at[stamp.path] for stamp in found.changed if stamp.path in at]
    sources = {(row.inode, row.size_bytes, row.mtime_ns): row for row in (*gone, *replaced) if _can_move(row)}
    moves: dict[bytes, tuple[FileRow, FileStamp]] = {}
    for stamp in (*found.added, *found.changed):
        key = (stamp.inode, stamp.size_bytes, stamp.mtime_ns)
        if stamp.path in at and _same_stamp(at[stamp.path], stamp):
            continue  # its own row says the same: only reading it tells
        if key in sources:
            moves[stamp.path] = (sources.pop(key), stamp)
    # A path that still has a row of its own is free only if that row moves too.
    while blocked := (moves.keys() & at.keys()) - {row.path for row, _ in moves.values()}:
        for path in blocked:
            del moves[path]
    found.moved = [(row.id, stamp) for row, stamp in moves.values()]
    found.added = [stamp for stamp in found.added if stamp.path not in moves]
    found.changed = [stamp for stamp in found.changed if stamp.path not in moves]
