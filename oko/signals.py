"""What a long-running command is told by signals. Light, so that it listens before anything heavy is imported."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Signals:
    """SIGTERM and Ctrl-C ask for the end, a second Ctrl-C takes it at once; SIGHUP asks for a reload."""

    ended: threading.Event = field(default_factory=threading.Event)
    wants_reload: bool = False
    wake: Callable[[], None] = lambda: None  # called after each signal, by whatever thread it comes to

    @contextmanager
    def heard(self) -> Iterator[Signals]:
        """Listen meanwhile; in the main thread, the only one that signals come to."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        handlers: dict[int, Any] = {signal.SIGTERM: self._end, signal.SIGINT: self._end}
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = self._reload
        old = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def end(self) -> None:
        """As SIGTERM does."""
        self.ended.set()
        self.wake()

    def take_reload(self) -> bool:
        """Whether a reload was asked for since the last time; what is asked for from now on counts anew."""
        wanted, self.wants_reload = self.wants_reload, False
        return wanted

    def _end(self, number: int, frame: object) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.end()

    def _reload(self, number: int, frame: object) -> None:
        self.wants_reload = True
        self.wake()
