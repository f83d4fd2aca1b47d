"""Following folders: a look at everything first, then what events tell, in batches through the indexing pipeline.

The library's lock is held for a batch at a time, so that other writers get their turn. Whatever goes wrong is said
once and tried again: nothing that can mend itself needs a restart.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from indexer.areas import Area, make_area
from indexer.batches import Batches
from indexer.changes import Changes
from indexer.noting import Noting, Stopping
from indexer.pipeline import IndexRun, finish, look
from indexer.scan import Rules
from indexer.targets import NO_ID, Target
from indexer.troubles import Troubles
from indexer.watch import NoWatches, Watches, WatchLimit, make_watches
from library.catalog import reading
from library.errors import LibraryLocked, OkoError
from library.records import IndexReport, display_path
from library.store import Store

log = logging.getLogger(__name__)

REST_S = 0.15  # between batches: longer than the step in which a waiting writer asks for the lock
CHECK_S = 2.0  # how often roots are checked for being there
TARGETS_S = 15.0  # how often the library is asked for its roots
RETRY_S, MOST_RETRY_S = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """How to follow."""

    settle_s: float = 0.5
    poll_s: float = 30.0
    rescan_s: float = 3600.0
    method: str = "auto"  # or "events", "poll"


@dataclass(frozen=True, slots=True)
class Tools:
    """What a follower works with. Each run gets a store that was opened for it."""

    open_reader: Callable[[], AbstractContextManager[Store]]
    open_writer: Callable[[], AbstractContextManager[Store]]
    make_run: Callable[[Store], IndexRun]
    rules: Rules
    targets: Callable[[], Sequence[Target]]
    make_watches: Callable[[], Watches] = make_watches
    pause: Callable[[], str] = lambda: ""  # why to pause now, or ""
    # Called after each batch with whether more wait: a moment's other work. Answers whether there is more of it, and
    # deals with its own troubles: they are none of the photos'.
    aside: Callable[[bool], bool] = lambda is_busy: False


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a follower is."""

    phase: str  # "looking", "working", "tagging", "watching" or "paused: ..."
    waiting: int  # files
    folders_watched: int
    totals: dict[str, int]
    areas: tuple[Area, ...]


