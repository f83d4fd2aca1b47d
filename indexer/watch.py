"""Events of the file system, through watchdog: which entries of which folders something happened to.

On Linux each folder has a watch of its own, made only when the caller asks for it, so that excluded folders cost
nothing and the system's limits are met by name. Elsewhere the system watches whole trees, and the caller's rules sort
out what comes.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import platform
import queue
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import InotifyEvent, InotifyFD

log = logging.getLogger(__name__)

# More than this unread means that events come faster than they can be followed: a new look costs less memory.
MAX_UNREAD = 200_000


class Happening(StrEnum):
    """What an event says of a path."""

    WRITTEN = "written"  # and CLOSED will follow
    CLOSED = "closed"  # by one who wrote
    WHOLE = "whole"  # came by a rename
    ATTRIBUTES = "attributes"  # such as permissions or times
    TOUCHED = "touched"  # created or changed, and nothing will tell when that is over
    GONE = "gone"
    LOST = "lost"  # a watched folder itself went away, or its drive
    OVERFLOW = "overflow"  # events were lost: everything has to be looked at


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened. `path` is absolute, b"" for OVERFLOW."""

    what: Happening
    path: bytes = b""
    is_folder: bool = False


class WatchLimit(OSError):
    """The system gives no more watches; what lies below has to be looked at now and then."""


class Watches(Protocol):
    """A source of events."""

    tells_of_closing: bool

    def add(self, folder: bytes) -> None:
        """Watch a folder (absolute path); below it only where the platform cannot do otherwise.

        Raises WatchLimit, or OSError when the folder is not there.
        """
        ...

    def remove_below(self, folder: bytes) -> None:
        """Forget a folder and everything in it."""
        ...

    def has(self, folder: bytes) -> bool:
        """Whether this folder has a watch of its own."""
        ...

    def events(self, timeout_s: float | None) -> Iterator[Event]:
        """What has happened; waits for the first event at most so long. Ends early when woken."""
        ...

    def wake(self) -> None:
        """End a wait. May be called by a signal handler and from any thread."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...

    @property
    def count(self) -> int:
        """How many folders are watched."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether events can still come."""
        ...


def make_watches() -> Watches:
    """Events as this platform has them. Raises WatchLimit where it gives none."""
    if platform.system() == "Linux":
        return InotifyWatches()
    return TreeWatches()


