"""Photos copied or linked into a folder, with numbered names, so that a file manager shows them in their order."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from library.errors import DiskFull, UsageError
from library.records import display_path

LONGEST_NAME_BYTES = 240  # file systems take 255; the rest is for a number behind
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_WINDOWS_NO_PRIVILEGE = 1314
_TEMPORARY = ".part"


@dataclass
class Placed:
    """What became of it."""

    done: int = 0
    there_before: int = 0
    failures: list[str] = field(default_factory=list)  # sentences, each naming its file


def numbered(paths: Sequence[Path], *, first: int = 1) -> list[tuple[str, Path]]:
    """The paths with names for a folder: 001-beach.jpg, 002-..."""
    width = max(3, len(str(first + len(paths) - 1)))
    return [(f"{number:0{width}}-{path.name}", path) for number, path in enumerate(paths, first)]


def copy_all(files: Iterable[tuple[str, Path]], folder: Path) -> Placed:
    """Copy files (name there, path) into a folder, made if need be; modification times are kept, nothing overwritten.

    A file that cannot be read is a failure in the report. Raises UsageError when the folder cannot be made or written
    to, DiskFull when there is no space left; no half a file stays behind in any case.
    """
    return _place(files, folder, _copy, _is_copy)


def link_all(files: Iterable[tuple[str, Path]], folder: Path) -> Placed:
    """The same with symbolic links. Raises UsageError for a file system that has none, too."""
    return _place(files, folder, _link, _is_link)


def _place(
    files: Iterable[tuple[str, Path]],
    folder: Path,
    put: Callable[[Path, Path], None],
    is_there: Callable[[Path, Path], bool],
) -> Placed:
    report = Placed()
    _make(folder)
    for name, path in files:
        try:
            for target in _targets(folder, name):
                if is_there(path, target):
                    report.there_before += 1
                    break
                with contextlib.suppress(FileExistsError):
                    put(path, target)
                    report.done += 1
                    break
        except OSError as e:
            _give_up(e, folder, report)
            report.failures.append(f"{display_path(path)}: {e.strerror or e}")
    return report


def _give_up(error: OSError, folder: Path, report: Placed) -> None:
    """Raise what the next file would meet, too."""
    if error.errno in _FULL:
        raise DiskFull(
            f"the disk that holds {folder} is full after {report.done + report.there_before:,} photos",
            hint="Free some space and run the command again: what is there is not copied twice.",
        ) from error
    if error.errno == errno.EROFS or (error.errno == errno.EACCES and not os.access(folder, os.W_OK)):
        raise UsageError(f"{folder} cannot be written to: {error.strerror}") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UsageError(f"the folder {folder} cannot be made: {e.strerror}") from e


def _targets(folder: Path, name: str) -> Iterable[Path]:
    """Where a file may go: its name, then NAME (2), NAME (3), ... for as long as that is taken by another file."""
    stem, suffix = os.path.splitext(name)
    room = LONGEST_NAME_BYTES - len(os.fsencode(suffix))
    stem = os.fsdecode(os.fsencode(stem)[: max(1, room)])
    yield folder / (stem + suffix)
    number = 2
    while True:
        yield folder / f"{stem} ({number}){suffix}"
        number += 1


def _copy(path: Path, target: Path) -> None:
    # The name is taken first, so that nobody's file is replaced; the content comes under it whole or not at all.
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    temporary = target.with_name(f".oko-{uuid.uuid4().hex[:8]}{_TEMPORARY}")
    try:
        shutil.copyfile(path, temporary)
        with contextlib.suppress(OSError):  # a FAT stick knows no modes
            shutil.copystat(path, temporary)
        os.replace(temporary, target)
    except BaseException:
        for half in (temporary, target):
            half.unlink(missing_ok=True)
        raise


def _is_copy(path: Path, target: Path) -> bool:
    """Whether the file is there from an earlier run: same size, same time up to the two seconds of FAT."""
    try:
        there, here = target.stat(), path.stat()
    except FileNotFoundError:
        return False
    return there.st_size == here.st_size and abs(there.st_mtime - here.st_mtime) <= 2


def _link(path: Path, target: Path) -> None:
    path.stat()  # a link to nothing helps nobody
    try:
        os.symlink(path.absolute(), target)
    except OSError as e:
        if e.errno in _NO_LINKS or getattr(e, "winerror", None) == _WINDOWS_NO_PRIVILEGE:
            raise UsageError(
                f"the file system of {target.parent} takes no symbolic links here",
                hint="Copy instead: --copy-to DIR",
            ) from e
        raise


def _is_link(path: Path, target: Path) -> bool:
    return target.is_symlink() and os.readlink(target) == str(path.absolute())
