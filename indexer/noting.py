"""What events say, noted down: which files wait to be complete, which folders came and went, what is watched."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from indexer.areas import Area
from indexer.scan import Scan
from indexer.settling import Key, Settling
from indexer.troubles import Troubles
from indexer.watch import Event, Happening, NoWatches, Watches, WatchLimit
from library.catalog import reading
from library.records import FileStamp, display_path
from library.store import Store

log = logging.getLogger(__name__)


class Stopping(Exception):
    """Raised inside a walk that is to end early."""


@dataclass
class Noting:
    """Everything between the events and the batches. `areas` are sorted: the innermost comes first."""

    settle_s: float
    poll_s: float
    troubles: Troubles
    areas: list[Area] = field(default_factory=list)
    watches: Watches = field(default_factory=NoWatches)
    is_stopping: bool = False

    def __post_init__(self) -> None:
        self.settling = Settling(self._size_and_time, self.settle_s)
        self._gone_folders: dict[Key, None] = {}

    def note(self, event: Event, now: float) -> None:
        """Note one event down."""
        if event.what is Happening.OVERFLOW:
            self._note_overflow()
            return
        area = next((a for a in self.areas if a.holds(event.path)), None)
        if area is None:
            return
        relative = area.relative(event.path)
        if event.is_folder:
            self._note_folder(area, relative, event)
        elif area.scan.rules.follow_symlinks and self._was_or_is_folder(event.path):
            # A link to a folder, which may be one that there is another way to: only a walk over all can tell.
            self.unwatch(event.path)
            area.next_look = 0.0
        elif self._concerns(area, relative):
            self._note_file((area.target.root.id, relative), event.what, now)

    def _note_file(self, key: Key, what: Happening, now: float) -> None:
        match what:
            case Happening.WRITTEN:
                self.settling.written(key, now)
            case Happening.CLOSED:
                self.settling.closed(key, now)
            case Happening.ATTRIBUTES:
                self.settling.attributes(key, now)
            case Happening.TOUCHED:
                self.settling.touched(key, now)
            case _:
                self.settling.whole(key, now)

    def _was_or_is_folder(self, path: bytes) -> bool:
        return os.path.isdir(path) or self.watches.has(path)

    def _concerns(self, area: Area, relative: bytes) -> bool:
        if not area.scan.takes(relative):
            return False
        # Where whole trees are watched, excluded folders send events, too.
        return self.watches.tells_of_closing or area.scan.enters_again(os.path.dirname(relative))

    def _note_folder(self, area: Area, relative: bytes, event: Event) -> None:
        match event.what:
            case Happening.LOST:
                if event.path == area.start or os.path.isdir(event.path):
                    self.unwatch(event.path)  # its drive is gone; one that is deleted, its parent tells
                    area.identity = None  # so that the next check sees it anew
                    area.next_look = 0.0
            case Happening.GONE:
                self.unwatch(event.path)
                self._gone_folders[area.target.root.id, relative] = None
            case _:
                self._enter(area, relative, are_whole=event.what is Happening.WHOLE)

    def _enter(self, area: Area, folder: bytes, *, are_whole: bool = False) -> None:
        """A folder appeared: watch it, and take what is in it already."""
        path = os.path.join(os.fsencode(area.target.root.path), folder)
        if not os.path.isdir(path) or not area.scan.may_enter(folder):
            return
        watch: Callable[[bytes], None] = lambda each: self.watch_folder(area, each)  # noqa: E731
        walk = Scan(area.target.root.path, area.scan.rules, area.target.elsewhere, watch)
        with contextlib.suppress(Stopping):
            self.find(area, walk.stamps(folder), are_whole=are_whole)
        if area.is_limited:
            area.next_look = min(area.next_look, time.monotonic() + self.poll_s)

    def find(self, area: Area, stamps: Iterable[FileStamp], *, are_whole: bool = False) -> None:
        """Note down what a look found to be new or changed; whole files are not waited for."""
        now = time.monotonic()
        for stamp in stamps:
            key = (area.target.root.id, stamp.path)
            if are_whole:
                self.settling.whole(key, now)
                continue
            size_bytes, mtime_ns = stamp.size_bytes, stamp.mtime_ns
            self.settling.found(
                key, now, size_bytes=size_bytes, mtime_ns=mtime_ns, is_local=not area.is_polled
            )

    def drop(self, area: Area) -> None:
        """Follow an area no longer."""
        self.areas.remove(area)
        self.unwatch(area.start)
        self.settling.forget(area.target.root.id)
        for other in self.areas:
            if other.target.root.id == area.target.root.id:
                other.next_look = 0.0

    def unwatch(self, folder: bytes) -> None:
        """Take the watches below a folder (absolute) back. Other areas in there are looked at anew, and watched."""
        self.watches.remove_below(folder)
        for area in self.areas:
            if area.start.startswith(folder.rstrip(b"/") + b"/"):
                area.next_look = 0.0

    @property
    def has_gone_folders(self) -> bool:
        """Whether `resolve_gone_folders` has something to do."""
        return bool(self._gone_folders)

    def resolve_gone_folders(self, open_reader: Callable[[], AbstractContextManager[Store]]) -> None:
        """What the catalog knows below folders that went away has to be looked at. Raises LibraryError."""
        now = time.monotonic()
        with open_reader() as store, store.catalog.reading() as c:
            for root_id, folder in self._gone_folders:
                for path in reading.paths_below(c, root_id, folder):
                    self.settling.whole((root_id, path), now)
        self._gone_folders.clear()

    def watch_folder(self, area: Area, folder: bytes) -> None:
        """Watch one folder (absolute), as far as the system lets us. Raises Stopping to end the walk around it."""
        if self.is_stopping:
            raise Stopping
        if area.is_polled:
            return
        try:
            self.watches.add(folder)
        except WatchLimit as e:
            area.is_limited = True
            self.note_limit(e)
        except OSError as e:
            log.debug("%s could not be watched: %s", display_path(folder), e)

    def note_limit(self, error: WatchLimit) -> None:
        """The system is out of watches."""
        self.troubles.begin(
            "watches",
            "the system gives no more folder watches, so folders without one are looked at now and then "
            f"({error.strerror})",
            "For more of them: sudo sysctl fs.inotify.max_user_watches=1048576",
        )

    def _note_overflow(self) -> None:
        message = "more happened at once than the system remembers; looking at every folder again"
        self.troubles.begin(
            "overflow", message, "If it comes often: sudo sysctl fs.inotify.max_queued_events=131072"
        )
        for area in self.areas:
            area.next_look = 0.0

    def _size_and_time(self, key: Key) -> tuple[int, int] | None:
        root = next((a.target.root.path for a in self.areas if a.target.root.id == key[0]), None)
        if root is None:
            return None
        try:
            status = os.stat(os.path.join(os.fsencode(root), key[1]))
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns
