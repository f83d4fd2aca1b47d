"""Contact sheets of a list of photos, out of the thumbnails that the library keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from library.errors import UsageError
from library.records import SearchResult

if TYPE_CHECKING:
    from library.sheets import Section


def write_sheet(sections: Sequence[Section], path: Path, *, title: str = "", columns: int = 5) -> None:
    """Draw and save. Raises UsageError for an unwritable place, or a sheet too large for the format."""
    from library.sheets import contact_sheet

    try:
        contact_sheet(sections, title=title, columns=columns).save(path)
    except (OSError, ValueError) as e:
        path.unlink(missing_ok=True)
        reason = getattr(e, "strerror", None) or e
        raise UsageError(f"the contact sheet {path} cannot be written: {reason}") from e


def result_cells(results: Sequence[SearchResult], thumbnails: Mapping[int, bytes]) -> list[Any]:
    """Search results as cells, in their order."""
    from library.sheets import Cell

    return [
        Cell(thumbnails[r.id], "\n".join(filter(None, (r.path.name, _figures(r)))))
        for r in results
        if r.id in thumbnails
    ]


def _figures(result: SearchResult) -> str:
    parts = [f"{result.score:.2f}"] if result.score else []
    parts += [shown_date(result.taken_at, result.taken_from)] if result.taken_at else []
    return "  ".join(parts)


def shown_date(taken_at: str | None, taken_from: str | None) -> str:
    """The day a photo was taken; with a ~ in front if that is only the file's own time."""
    day = (taken_at or "")[:10]
    return f"~{day}" if day and taken_from == "file" else day
