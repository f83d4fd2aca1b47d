"""What is wrong while a watcher runs: said once when it begins, and once when it is over."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a watcher survives. `since` is in UTC, ISO 8601."""

    message: str
    hint: str
    since: str


@dataclass(slots=True)
class Troubles:
    """What is wrong now, by topic, and the last thing that was."""

    now: dict[str, Trouble] = field(default_factory=dict)
    last: Trouble | None = None

    def begin(self, topic: str, message: str, hint: str = "") -> None:
        """Say what is wrong, unless it was said already and has not ended since."""
        known = self.now.get(topic)
        if known is not None and known.message == message:
            return
        self.last = Trouble(message, hint, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        self.now[topic] = self.last
        log.warning("%s. %s", message, hint) if hint else log.warning("%s", message)

    def end(self, topic: str, sentence: str = "") -> None:
        """Say that it is over, if it was going on."""
        if self.now.pop(topic, None) is not None and sentence:
            log.info("%s", sentence)
