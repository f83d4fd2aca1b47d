"""Bars for training, which has phases: one after the other on a terminal, a line for each elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from oko.context import Context
from training.run import Progress


@contextmanager
def phase_bar(context: Context, title: Callable[[str], str]) -> Iterator[Callable[[Progress], None]]:
    """What is done, the time left and the loss; call what it gives with each Progress. `title` names a phase."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    is_hidden = context.quiet or not context.notes.is_terminal
    with Bar(*columns, console=context.notes, disable=is_hidden) as bar:
        tasks = {}

        def told(progress: Progress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = bar.add_task(title(progress.phase), total=progress.total, loss="")
                if is_hidden:
                    context.note(title(progress.phase))
            loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
            bar.update(tasks[progress.phase], completed=progress.done, loss=loss)

        yield told
