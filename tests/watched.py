"""An album that is being followed, in a thread of this process, for tests of the watcher."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from indexer.follower import Follower, Options, Standing, Tools
from indexer.pipeline import IndexRun
from indexer.targets import planned_targets, targets_for
from indexer.watch import Watches, make_watches
from library.store import Store
from tests.albums import Album

QUICK = Options(settle_s=0.2, poll_s=0.3, rescan_s=3600)
LONG_S = 120.0  # machines that run tests are busy


def wait_for(condition: Callable[[], Any], what: str = "", timeout_s: float = LONG_S) -> None:
    """Wait until a condition holds; busy machines get their time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what or "it did not come about"
        time.sleep(0.02)


@dataclass
class Watched:
    """A follower over an album. `standings` is what it told, newest last."""

    album: Album
    options: Options = QUICK
    make_watches: Callable[[], Watches] = make_watches
    standings: list[Standing] = field(default_factory=list)
    watches: Watches | None = None

    def __post_init__(self) -> None:
        album = self.album
        with album.writing() as store:
            targets_for(store, [album.photos], album.settings().rules)
        self.follower = Follower(
            Tools(
                self.open_reader,
                self.open_writer,
                lambda store: IndexRun(store, album.encoder, album.settings()),
                album.settings().rules,
                self.targets,
                self._make_watches,
            ),
            self.options,
            notice=lambda standing: self.standings.append(replace(standing, totals=dict(standing.totals))),
        )

    def _make_watches(self) -> Watches:
        self.watches = self.make_watches()
        return self.watches

    def targets(self) -> Any:
        with self.album.reading() as store:
            return planned_targets(store, [], self.album.settings().rules)

    def open_reader(self) -> Any:
        return self.album.reading()

    def open_writer(self) -> Any:
        return Store.open_writer(self.album.library, purpose="watch test", timeout_s=0.2)

    @contextmanager
    def following(self) -> Iterator[Watched]:
        """Follow meanwhile, from the moment on at which everything has been looked at."""
        errors: list[BaseException] = []

        def follow() -> None:
            try:
                self.follower.follow()
            except BaseException as e:
                errors.append(e)

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            wait_for(lambda: self.is_idle or errors, "the follower gets ready")
            yield self
        finally:
            self.follower.stop()
            thread.join(LONG_S)
            assert not thread.is_alive()
            assert not errors, errors

    @property
    def is_idle(self) -> bool:
        return bool(self.standings) and self.standings[-1].phase == "watching"

    @property
    def totals(self) -> dict[str, int]:
        return {name: n for name, n in self.standings[-1].totals.items() if n}

    def until(self, **states: str) -> bool:
        """Wait until files (names with dots written as __) have these states."""
        wanted = {name.replace("__", "."): state for name, state in states.items()}
        wait_for(lambda: wanted.items() <= self.album.states().items(), f"{wanted} in {self.album.states()}")
        return True

    def until_states(self, wanted: dict[str, str]) -> bool:
        """Wait until the catalog holds exactly these files."""
        wait_for(lambda: self.album.states() == wanted, f"{wanted} is not {self.album.states()}")
        return True
