"""The progress bar: its estimate is right within seconds, and on no terminal it prints nothing."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from indexer.pipeline import Progress as Step
from oko.progress import RATE_WINDOW_S, RateColumn, clock, show

BATCH = 32
TOTAL = 300_000


def estimate(rate: float, after_s: float) -> str:
    """What the bar says of 300,000 photos at `rate` a second, after some seconds."""
    now = [0.0]
    bar = Progress(get_time=lambda: now[0], speed_estimate_period=RATE_WINDOW_S, disable=True)
    task = bar.add_task("Indexing", total=TOTAL)
    done = 0
    while now[0] < after_s:
        now[0] += BATCH / rate
        done += BATCH
        bar.update(task, completed=done)
    return str(RateColumn().render(bar.tasks[0]))


@pytest.mark.parametrize(("rate", "hours"), [(40.0, TOTAL / 40 / 3600), (7.0, TOTAL / 7 / 3600)])
@pytest.mark.parametrize("after_s", [12.0, 60.0, 600.0])
def test_the_time_left_at_300_000_photos_is_right_within_seconds(
    rate: float, hours: float, after_s: float
) -> None:
    text = estimate(rate, after_s)
    words = text.split("photos/s")[1].split()
    left = int(words[0]) + int(words[2]) / 60
    expected = hours - after_s / 3600
    assert text.split()[0] in (f"{rate:.0f}", f"{rate:.1f}")
    assert left == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (42.9, "0:42"), (725, "12:05"), (3600, "1 h 00 min"), (12_000, "3 h 20 min")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_nothing_is_drawn_where_nobody_looks() -> None:
    out = io.StringIO()
    show([Step("scan", 3, None), Step("index", 0, 3), Step("index", 3, 3)], Console(file=out))
    assert out.getvalue() == ""


def test_on_a_terminal_the_bar_counts_photos() -> None:
    out = io.StringIO()
    steps = [Step("scan", 1_500, None), Step("index", 0, 64), Step("index", 32, 64), Step("index", 64, 64)]
    show(steps, Console(file=out, force_terminal=True, width=100))
    assert "64/64" in out.getvalue()
