"""Which of the files that something happened to are complete, and may be read. Pure but for the one look it is given.

A file that is being written sends events until its writer closes it. Where the platform tells of that, closing counts;
where it does not (network drives, other systems), size and time must be the same at two looks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

# Renamed and deleted files wait so long for the other half of what happened.
GATHER_S = 0.1
# The halves are noticed a moment apart, and go into one batch.
SLACK_S = 0.05
# A writer that neither writes nor closes for so long is one that keeps its files open.
OPEN_PATIENCE_S = 30.0
# A file of which no event tells is taken at the first look if it is older than this.
OLD_S = 5.0

Key = tuple[int, bytes]  # root id, path relative to it
Look = Callable[[Key], tuple[int, int] | None]  # (size in bytes, mtime in ns), None: not there


@dataclass(slots=True)
class _Waiting:
    due: float
    seen: tuple[int, int] | None = None
    looks: bool = False  # complete when it looks the same twice; otherwise when it is due
    is_open: bool = False
    is_whole: bool = False


@dataclass
class Settling:
    """Files between their first event and the batch that takes them. Times are those of one monotonic clock."""

    look: Look
    settle_s: float
    _waiting: dict[Key, _Waiting] = field(default_factory=dict)
    _ready: dict[Key, None] = field(default_factory=dict)  # in order

    def __len__(self) -> int:
        return len(self._waiting) + len(self._ready)

    def written(self, key: Key, now: float) -> None:
        """It is being written, and a later `closed` will say when that is over."""
        self._wait(key, _Waiting(now + max(OPEN_PATIENCE_S, self.settle_s), is_open=True))

    def closed(self, key: Key, now: float) -> None:
        """Its writer has closed it; another may open it at once (as programs do that write in pieces)."""
        self._wait(key, _Waiting(now + self.settle_s))

    def whole(self, key: Key, now: float) -> None:
        """It came by a rename, or is gone, whoever was writing to what was there before."""
        self._wait(key, _Waiting(now + GATHER_S, is_whole=True))

    def attributes(self, key: Key, now: float) -> None:
        """Its permissions or times changed; whether it is being written is known already."""
        if key not in self._waiting:
            self.whole(key, now)

    def touched(self, key: Key, now: float) -> None:
        """Something happened to it where nothing tells of closing."""
        self._wait(key, _Waiting(now + self.settle_s, self.look(key), looks=True))

    def found(self, key: Key, now: float, *, size_bytes: int, mtime_ns: int, is_local: bool = True) -> None:
        """A scan came across it, new or changed. Clocks of other machines say nothing: no such file counts as old."""
        if key in self._waiting or key in self._ready:
            return
        if is_local and abs(time.time() - mtime_ns / 1e9) > OLD_S:
            self._ready[key] = None
        else:
            self._wait(key, _Waiting(now + self.settle_s, (size_bytes, mtime_ns), looks=True))

    def put_back(self, keys: Iterable[Key]) -> None:
        """Batches that could not be done come first when they can."""
        back = {key: None for key in keys if key not in self._waiting}
        self._ready = {**back, **self._ready}

    def next_due(self) -> float | None:
        """When something may be ready; None when nothing waits. What is ready already counts as long ago."""
        return float("-inf") if self._ready else min((w.due for w in self._waiting.values()), default=None)

    def take(self, now: float, limit: int) -> list[Key]:
        """At most `limit` files that are complete, with nothing else of the same shot being written."""
        self._sort_out(now)
        busy = {_shot(key) for key in self._waiting}
        batch: list[Key] = []
        for key in self._ready:
            if _shot(key) not in busy:
                batch.append(key)
                if len(batch) == limit:
                    break
        for key in batch:
            del self._ready[key]
        return batch

    def forget(self, root_id: int) -> None:
        """A whole root is looked at anew."""
        self._waiting = {key: w for key, w in self._waiting.items() if key[0] != root_id}
        self._ready = {key: None for key in self._ready if key[0] != root_id}

    def _wait(self, key: Key, how: _Waiting) -> None:
        self._ready.pop(key, None)
        self._waiting[key] = how

    def _sort_out(self, now: float) -> None:
        for key, waiting in self._due(now):
            seen = self.look(key) if waiting.looks else None
            if seen is not None and seen != waiting.seen:
                self._waiting[key] = _Waiting(now + self.settle_s, seen, looks=True)
            else:
                del self._waiting[key]
                self._ready[key] = None

    def _due(self, now: float) -> list[tuple[Key, _Waiting]]:
        due = [(key, waiting) for key, waiting in self._waiting.items() if waiting.due <= now]
        if any(waiting.is_whole for _, waiting in due):
            late = ((k, w) for k, w in self._waiting.items() if w.is_whole and now < w.due <= now + SLACK_S)
            due += late
        return due


def _shot(key: Key) -> tuple[int, bytes]:
    return key[0], os.path.splitext(key[1])[0].lower()
