"""The folders a watcher follows, and how each can be followed: by events, or by looking now and then."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from indexer.scan import Rules, Scan
from indexer.targets import Target
from library.folder import NETWORK_FILE_SYSTEMS, file_system

# Beside network drives: folders shared into virtual machines, where the system tells only of one's own changes.
SHARED_FILE_SYSTEMS = frozenset({"vboxsf", "vmhgfs", "fuse.vmhgfs-fuse", "prl_fs", "virtiofs", "drvfs"})
# A look takes at most this share of the time, however large the folder and slow the drive.
LOOKING_SHARE = 0.05


@dataclass(slots=True)
class Area:
    """One root, or the part of it that is watched. `next_look` is when all of it is looked at again."""

    target: Target
    scan: Scan  # for its rules; walks have their own
    is_polled: bool  # no events come from there, or none are wanted
    next_look: float = 0.0
    looked: bool = False
    is_limited: bool = False  # the system had not watches enough
    identity: tuple[int, int] | None = None  # device and inode of its folder when it was last seen
    look_s: float = 0.0
    start: bytes = field(init=False)

    def __post_init__(self) -> None:
        root = os.fsencode(self.target.root.path)
        self.start = os.path.join(root, self.target.below) if self.target.below else root

    @property
    def key(self) -> tuple[int, bytes]:
        """What tells it from other areas."""
        return self.target.root.id, self.target.below

    def holds(self, path: bytes) -> bool:
        """Whether an absolute path lies in it."""
        return path == self.start or path.startswith(self.start.rstrip(b"/") + b"/")

    def relative(self, path: bytes) -> bytes:
        """An absolute path, relative to the root."""
        return os.path.relpath(path, os.fsencode(self.target.root.path)) if path != self._root else b""

    @property
    def _root(self) -> bytes:
        return os.fsencode(self.target.root.path)

    def identity_now(self) -> tuple[int, int] | None:
        """Device and inode of its folder, None when it is not there."""
        try:
            status = os.stat(self.start)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def interval_s(self, *, poll_s: float, rescan_s: float) -> float:
        """How long until the next look at everything."""
        if self.is_polled or self.is_limited:
            return max(poll_s, self.look_s / LOOKING_SHARE)
        return rescan_s


def make_area(target: Target, rules: Rules, method: str) -> Area:
    """An area, with the way to follow it: `method` is "auto", "events" or "poll"."""
    is_polled = method == "poll" or (method == "auto" and sends_no_events(target))
    return Area(target, Scan(target.root.path, rules, target.elsewhere), is_polled)


def sends_no_events(target: Target) -> bool:
    """Whether the drive may be changed from elsewhere without the system telling."""
    return file_system(target.root.path) in NETWORK_FILE_SYSTEMS | SHARED_FILE_SYSTEMS
