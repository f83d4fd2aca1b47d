"""Progress bars for what is counted in one number: bytes of a download, rows of an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from oko.context import Context


@contextmanager
def transfer_bar(
    context: Context, text: str, *, in_bytes: bool = False
) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on a terminal, nothing elsewhere; call what it gives with (done, total or None while unknown)."""
    numbers: tuple[ProgressColumn, ...] = (MofNCompleteColumn(), TimeRemainingColumn())
    if in_bytes:
        numbers = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    is_hidden = context.quiet or not context.notes.is_terminal
    columns = (TextColumn("{task.description}"), BarColumn(), *numbers)
    with Progress(*columns, console=context.notes, disable=is_hidden, transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