class _Unread:
    """Events between the thread that reads them and the one that works; None wakes the latter."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._overflowed = False

    def put(self, item: Any) -> None:
        if item is None or self._queue.qsize() < MAX_UNREAD:
            self._queue.put(item)
        else:
            self._overflowed = True

    def overflow(self) -> None:
        self._overflowed = True
        self._queue.put(None)

    def take(self, timeout_s: float | None) -> Iterator[Any]:
        """What there is; Happening.OVERFLOW first if something was lost."""
        with contextlib.suppress(queue.Empty):
            first = self._queue.get(timeout=timeout_s) if timeout_s != 0 else self._queue.get_nowait()
            if self._overflowed:
                self._overflowed = False
                yield Happening.OVERFLOW
            if first is not None:
                yield first
            # What comes meanwhile is for the next time: a writer in a loop must not keep us here.
            for _ in range(self._queue.qsize()):
                item = self._queue.get_nowait()
                if item is not None:
                    yield item


class _Folders:
    """Folders (absolute paths), quick to ask for those below one of them."""

    def __init__(self) -> None:
        self._inside: dict[bytes, set[bytes]] = {}

    def add(self, folder: bytes) -> None:
        while (parent := os.path.dirname(folder)) != folder:
            siblings = self._inside.setdefault(parent, set())
            if folder in siblings:
                return
            siblings.add(folder)
            folder = parent

    def take_below(self, folder: bytes) -> list[bytes]:
        """A folder and all below, which are forgotten."""
        found = [folder]
        for each in found:
            found += self._inside.pop(each, ())
        self._inside.get(os.path.dirname(folder), set()).discard(folder)
        return found


class InotifyWatches:
    """inotify, one watch a folder (Linux)."""

    tells_of_closing = True

    def __init__(self, fd: InotifyFD | None = None) -> None:
        from watchdog.observers.inotify_c import InotifyConstants, InotifyFD

        c = InotifyConstants
        self._mask = (
            c.IN_CREATE | c.IN_MODIFY | c.IN_ATTRIB | c.IN_CLOSE_WRITE | c.IN_MOVED_FROM | c.IN_MOVED_TO
        ) | (c.IN_DELETE | c.IN_DELETE_SELF | c.IN_MOVE_SELF | c.IN_ONLYDIR)
        self._unmount = c.IN_UNMOUNT
        self._unread = _Unread()
        self._ids = itertools.count(1)
        self._watched: dict[int, tuple[bytes, int]] = {}  # descriptor -> (folder, id of our callback)
        self._descriptors: dict[bytes, int] = {}
        self._folders = _Folders()  # at least those that have a descriptor
        with _limits_by_name():
            self._fd = fd or InotifyFD()
        self._fd.start()

    def add(self, folder: bytes) -> None:
        if folder in self._descriptors:
            return
        number = next(self._ids)
        with _limits_by_name():
            descriptor = self._fd.add_callback(folder, self._mask, self, number)  # type: ignore[arg-type]
        if descriptor in self._watched:
            # Known by another name. Where that still leads there, a link is a second way; otherwise the folder was
            # renamed, and the events that say so are still to come.
            old, old_number = self._watched[descriptor]
            if _is_same(old, folder):
                self._fd.remove_callbacks([(descriptor, number)])  # type: ignore[list-item]
                return
            self._descriptors.pop(old, None)
            self._fd.remove_callbacks([(descriptor, old_number)])  # type: ignore[list-item]
        self._watched[descriptor] = folder, number
        self._descriptors[folder] = descriptor
        self._folders.add(folder)

    def remove_below(self, folder: bytes) -> None:
        for path in self._folders.take_below(folder):
            descriptor = self._descriptors.pop(path, None)
            if descriptor is None:
                continue
            _, number = self._watched.pop(descriptor)
            with contextlib.suppress(OSError):  # the system may have taken the watch back already
                self._fd.remove_callbacks([(descriptor, number)])  # type: ignore[list-item]

    def has(self, folder: bytes) -> bool:
        return folder in self._descriptors

    def events(self, timeout_s: float | None) -> Iterator[Event]:
        for item in self._unread.take(timeout_s):
            if item is Happening.OVERFLOW:
                yield Event(item)
            elif item.wd in self._watched:
                yield from self._sorted_out(item, self._watched[item.wd][0])

    def _sorted_out(self, event: InotifyEvent, folder: bytes) -> Iterator[Event]:
        if event.mask & self._unmount or event.is_delete_self or event.is_move_self:
            yield Event(Happening.LOST, folder, is_folder=True)
            return
        is_folder = event.is_directory
        path = os.path.join(folder, event.name)
        if event.is_moved_from or event.is_delete:
            yield Event(Happening.GONE, path, is_folder)
        elif is_folder:
            yield Event(Happening.WHOLE if event.is_moved_to else Happening.TOUCHED, path, is_folder)
        elif event.is_create:
            yield Event(_created(path), path)
        elif event.is_modify:
            yield Event(Happening.WRITTEN, path)
        elif event.is_close_write:
            yield Event(Happening.CLOSED, path)
        elif event.is_moved_to:
            yield Event(Happening.WHOLE, path)
        elif event.name:
            yield Event(Happening.ATTRIBUTES, path)

    def wake(self) -> None:
        self._unread.put(None)

    def close(self) -> None:
        self._watched.clear()
        self._descriptors.clear()
        self._folders = _Folders()
        self._fd.stop()
        self._fd.join(5)

    @property
    def count(self) -> int:
        return len(self._watched)

    @property
    def is_alive(self) -> bool:
        return self._fd.is_alive()

    # What watchdog's reading thread calls

    def on_event(self, event: InotifyEvent) -> None:
        """Called for each event; which folder it is of, the working thread finds out."""
        self._unread.put(event)

    def on_watch_deleted(self, wd: int) -> None:
        """The system took a watch back: the events before that say why."""

    def on_queue_overflow(self) -> None:
        """The system's queue ran over."""
        self._unread.overflow()


