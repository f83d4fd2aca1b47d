"""A folder on disk -> a stream of `FileStamp`s, by the skip rules, without decoding anything."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from library.errors import ConfigError
from library.images import PICTURE_SUFFIXES, RAW_SUFFIXES, looks_like_picture
from library.records import FileStamp, display_path

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

# Folders in which programs keep what is no photo of the user's: previews, bins, caches, code.
SKIPPED_FOLDERS = frozenset(
    {b"@eadir", b"#recycle", b"$recycle.bin", b"system volume information", b"lost+found", b"__macosx", b"node_modules",
     b"__pycache__", b"thumbnails", b"thumbs", b"@tmp", b"#snapshot"}
)  # fmt: skip
# Bundles of photo programs that hold derived previews beside (or instead of) originals.
SKIPPED_FOLDER_SUFFIXES = (
    b".lrdata",
    b".lrcat-data",
    b".photoslibrary/resources",
    b".photoslibrary/database",
)
LIVE_SUFFIXES = frozenset({b".mov", b".mp4"})  # the moving half of a Live Photo
MAIN_SUFFIXES = frozenset(
    {b".jpg", b".jpeg", b".jpe", b".heic", b".heif"}
)  # what RAW and videos go along with
# What programs call a file while they write it: browsers, download managers, editors. It counts once it is renamed.
TEMPORARY_SUFFIXES = frozenset({b".part", b".partial", b".crdownload", b".download", b".opdownload", b".tmp"})
HEAD_BYTES = 32
REMEMBERED_FOLDERS = 100_000
NOT_INCLUDED = "not included by a pattern"


class PassedOver(StrEnum):
    """Why a walk did not see a file that may well be there."""

    UNSEEN = "unseen"  # it could not be looked at, or this walk was for other files: nothing changes
    EXCLUDED = "excluded"  # a rule keeps it out of the library: it is hidden, not deleted


@dataclass(frozen=True, slots=True)
class Rules:
    """What to take. Patterns are those of .gitignore; `own_folders` are absolute and never entered."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    hidden: bool = False
    follow_symlinks: bool = False
    own_folders: frozenset[bytes] = frozenset()


@dataclass(slots=True)
class ScanLog:
    """What a scan passed over: counts by reason, and folders it could not look into."""

    skipped: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    unseen: set[bytes] = field(default_factory=set)  # files and folders, relative to the root


@dataclass(slots=True)
class _Listing:
    """What is in one folder, in order of the names."""

    inner: list[bytes] = field(default_factory=list)  # the folders that are entered
    files: dict[bytes, FileStamp] = field(default_factory=dict)
    movies: set[bytes] = field(default_factory=set)
    suffixes: set[bytes] = field(default_factory=set)  # of the files