class Follower:
    """Call `follow` in one thread; `stop` from any, or from a signal handler."""

    def __init__(
        self,
        tools: Tools,
        options: Options,
        *,
        troubles: Troubles | None = None,
        notice: Callable[[Standing], None] = lambda standing: None,
    ) -> None:
        self.tools = tools
        self.options = options
        self.troubles = troubles or Troubles()
        self.batches = Batches(tools.open_writer, tools.make_run)
        self._notice = notice
        self._noting = Noting(options.settle_s, options.poll_s, self.troubles)
        self._retry_at = self._check_at = self._targets_at = 0.0
        self._retry_s = RETRY_S
        self._has_aside = False

    def stop(self) -> None:
        """Finish the batch in flight and return from `follow`."""
        self._noting.is_stopping = True
        self._noting.watches.wake()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._noting.is_stopping

    def follow(self) -> None:
        """Look at everything, then follow events, until `stop`."""
        try:
            self._renew_watches()
            while not self.is_stopping:
                self._turn()
        finally:
            self._noting.watches.close()
            with contextlib.suppress(OkoError, OSError):
                self.batches.save_index(at_the_end=True)

    def _turn(self) -> None:
        now = time.monotonic()
        self._check(now)
        pause = self.tools.pause()
        if not pause and now >= self._retry_at:
            self._do_what_is_due(now)
        waiting = len(self._noting.settling)
        phase = "working" if waiting else "tagging" if self._has_aside else "watching"
        self._tell(f"paused: {pause}" if pause else phase)
        for event in self._noting.watches.events(self._timeout_s(bool(pause))):
            self._noting.note(event, time.monotonic())

    def _do_what_is_due(self, now: float) -> None:
        with self._survived():
            if self._noting.has_gone_folders:
                self._noting.resolve_gone_folders(self.tools.open_reader)
            for area in self._noting.areas:
                if now >= area.next_look:
                    self._tell("looking")
                    self._look(area)
            self._work()
            self._retry_s = RETRY_S
            self.troubles.end("library", "the library can be read and written again")
            if not self.is_stopping:
                self._has_aside = self.tools.aside(self._noting.settling.next_due() == float("-inf"))

    def _timeout_s(self, is_paused: bool) -> float:
        """How long nothing can become due, but by an event."""
        now = time.monotonic()
        if is_paused or now < self._retry_at:
            return min(CHECK_S, max(self._retry_at - now, REST_S))
        settling = self._noting.settling.next_due()
        looks = [area.next_look for area in self._noting.areas]
        due = min([self._check_at, self._check_at if settling is None else settling, *looks])
        if self._has_aside:
            return REST_S
        return min(max(due - now, REST_S if due == float("-inf") else 0.01), CHECK_S)

    def _tell(self, phase: str) -> None:
        noting = self._noting
        waiting, areas = len(noting.settling), tuple(noting.areas)
        self._notice(Standing(phase, waiting, noting.watches.count, self.batches.totals, areas))

    @contextlib.contextmanager
    def _survived(self) -> Iterator[None]:
        """Whatever fails inside is said once and tried again later."""
        try:
            yield
        except Stopping:
            return
        except Exception as e:
            self._failed(e)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, OkoError):
            self.troubles.begin("library", error.message, error.hint)
        else:
            log.debug("in full:", exc_info=error)
            self.troubles.begin("library", f"{type(error).__name__}: {error}", "It is tried again by itself")
        # A lock is free again at any moment; a full disk and a damaged catalog take a person.
        self._retry_s = RETRY_S if isinstance(error, LibraryLocked) else min(2 * self._retry_s, MOST_RETRY_S)
        self._retry_at = time.monotonic() + self._retry_s

    # Areas

    def _renew_watches(self) -> None:
        noting = self._noting
        noting.watches.close()
        try:
            noting.watches = self.tools.make_watches() if self.options.method != "poll" else NoWatches()
        except WatchLimit as e:
            noting.watches = NoWatches()
            noting.note_limit(e)
        for area in noting.areas:
            area.next_look = 0.0

    def _check(self, now: float) -> None:
        """Whether roots came, went or changed, and events can still come."""
        if now >= self._targets_at:
            self._targets_at = now + TARGETS_S
            with self._survived():
                self._renew_areas()
        if now < self._check_at:
            return
        self._check_at = now + CHECK_S
        if not self._noting.watches.is_alive:
            log.warning("the system's events have ended; watching anew")
            self._renew_watches()
        for area in self._noting.areas:
            self._check_root(area)

    def _renew_areas(self) -> None:
        """Follow the roots that the library has now."""
        noting = self._noting
        targets = [target for target in self.tools.targets() if target.root.id != NO_ID]
        starts = {(target.root.path, target.below) for target in targets}
        for area in [area for area in noting.areas if area.target not in targets]:
            noting.drop(area)
            if (area.target.root.path, area.target.below) not in starts:
                log.info(
                    "%s is not followed any more: the library has forgotten it", display_path(area.start)
                )
        known = [area.target for area in noting.areas]
        for target in targets:
            if target not in known:
                area = make_area(target, self.tools.rules, self.options.method)
                if area.is_polled:
                    log.info("%s is looked at now and then: it sends no events", display_path(area.start))
                noting.areas.append(area)
        noting.areas.sort(key=lambda area: -len(area.start))

    def _check_root(self, area: Area) -> None:
        """Notice a root's folder that is gone, is back, or is another one (a drive was mounted there)."""
        identity, topic, name = area.identity_now(), f"root {area.key}", display_path(area.start)
        if identity is None:
            hint = "Its photos are kept and come back with it: connect the drive, or oko forget the folder"
            self.troubles.begin(topic, f"{name} is not there", hint)
        else:
            self.troubles.end(topic, f"{name} is back")
        if identity != area.identity:
            area.identity = identity
            area.next_look = 0.0
            self._noting.unwatch(area.start)

    # Looks and batches

    def _look(self, area: Area) -> None:
        started = time.monotonic()
        area.is_limited = False
        changes = self._survey(area)
        self._noting.find(area, changes.work)
        area.looked = True
        now = time.monotonic()
        area.look_s = now - started
        area.next_look = now + area.interval_s(poll_s=self.options.poll_s, rescan_s=self.options.rescan_s)
        areas = self._noting.areas
        if not any(each.is_limited for each in areas):
            self.troubles.end("watches", "every folder is watched again")
        if all(each.next_look > now for each in areas):
            self.troubles.end("overflow")

    def _survey(self, area: Area) -> Changes:
        """Compare an area with the catalog; the library's lock is taken only when something is to be written."""
        watch: Callable[[bytes], None] = lambda folder: self._noting.watch_folder(area, folder)  # noqa: E731
        if area.looked and area.identity is not None:
            with self.tools.open_reader() as store:
                run = self.tools.make_run(store)
                with store.catalog.reading() as c:
                    model_id = reading.model_id(c, run.encoder.stamp)
                changes = finish(
                    look(store, model_id or NO_ID, run.settings, area.target, IndexReport(), watch)
                )
            if not changes.needs_writing:
                return changes
        with self.tools.open_writer() as store:
            run = self.tools.make_run(store)
            changes = run.survey(area.target, watch)
        run.report.unreadable -= changes.unreadable  # those are long known
        self.batches.count(run.report, area.look_s)
        return changes

    def _work(self) -> None:
        if self.is_stopping:
            return
        batch = self._noting.settling.take(time.monotonic(), self.batches.size)
        if not batch:
            self.batches.save_index()
            return
        self._tell("working")
        try:
            self.batches.do(batch, self._targets_there(), is_stopping=lambda: self.is_stopping)
        except BaseException:
            self._noting.settling.put_back(batch)
            raise

    def _targets_there(self) -> dict[int, Target]:
        """Roots by number. Of one that is not there, nothing can be said: it is looked at when it is back."""
        return {a.target.root.id: a.target for a in self._noting.areas if a.identity_now() is not None}