def _is_same(one: bytes, other: bytes) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _created(path: bytes) -> Happening:
    """A link to a file that is there already is never opened, so nothing will close it."""
    try:
        status = os.lstat(path)
    except OSError:
        return Happening.GONE
    return Happening.TOUCHED if status.st_nlink > 1 or status.st_size else Happening.WRITTEN


@contextlib.contextmanager
def _limits_by_name() -> Iterator[None]:
    try:
        yield
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EMFILE, errno.ENOMEM):
            raise WatchLimit(e.errno, e.strerror) from e
        raise


class TreeWatches:
    """Whole trees, watched by the system itself (macOS, Windows), or by watchdog's own means elsewhere."""

    tells_of_closing = False

    def __init__(self) -> None:
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer

        unread = self._unread = _Unread()

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: Any) -> None:
                unread.put(event)

        self._handler = Handler()
        self._observer = Observer()
        self._trees: dict[bytes, Any] = {}
        self._observer.start()

    def add(self, folder: bytes) -> None:
        if not any(folder == tree or folder.startswith(tree + b"/") for tree in self._trees):
            self._trees[folder] = self._observer.schedule(self._handler, os.fsdecode(folder), recursive=True)

    def remove_below(self, folder: bytes) -> None:
        for tree in [t for t in self._trees if t == folder or t.startswith(folder + b"/")]:
            with contextlib.suppress(KeyError, OSError):
                self._observer.unschedule(self._trees.pop(tree))

    def has(self, folder: bytes) -> bool:
        return folder in self._trees

    def events(self, timeout_s: float | None) -> Iterator[Event]:
        for item in self._unread.take(timeout_s):
            if item is Happening.OVERFLOW:
                yield Event(item)
            else:
                yield from _from_watchdog(item)

    def wake(self) -> None:
        self._unread.put(None)

    def close(self) -> None:
        self._observer.stop()
        self._observer.join(5)

    @property
    def count(self) -> int:
        return len(self._trees)

    @property
    def is_alive(self) -> bool:
        return self._observer.is_alive()


def _from_watchdog(event: Any) -> Iterator[Event]:
    source, target = os.fsencode(event.src_path), os.fsencode(getattr(event, "dest_path", "") or "")
    match event.event_type:
        case "created":
            yield Event(Happening.TOUCHED, source, event.is_directory)
        case "modified" | "closed" | "attrib":
            if not event.is_directory:  # of what changed in it there are events, too
                yield Event(Happening.TOUCHED, source)
        case "deleted":
            yield Event(Happening.GONE, source, event.is_directory)
        case "moved":
            yield Event(Happening.GONE, source, event.is_directory)
            yield Event(Happening.WHOLE, target, event.is_directory)


class NoWatches:
    """No events at all, where the system gives none: everything is looked at now and then."""

    tells_of_closing = False
    count = 0
    is_alive = True

    def __init__(self) -> None:
        self._unread = _Unread()

    def add(self, folder: bytes) -> None:
        """Nothing watches it."""
        raise WatchLimit(errno.ENOSPC, "no watches")

    def remove_below(self, folder: bytes) -> None:
        """There is nothing to remove."""

    def has(self, folder: bytes) -> bool:
        """None has."""
        return False

    def events(self, timeout_s: float | None) -> Iterator[Event]:
        yield from self._unread.take(timeout_s)

    def wake(self) -> None:
        self._unread.put(None)

    def close(self) -> None:
        """There is nothing to close."""
