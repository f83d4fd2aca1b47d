"""Progress bars for runs: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from indexer import pipeline

# The rate is taken over this long: short enough to follow a slow drive, long enough to be steady.
RATE_WINDOW_S = 30.0


class RateColumn(ProgressColumn):
    """Photos a second, and the time left at that rate."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        if task.total is None or not rate:
            return Text("")
        left = int((task.total - task.completed) / rate)
        return Text(
            f"{rate:,.0f} photos/s  {clock(left)} left"
            if rate >= 10
            else f"{rate:.1f} photos/s  {clock(left)} left"
        )


def clock(seconds: float) -> str:
    """Seconds as people say them: 0:42, 12:05, 3 h 20 min."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60}:{whole % 60:02d}"


def show(steps: Iterable[pipeline.Progress], console: Console) -> None:
    """Follow a run to its end, drawing a bar if `console` is a terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
    )
    bar = Progress(
        *columns,
        console=console,
        disable=not console.is_terminal,
        transient=True,
        speed_estimate_period=RATE_WINDOW_S,
    )
    with bar:
        scan = bar.add_task("Looking at files", total=None)
        work = None
        for step in steps:
            if step.phase == "scan":
                bar.update(scan, completed=step.done, description=f"Looking at files: {step.done:,}")
                continue
            if work is None:
                bar.update(scan, visible=False)
                work = bar.add_task("Indexing", total=step.total)
            bar.update(work, completed=step.done)
