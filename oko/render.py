"""Search results as tables, JSON, CSV, paths, terminal pictures and contact sheets."""

from __future__ import annotations

import argparse
import base64
import csv
import dataclasses
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from library.catalog import reading
from library.errors import UsageError
from library.records import SearchResult, display_path
from library.store import Store
from oko.context import Context, write_text

PREVIEW_COLUMNS = 40
SHEET_FORMATS = (".png", ".jpg", ".jpeg", ".webp")


def print_results(
    context: Context, store: Store, results: Sequence[SearchResult], args: argparse.Namespace
) -> None:
    """Print the results in the shape the arguments ask for, and write the contact sheet."""
    if args.json:
        context.result(json.dumps([as_json(result) for result in results], indent=2))
    elif args.csv:
        write_text(as_csv(results))
    elif args.paths or args.null:
        write_text("".join(os.fsdecode(result.path) + ("\0" if args.null else "\n") for result in results))
    elif args.preview:
        print_previews(context, store, results)
    elif results:
        print_table(context, results)
    if args.sheet is not None:
        write_sheet(store, results, args.sheet, title=" ".join(args.query))
        context.note(f"Contact sheet: {args.sheet}")


def as_json(result: SearchResult) -> dict[str, Any]:
    """One result as an object; `path_b64` is there when the path's bytes are not UTF-8."""
    row = {
        **path_fields(result.path),
        "score": round(result.score, 6),
        "relevance": result.relevance,
        "id": result.id,
        "tags": [dataclasses.asdict(tag) for tag in result.tags],
        "copies": [path_fields(copy) for copy in result.copies],
        "taken_at": result.taken_at,
        "width_px": result.width,
        "height_px": result.height,
        "missing": result.missing,
    }
    return row


def path_fields(path: Path) -> dict[str, str]:
    """`path`, and `path_b64` where text cannot hold it."""
    raw = os.fsencode(path)
    try:
        return {"path": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path": raw.decode("utf-8", "replace"), "path_b64": base64.b64encode(raw).decode("ascii")}


def folder_fields(folder: Path) -> dict[str, str]:
    """`library_folder`, and `library_folder_b64` where text cannot hold it."""
    return {key.replace("path", "library_folder"): value for key, value in path_fields(folder).items()}


def as_csv(results: Sequence[SearchResult]) -> str:
    """Comma-separated values with a header."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["rank", "score", "id", "path", "taken_at", "width_px", "height_px", "copies", "tags"])
    for rank, r in enumerate(results, 1):
        size = (r.width, r.height)
        table.writerow(
            [
                rank,
                f"{r.score:.6f}",
                r.id,
                os.fsdecode(r.path),
                r.taken_at or "",
                *size,
                len(r.copies),
                ";".join(t.name for t in r.tags),
            ]
        )
    return out.getvalue()


def print_table(context: Context, results: Sequence[SearchResult]) -> None:
    """A table for people; on a pipe, one line a result."""
    if not context.console.is_terminal:
        for rank, r in enumerate(results, 1):
            context.result(f"{rank:>3}  {r.score:.3f}  {display_path(r.path)}{_remarks(r)}")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, justify in (("", "right"), ("score", "right"), ("photo", "left"), ("taken", "left")):
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for rank, r in enumerate(results, 1):
        photo = Text.assemble(
            (display_path(r.path.parent) + "/", "dim"),
            (display_path(Path(r.path.name)), "bold"),
            (_remarks(r), "dim"),
        )
        if r.path.as_posix().isascii():
            photo.stylize(f"link file://{r.path}")
        table.add_row(str(rank), f"{r.score:.3f}", photo, (r.taken_at or "")[:10])
    context.console.print(table)


def _remarks(result: SearchResult) -> str:
    remarks = []
    if result.copies:
        remarks.append(f"{len(result.copies)} more cop{'y' if len(result.copies) == 1 else 'ies'}")
    if result.missing:
        remarks.append("not on disk now")
    remarks += [tag.name for tag in result.tags]
    return f"  ({', '.join(remarks)})" if remarks else ""


def print_previews(context: Context, store: Store, results: Sequence[SearchResult]) -> None:
    """The photos themselves, drawn by whatever the terminal can do (Kitty, sixel, or half blocks).

    Raises UsageError if standard output is no terminal with a size.
    """
    if not context.console.is_terminal or not os.get_terminal_size().columns:
        raise UsageError("--preview draws in a terminal, and this is none", hint="Use --sheet FILE instead.")
    from textual_image.renderable import Image as TerminalImage

    from library.images import decode

    with store.catalog.reading() as c:
        pictures = reading.thumbnails(c, [result.id for result in results])
    for rank, result in enumerate(results, 1):
        context.result(f"{rank:>3}  {result.score:.3f}  {display_path(result.path)}{_remarks(result)}")
        if result.id in pictures:
            picture = decode(pictures[result.id], name="thumbnail", max_pixels=10**7).image
            context.console.print(TerminalImage(picture, width=PREVIEW_COLUMNS, height="auto"))


def check_sheet(path: Path | None) -> None:
    """Before any work is done: raises UsageError for a contact sheet in a format there is not."""
    if path is None:
        return
    if path.suffix.lower() not in SHEET_FORMATS:
        raise UsageError(f"--sheet {path}: the name must end in {', '.join(SHEET_FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--sheet {path}: there is no folder {path.absolute().parent}")


def write_sheet(store: Store, results: Sequence[SearchResult], path: Path, *, title: str) -> None:
    """A contact sheet of the results' thumbnails. Raises UsageError for an unwritable place."""
    from library.sheets import Section, contact_sheet

    sheet = contact_sheet([Section(f"“{title}”" if title else "Results", sheet_cells(store, results))])
    try:
        sheet.save(path)
    except OSError as e:
        raise UsageError(f"the contact sheet {path} cannot be written: {e.strerror or e}") from e


def sheet_cells(store: Store, results: Sequence[SearchResult]) -> list[Any]:
    """The results as cells of a contact sheet, in their order."""
    from library.sheets import Cell

    with store.catalog.reading() as c:
        pictures = reading.thumbnails(c, [result.id for result in results])
    return [Cell(pictures[r.id], f"{r.path.name}  {r.score:.2f}") for r in results if r.id in pictures]
