"""Batches of a watcher: sized to hold the library's lock for a short while, and counted."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from indexer.pipeline import IndexRun
from indexer.settling import Key
from indexer.targets import Target
from library.records import IndexReport
from library.store import Store

log = logging.getLogger(__name__)

# Other writers wait for ten seconds by default, so a batch should hold the library's lock for less than half of that.
SHORT_S, LONG_S = 2.5, 5.0
LEAST, FIRST, MOST = 16, 64, 512
# A reader catches up with fewer new vectors than this by itself.
SAVE_AFTER = 1_000
SAID = 1_000
COUNTED = ("embedded", "known", "moved", "returned", "missing", "excluded", "unreadable", "failed")


@dataclass
class Batches:
    """Does batches with runs made by `make_run`, each on a store opened by `open_writer`."""

    open_writer: Callable[[], AbstractContextManager[Store]]
    make_run: Callable[[Store], IndexRun]
    size: int = FIRST
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    _unsaved: int = 0
    _said: dict[str, None] = field(default_factory=dict)  # what is tried again and again is said once

    def do(
        self, keys: Sequence[Key], targets: Mapping[int, Target], *, is_stopping: Callable[[], bool]
    ) -> None:
        """Bring these files up to date; once stopping, what is in flight is finished and the rest left.

        Raises LibraryError and ModelError, with everything committed before kept.
        """
        started = time.monotonic()
        total = IndexReport()
        with self.open_writer() as store:
            for root_id, target in targets.items():
                paths = [path for root, path in keys if root == root_id]
                if paths and not is_stopping():
                    self._one_root(self.make_run(store), target, paths, total, is_stopping)
        took = time.monotonic() - started
        self.count(total, took)
        if took < SHORT_S and len(keys) >= self.size:
            self.size = min(2 * self.size, MOST)
        elif took > LONG_S:
            self.size = max(self.size // 2, LEAST)

    def _one_root(
        self,
        run: IndexRun,
        target: Target,
        paths: Sequence[bytes],
        total: IndexReport,
        is_stopping: Callable[[], bool],
    ) -> None:
        for _ in run.steps_at(target, paths):
            if is_stopping():
                break
        for name in COUNTED:
            setattr(total, name, getattr(total, name) + getattr(run.report, name))
        total.problems += run.report.problems

    def count(self, report: IndexReport, took_s: float) -> None:
        """Add a run to the totals, and say what it did in one line."""
        done = {name: n for name, n in dataclasses.asdict(report).items() if name in COUNTED and n}
        for name, n in done.items():
            self.totals[name] += n
        self._unsaved += report.embedded
        if done:
            words = ", ".join(f"{n:,} {name}" for name, n in done.items())
            log.info("%s, in %.2f s", words, took_s, extra={"data": {**done, "elapsed_s": round(took_s, 3)}})
        for problem in report.problems:
            if problem not in self._said:
                log.warning("%s", problem)
            self._said[problem] = None
        while len(self._said) > SAID:
            del self._said[next(iter(self._said))]

    def save_index(self, *, at_the_end: bool = False) -> None:
        """Save the index when so much is new that the next search would have to catch up for long."""
        if self._unsaved >= (1 if at_the_end else SAVE_AFTER):
            with self.open_writer() as store:
                stamp = self.make_run(store).encoder.stamp
                store.save_index(store.use_model(stamp), stamp.dim)
            self._unsaved = 0
