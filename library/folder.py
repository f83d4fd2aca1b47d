"""The library folder: where it is, whether it may be used, and the lock that its one writer holds."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from library.errors import LibraryLocked, LibraryOnNetwork, LibraryUnreadable

log = logging.getLogger(__name__)

CATALOG_NAME = "catalog.sqlite"
# File systems whose locks SQLite's shared memory cannot rely on (sqlite.org/wal.html, "Overview", item 3).
PATIENCE_S = 1.0  # after this, a waiting writer says for whom it waits
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "webdav", "davfs", "davfs2", "ncpfs",
     "ceph", "glusterfs", "fuse.sshfs", "fuse.rclone", "fuse.glusterfs", "fuse.davfs2", "fuse.s3fs", "9p", "beegfs",
     "lustre"}
)  # fmt: skip


def default_folder(environment: Mapping[str, str]) -> Path:
    """`OKO_HOME`, else the platform's folder for user data."""
    if home := environment.get("OKO_HOME"):
        return Path(home).expanduser()
    from platformdirs import user_data_path

    return user_data_path("oko", appauthor=False)


def create_folder(folder: Path) -> None:
    """Make the folder, readable by its owner alone, if it is not there. Raises LibraryUnreadable."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as e:
        raise LibraryUnreadable(
            f"the library folder {folder} cannot be created: {e.strerror}",
            hint="Choose another place with --library DIR or OKO_HOME.",
        ) from e


def refuse_network(folder: Path) -> None:
    """Raises LibraryOnNetwork when the folder lies on a network file system."""
    kind = file_system(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        raise LibraryOnNetwork(
            f"the library folder {folder} lies on a network file system ({kind}), "
            "where its database could be damaged",
            hint="Keep the library on a local disk (--library DIR or OKO_HOME); "
            "the photos themselves may stay on the network.",
        )


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, in lower case ("ext4", "nfs4"), or "" if unknown."""
    import psutil

    place = folder.resolve()
    best, kind = -1, ""
    for partition in psutil.disk_partitions(all=True):
        mount = Path(partition.mountpoint)
        if (place == mount or mount in place.parents) and len(mount.parts) >= best:
            best = len(mount.parts)
            remote = sys.platform == "win32" and "remote" in partition.opts.split(",")
            kind = "cifs" if remote else partition.fstype.lower()
    return kind


@contextmanager
def writer_lock(folder: Path, *, purpose: str, timeout_s: float) -> Iterator[None]:
    """Hold the library's one writer's lock; the operating system frees it even after `kill -9`.

    Raises LibraryLocked, saying who holds it, after `timeout_s` seconds.
    """
    import psutil
    from filelock import FileLock, Timeout

    note = folder / "writer.json"
    lock = FileLock(folder / "writer.lock", mode=0o600)
    try:
        try:
            lock.acquire(timeout=min(timeout_s, PATIENCE_S), poll_interval=0.1)
        except Timeout:
            if timeout_s <= PATIENCE_S:
                raise
            log.warning("waiting for %s, which is writing to the library", _holder(note))
            lock.acquire(timeout=timeout_s - PATIENCE_S, poll_interval=0.1)
    except Timeout as e:
        raise LibraryLocked(
            f"another process is writing to the library in {folder}: {_holder(note)}",
            hint="Wait until it has finished, or stop it; searching works meanwhile.",
        ) from e
    except OSError as e:
        raise LibraryUnreadable(
            f"the library folder {folder} cannot be written to: {e.strerror}",
            hint="Look at its owner and permissions.",
        ) from e
    try:
        began = psutil.Process().create_time()  # tells it from a later process of the same number
        who = {"pid": os.getpid(), "began": began, "purpose": purpose, "since": time.strftime("%H:%M:%S")}
        with suppress(OSError):  # only said to others; a full disk must not stop what frees some space
            _write_note(note, json.dumps(who))
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def owners_alone(path: str, flags: int) -> int:
    """An `opener` for `open`: a file that it makes is its owner's alone from its first moment."""
    return os.open(path, flags, 0o600)


def _write_note(note: Path, text: str) -> None:
    note.unlink(missing_ok=True)  # one that a killed process left may be open to others
    with open(note, "x", encoding="utf-8", opener=owners_alone) as out:
        out.write(text)


def _holder(note: Path) -> str:
    try:
        who = json.loads(note.read_text())
        return f"`{who['purpose']}`, process {who['pid']}, since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that did not say which"
