"""Search results as tables, JSON, CSV and paths, and in the files that the flags ask for.

Imports little: a search that a running server answers is printed without loading the database's library.
"""

from __future__ import annotations

import argparse
import base64
import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from library.records import SearchResult, display_path
from oko import exits
from oko.context import Context, write_text
from oko.sheet import shown_date

if TYPE_CHECKING:
    from library.store import Store

CSV_COLUMNS = (
    *(
        "rank",
        "score",
        "relevance",
        "id",
        "path",
        "taken_at",
        "taken_from",
        "width_px",
        "height_px",
        "format",
    ),
    *("size_bytes", "camera", "latitude", "longitude", "favourite", "copies", "tags"),
)


def print_results(
    context: Context, store: Store | None, results: Sequence[SearchResult], args: argparse.Namespace
) -> int:
    """Print the results in the shape the arguments ask for, and write the files they ask for; returns the exit code.

    Without a store it is opened if thumbnails are needed.
    """
    first = args.offset + 1
    if args.json:
        context.result(json.dumps([as_json(result) for result in results], indent=2))
    elif args.csv:
        write_text(as_csv(results, first=first))
    elif args.paths or args.null:
        print_paths([result.path for result in results], null=args.null)
    elif args.preview:
        print_previews(context, store, results, first=first)
    elif results:
        print_table(context, store, results, drawing=args.thumbnails, first=first)
    return write_files(context, store, results, args)


def write_files(
    context: Context, store: Store | None, results: Sequence[SearchResult], args: argparse.Namespace
) -> int:
    """The contact sheet, the copies and the links; returns the exit code."""
    if args.sheet is not None:
        from library.sheets import Section
        from oko.sheet import result_cells, write_sheet

        pictures = thumbnails(context, store, [result.id for result in results])
        words = " ".join(args.query)
        write_sheet(
            [Section(f"“{words}”" if words else "Results", result_cells(results, pictures))], args.sheet
        )
        context.note(f"Contact sheet: {args.sheet}")
    return place([result.path for result in results], context, args, first=args.offset + 1)


def place(paths: Sequence[Path], context: Context, args: argparse.Namespace, *, first: int = 1) -> int:
    """Copy and link the photos where the arguments ask for it, numbered from `first` on; returns the exit code."""
    from oko import placing
    from oko.aligned import count

    code = exits.DONE
    for folder, put, done in (
        (args.copy_to, placing.copy_all, "copied to"),
        (args.link_to, placing.link_all, "linked in"),
    ):
        if folder is None:
            continue
        report = put(placing.numbered(paths, first=first), folder)
        for failure in report.failures:
            context.note(failure)
        before = f", {report.there_before:,} were there before" if report.there_before else ""
        failed = f", {len(report.failures):,} could not be" if report.failures else ""
        context.note(f"{count(report.done, 'photo')} {done} {folder}{before}{failed}.")
        code = exits.FAILED if report.failures else code
    return code


def thumbnails(context: Context, store: Store | None, ids: Sequence[int]) -> Mapping[int, bytes]:
    """WebP thumbnails by photo id."""
    from library.catalog import reading
    from oko import assemble

    if store is None:
        with assemble.reading(context.folder, context.config) as opened:
            return thumbnails(context, opened, ids)
    with store.catalog.reading() as c:
        return reading.thumbnails(c, ids)


def as_json(result: SearchResult) -> dict[str, Any]:
    """One result as an object; `path_b64` is there when the path's bytes are not UTF-8."""
    return {
        **path_fields(result.path),
        "score": round(result.score, 6),
        "relevance": result.relevance if result.relevance is None else round(result.relevance, 6),
        "id": result.id,
        "tags": [{"name": tag.name, "score": tag.score, "state": tag.state} for tag in result.tags],
        "copies": [path_fields(copy) for copy in result.copies],
        "taken_at": result.taken_at,
        "taken_from": result.taken_from,
        "width_px": result.width,
        "height_px": result.height,
        "format": result.format,
        "size_bytes": result.size_bytes,
        "camera": result.camera,
        "lens": result.lens,
        "latitude": result.latitude,
        "longitude": result.longitude,
        "favourite": result.favourite,
        "missing": result.missing,
    }


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


def print_paths(paths: Sequence[Path], *, null: bool) -> None:
    """The paths' own bytes, a line or a NUL each."""
    write_text("".join(os.fsdecode(path) + ("\0" if null else "\n") for path in paths))