@dataclass(slots=True)
class Scan:
    """One walk over a root. Iterate `stamps()` once; `log` fills up meanwhile."""

    root: Path
    rules: Rules
    elsewhere: frozenset[bytes] = frozenset()  # folders inside that are roots of their own, absolute
    on_folder: Callable[[bytes], None] | None = None  # called with each folder (absolute) before it is listed
    log: ScanLog = field(default_factory=ScanLog)
    _include: GitIgnoreSpec | None = field(init=False)
    _exclude: GitIgnoreSpec | None = field(init=False)
    _entered: set[tuple[int, int]] = field(default_factory=set)
    _within: dict[bytes, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._include = _patterns("include", self.rules.include)
        self._exclude = _patterns("exclude", self.rules.exclude)

    def stamps(self, below: bytes = b"") -> Iterator[FileStamp]:
        """The pictures below a folder (or the one file) of the root, each folder's in order of their names."""
        start = os.path.join(os.fsencode(self.root), below) if below else os.fsencode(self.root)
        if below and not os.path.isdir(start):
            shots = _shots(self._folder(os.path.dirname(below)))
            yield from (s for s in shots if s.path == below or below in s.companions)
            return
        pending = [below]
        while pending:
            listing = self._folder(pending.pop())
            yield from _shots(listing)
            pending += reversed(listing.inner)

    def stamps_of(self, paths: Collection[bytes]) -> Iterator[FileStamp]:
        """The pictures among these files (relative to the root), with what else belongs to the same shots.

        Costs a listing of each folder concerned, and a look at those files alone.
        """
        shots: dict[bytes, set[bytes]] = {}
        for path in paths:
            shots.setdefault(os.path.dirname(path), set()).add(_stem(os.path.basename(path)))
        for folder, stems in shots.items():
            is_there = os.path.isdir(os.path.join(os.fsencode(self.root), folder))
            if is_there and self.may_enter(folder):
                self._entered.clear()
                yield from _shots(self._folder(folder, stems))

    def takes(self, path: bytes) -> bool:
        """Whether a file of this name can matter: as a picture, or as the other half of one."""
        suffix = os.path.splitext(path)[1].lower()
        if suffix and suffix not in PICTURE_SUFFIXES and suffix not in LIVE_SUFFIXES:
            return False
        return suffix in LIVE_SUFFIXES or self._refusal(path, is_folder=False) is None

    def may_enter(self, folder: bytes) -> bool:
        """Whether the rules let a walk from the root come to this folder, as it is on disk now."""
        return self.enters(folder) and self._is_as_it_was(folder)

    def _is_as_it_was(self, folder: bytes) -> bool:
        """Whether no part of the path has become a link since, where links are not followed."""
        path = os.path.join(os.fsencode(self.root), folder) if folder else os.fsencode(self.root)
        return self.rules.follow_symlinks or os.path.realpath(path) == path

    def _folder(self, folder: bytes, stems: Collection[bytes] | None = None) -> _Listing:
        found = _Listing()
        path = os.path.join(os.fsencode(self.root), folder) if folder else os.fsencode(self.root)
        try:
            if self.rules.follow_symlinks and not self._enter(path):
                return found
            if self.on_folder is not None:
                self.on_folder(path)
            with os.scandir(path) as listing:
                wanted = listing if stems is None else (e for e in listing if _stem(e.name) in stems)
                entries = sorted(wanted, key=attrgetter("name"))
        except OSError as e:
            self._note_unseen(folder, "folders that cannot be read", e)
            return found
        for entry in entries:
            self._sort_out(entry, folder + b"/" + entry.name if folder else entry.name, found)
        return found

    def _note_unseen(self, relative: bytes, reason: str, error: OSError) -> None:
        """Remember what could not be looked at; what is simply not there any more has been seen to be gone."""
        self.log.skipped[reason] += 1
        path = os.path.join(os.fsencode(self.root), relative)
        self.log.problems.append(f"{display_path(path)}: {error.strerror}")
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            self.log.unseen.add(relative)

    def _enter(self, path: bytes) -> bool:
        """Whether a folder is entered for the first time: links can lead in circles, or twice to one place."""
        status = os.stat(path)
        here = (status.st_dev, status.st_ino)
        if here in self._entered:
            self.log.skipped["folders seen before (links)"] += 1
            return False
        self._entered.add(here)
        return True

    def _sort_out(self, entry: os.DirEntry[bytes], relative: bytes, found: _Listing) -> None:
        try:
            if entry.is_symlink() and not self.rules.follow_symlinks:
                self.log.skipped["symbolic links"] += 1
            elif entry.is_dir():
                if not self._refused(relative, is_folder=True):
                    found.inner.append(relative)
            elif (suffix := _suffix(entry.name)) in LIVE_SUFFIXES:
                found.movies.add(relative)
            elif self._is_picture(entry, suffix) and self._is_wanted(entry.name, relative, suffix):
                status = entry.stat()
                inode = _signed(status.st_ino)
                found.files[relative] = FileStamp(relative, status.st_size, status.st_mtime_ns, inode)
                found.suffixes.add(suffix)
        except OSError as e:
            self._note_unseen(relative, "files that cannot be looked at", e)

    def _is_picture(self, entry: os.DirEntry[bytes], suffix: bytes) -> bool:
        if suffix and suffix not in PICTURE_SUFFIXES:
            self.log.skipped["not pictures"] += 1
            return False
        if not stat.S_ISREG(entry.stat().st_mode):
            self.log.skipped["pipes, sockets and devices"] += 1
            return False
        if suffix or looks_like_picture(_head(entry.path)):
            return True
        self.log.skipped["not pictures"] += 1
        return False

    def _is_wanted(self, name: bytes, relative: bytes, suffix: bytes) -> bool:
        """Whether the rules take a picture, by its name."""
        if suffix and self._include is self._exclude is None and not name.startswith(b"."):
            return True  # what `_refusal` would come to, in a fifth of the time: so are most names
        return not self._refused(relative, is_folder=False)

    def passed_over(self, path: bytes) -> PassedOver | None:
        """Why a file of the catalog did not turn up in this walk, if not because it is gone. Call it after the walk."""
        parents = path.split(b"/")
        above = [b"/".join(parents[: n + 1]) for n in range(len(parents))]
        if not self.log.unseen.isdisjoint((b"", *above)):
            return PassedOver.UNSEEN
        if not self.enters_again(os.path.dirname(path)) or self._matches(
            self._exclude, path, is_folder=False
        ):
            return PassedOver.EXCLUDED
        refused = self._refusal(path, is_folder=False)
        return (
            None if refused is None else PassedOver.UNSEEN if refused == NOT_INCLUDED else PassedOver.EXCLUDED
        )

    def enters_again(self, folder: bytes) -> bool:
        """`enters`, asked of each folder once: a drive that is away has many files in few folders."""
        if folder not in self._within:
            if len(self._within) >= REMEMBERED_FOLDERS:
                self._within.clear()  # a watcher asks for months
            self._within[folder] = self.enters(folder)
        return self._within[folder]

    def enters(self, folder: bytes) -> bool:
        """Whether the rules let a walk from the root come to this folder (relative to the root)."""
        parts = folder.split(b"/") if folder else []
        return all(
            self._refusal(b"/".join(parts[: n + 1]), is_folder=True) is None for n in range(len(parts))
        )

    def _refused(self, relative: bytes, *, is_folder: bool) -> bool:
        reason = self._refusal(relative, is_folder=is_folder)
        if reason is not None:
            self.log.skipped[reason] += 1
        return reason is not None

    def _refusal(self, relative: bytes, *, is_folder: bool) -> str | None:
        """The rule by which a file or folder is not taken, in words, or None."""
        name = relative[relative.rfind(b"/") + 1 :].lower()
        if name.startswith(b"._") or (name.startswith(b".") and not self.rules.hidden):
            return "hidden"
        if not is_folder and (name.endswith(b"~") or _suffix(name) in TEMPORARY_SUFFIXES):
            return "temporary files"
        if is_folder and (name in SKIPPED_FOLDERS or relative.lower().endswith(SKIPPED_FOLDER_SUFFIXES)):
            return "folders of previews, bins and caches"
        if self._matches(self._exclude, relative, is_folder=is_folder):
            return "excluded by a pattern"
        if is_folder:
            real = os.path.realpath(os.path.join(os.fsencode(self.root), relative))
            if real in self.rules.own_folders:
                return "oko's own library"
            return "folders indexed on their own" if real in self.elsewhere else None
        if self._include is not None and not self._matches(self._include, relative, is_folder=False):
            return NOT_INCLUDED
        return None

    def _matches(self, spec: GitIgnoreSpec | None, relative: bytes, *, is_folder: bool) -> bool:
        return spec is not None and spec.match_file(os.fsdecode(relative) + "/" * is_folder)


def _patterns(setting: str, lines: Sequence[str]) -> GitIgnoreSpec | None:
    if not lines:
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except (ValueError, TypeError) as e:
        raise ConfigError(f"{setting}: {list(lines)} is not a list of patterns as in .gitignore: {e}") from e


def _stem(path: bytes) -> bytes:
    """What the files of one shot have in common."""
    return os.path.splitext(path)[0].lower()


def _suffix(name: bytes) -> bytes:
    """`os.path.splitext(name)[1].lower()` of a name without folders, in a fifth of its time."""
    dot = name.rfind(b".")
    if dot <= 0 or (name.startswith(b".") and not name[:dot].strip(b".")):
        return b""
    return name[dot:].lower()


def _signed(inode: int) -> int:
    """An inode as a signed 64-bit number, which is what databases store."""
    return inode - (1 << 64) if inode >= 1 << 63 else inode


def _head(path: bytes) -> bytes:
    # O_NONBLOCK: the entry was a regular file a moment ago, but a pipe by now would hang us.
    with open(
        os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb"
    ) as file:
        return file.read(HEAD_BYTES)


def _shots(listing: _Listing) -> Iterable[FileStamp]:
    """A folder's pictures with their companions; most folders have none, and are in order."""
    if not listing.movies and listing.suffixes.isdisjoint(RAW_SUFFIXES):
        return listing.files.values()
    return pair(listing.files, listing.movies)


def pair(files: dict[bytes, FileStamp], movies: set[bytes]) -> Iterator[FileStamp]:
    """One folder's pictures, in order, with the RAW file and the Live Photo's video of a shot as companions."""
    mains = {
        _stem(path): path
        for path in sorted(files, reverse=True)
        if os.path.splitext(path)[1].lower() in MAIN_SUFFIXES
    }
    partners: dict[bytes, list[bytes]] = {}
    for path in sorted([*files, *movies]):
        main = mains.get(_stem(path))
        if main is not None and (path in movies or os.path.splitext(path)[1].lower() in RAW_SUFFIXES):
            partners.setdefault(main, []).append(path)
    taken = {path for paths in partners.values() for path in paths}
    for path in sorted(files):
        if path in partners:
            s = files[path]
            yield FileStamp(s.path, s.size_bytes, s.mtime_ns, s.inode, tuple(partners[path]))
        elif path not in taken:
            yield files[path]
