"""Short aligned lists on standard output: labels on the left, drawn bold on a terminal and plain on a pipe."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from oko.context import Context

GAP = "  "


def print_rows(context: Context, rows: Iterable[tuple[str, str]]) -> None:
    """Print (label, text) rows; an empty label continues the one above."""
    rows = list(rows)
    width = max((len(label) for label, _ in rows), default=0)
    is_terminal = context.console.is_terminal
    for label, text in rows:
        if is_terminal:
            from rich.text import Text

            line = Text.assemble((label.ljust(width), "bold"), GAP, text)
            context.console.print(line, soft_wrap=True)
        else:
            context.result(f"{label.ljust(width)}{GAP}{text}".rstrip())


def columns(rows: Iterable[tuple[str, ...]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Rows of cells as lines with aligned columns; those in `right` are aligned to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(cells: tuple[str, ...]) -> str:
        padded = (
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return GAP.join(padded).rstrip()

    return [line(cells) for cells in rows]


def count(number: int, singular: str, plural: str = "") -> str:
    """A number and its noun: 1 photo, 1,234 photos."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def size(size_bytes: float) -> str:
    """Bytes as people say them, in powers of ten: 512 B, 24 MB, 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 999.5 or unit == "GB":
            return f"{size_bytes:.1f} {unit}" if unit == "GB" else f"{size_bytes:.0f} {unit}"
        size_bytes /= 1000
    raise AssertionError("the loop ends at GB")


def percent(share: float) -> str:
    """A share, 0 to 1, in percent: 100 % only when nothing is lacking."""
    return "100 %" if share >= 1 else f"{min(share * 100, 99.9):.1f} %"


def ago(when: str | None) -> str:
    """How long ago a time (ISO 8601) was: "3 hours ago"; "never" for None."""
    if when is None:
        return "never"
    moment = datetime.fromisoformat(when)
    seconds = (datetime.now(UTC) - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds()
    for unit, length_s in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length_s:
            return f"{count(int(seconds // length_s), unit)} ago"
    return "just now"
