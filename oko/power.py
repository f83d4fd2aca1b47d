"""Gentleness by choice: low priority, one core, and a pause while the machine runs on its battery."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
ASK_EVERY_S = 10.0
ON_BATTERY = "on battery"


def be_gentle() -> None:
    """Lowest priority and one core for this process."""
    import torch

    torch.set_num_threads(1)
    if hasattr(os, "nice"):
        os.nice(19)


def on_battery() -> bool:
    """Whether the machine runs on its battery; False where the platform does not tell."""
    import psutil

    try:
        battery = psutil.sensors_battery()
    except (AttributeError, OSError, RuntimeError):  # not on this platform, or in a container
        return False
    return battery is not None and battery.power_plugged is False


class BatteryPause:
    """Why to pause now, asked of the system now and then; callable."""

    def __init__(self, ask: Callable[[], bool] = on_battery) -> None:
        self._ask = ask
        self._asked_at = float("-inf")
        self._answer = ""

    def __call__(self) -> str:
        """A reason, or "" for none."""
        if time.monotonic() - self._asked_at >= ASK_EVERY_S:
            self._asked_at = time.monotonic()
            self._answer = ON_BATTERY if self._ask() else ""
        return self._answer


def paused(
    steps: Iterable[T], why: Callable[[], str], tell: Callable[[str], None], *, sleep_s: float = 1.0
) -> Iterator[T]:
    """The same steps, each taken only once there is no reason to pause; `tell` hears of a pause when it begins."""
    for step in steps:
        yield step
        told = ""
        while reason := why():
            if reason != told:
                tell(reason)
            told = reason
            time.sleep(sleep_s)