def as_csv(results: Sequence[SearchResult], *, first: int = 1) -> str:
    """Comma-separated values with a header; the rank of the first result is `first`."""
    rows = []
    for rank, r in enumerate(results, first):
        relevance = "" if r.relevance is None else f"{r.relevance:.6f}"
        facts = (r.taken_at, r.taken_from, r.width, r.height, r.format, r.size_bytes, r.camera)
        place = (r.latitude, r.longitude, int(r.favourite), len(r.copies), ";".join(t.name for t in r.tags))
        rows.append((rank, f"{r.score:.6f}", relevance, r.id, os.fsdecode(r.path), *facts, *place))
    return csv_text(CSV_COLUMNS, rows)


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A header and rows as CSV; None is an empty field."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    return out.getvalue()


def print_table(
    context: Context,
    store: Store | None,
    results: Sequence[SearchResult],
    *,
    drawing: str = "auto",
    first: int = 1,
) -> None:
    """A table for people, with small photos where the terminal draws them; on a pipe, one line a result.

    The rank of the first result is `first`.
    """
    columns = _figure_columns(results)
    if not context.console.is_terminal:
        for rank, r in enumerate(results, first):
            context.result(
                "  ".join([f"{rank:>3}", *_figures(r, columns), display_path(r.path) + _remarks(r)])
            )
        return
    from rich.table import Table

    pictures = _drawn(context, store, results, drawing)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("", *columns):
        table.add_column(title, justify="right")
    if pictures:
        table.add_column("")
    for title in ("photo", "taken"):
        table.add_column(title, overflow="fold")
    for rank, r in enumerate(results, first):
        drawn = [pictures.get(r.id, "")] if pictures else []
        day = shown_date(r.taken_at, r.taken_from)
        table.add_row(str(rank), *_figures(r, columns), *drawn, _photo_cell(r), day)
    context.console.print(table)


def _drawn(
    context: Context, store: Store | None, results: Sequence[SearchResult], wanted: str
) -> dict[int, Any]:
    from oko import terminal

    pictures = terminal.for_tables(context, wanted)
    if pictures is None:
        return {}
    found = thumbnails(context, store, [result.id for result in results])
    return {key: pictures.draw(each, columns=terminal.THUMBNAIL_COLUMNS) for key, each in found.items()}


def _figure_columns(results: Sequence[SearchResult]) -> list[str]:
    """Which figures there are: filters alone give no score, and an uncalibrated model no relevance."""
    columns = ["score"] if any(r.score for r in results) else []
    return columns + (["relevance"] if any(r.relevance is not None for r in results) else [])


def _figures(result: SearchResult, columns: Sequence[str]) -> list[str]:
    values = {"score": result.score, "relevance": result.relevance}
    return [f"{value:.3f}" if (value := values[name]) is not None else "-" for name in columns]


def _photo_cell(result: SearchResult) -> Any:
    from rich.text import Text

    photo = Text.assemble(
        (display_path(result.path.parent) + "/", "dim"),
        (display_path(Path(result.path.name)), "bold"),
        (_remarks(result), "dim"),
    )
    if result.path.as_posix().isascii():
        photo.stylize(f"link file://{result.path}")
    return photo


def _remarks(result: SearchResult) -> str:
    remarks = ["favourite"] if result.favourite else []
    if result.copies:
        remarks.append(f"{len(result.copies)} more cop{'y' if len(result.copies) == 1 else 'ies'}")
    if result.missing:
        remarks.append("not on disk now")
    remarks += [tag.name for tag in result.tags]
    return f"  ({', '.join(remarks)})" if remarks else ""


def print_previews(
    context: Context, store: Store | None, results: Sequence[SearchResult], *, first: int = 1
) -> None:
    """The photos themselves, large, with ranks from `first` on.

    Raises UsageError if standard output is no terminal with a size.
    """
    from oko import terminal

    pictures = terminal.for_previews(context)
    found = thumbnails(context, store, [result.id for result in results])
    columns = _figure_columns(results)
    for rank, result in enumerate(results, first):
        figures = "  ".join([f"{rank:>3}", *_figures(result, columns)])
        context.result(f"{figures}  {display_path(result.path)}{_remarks(result)}")
        if result.id in found:
            context.console.print(pictures.draw(found[result.id], columns=terminal.PREVIEW_COLUMNS))
