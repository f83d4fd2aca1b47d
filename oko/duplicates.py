"""Groups of duplicates as a report for people, JSON, CSV, paths and pictures."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from library.catalog.copies import CopyFile
from library.errors import UsageError
from library.records import display_path
from library.store import Store
from oko.aligned import columns, count, size
from oko.context import Context, write_text
from oko.render import csv_text, path_fields, place, print_paths, thumbnails
from oko.sheet import shown_date, write_sheet
from search.duplicates import LEAST_COSINE, MOST_BITS, NEAR_BITS, SIMILAR_COSINE, Group, Kind, Limits, Member

if TYPE_CHECKING:
    from library.sheets import Section

CSV_COLUMNS = (
    *("group", "kind", "action", "relation", "distance_bits", "cosine", "path", "size_bytes", "id"),
    *("width_px", "height_px", "format", "taken_at", "taken_from", "reason"),
)
SHEET_COLUMNS = 4
SHEET_GROUPS = 200  # more would be a picture of over 50,000 pixels in height, which nobody can look at


def limits(args: argparse.Namespace) -> Limits:
    """What the arguments call a duplicate. Raises UsageError."""
    names = [name.strip() for name in args.kind.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Kind)]
    if unknown or not names:
        raise UsageError(
            f"--kind {args.kind}: there is no kind {', '.join(unknown)}", hint="exact, near, similar"
        )
    distance = NEAR_BITS if args.distance is None else args.distance
    cosine = SIMILAR_COSINE if args.cosine is None else args.cosine
    if not 0 <= distance <= MOST_BITS:
        raise UsageError(f"--distance {distance}: it must be from 0 to {MOST_BITS}")
    if not LEAST_COSINE <= cosine <= 1:
        raise UsageError(f"--cosine {cosine}: it must be from {LEAST_COSINE} to 1")
    folders = tuple(Path(folder).expanduser().resolve() for folder in args.folders)
    return Limits(
        kinds=frozenset(map(Kind, names)), distance_bits=distance, least_cosine=cosine, folders=folders
    )


def report(
    context: Context, store: Store, groups: Sequence[Group], args: argparse.Namespace, wanted: Limits
) -> int:
    """Print the groups in the shape the arguments ask for, and write the files they ask for; returns the exit code."""
    if args.json:
        context.result(json.dumps(as_json(groups, wanted), indent=2))
    elif args.csv:
        write_text(csv_text(CSV_COLUMNS, list(_csv_rows(groups))))
    elif args.paths or args.null:
        print_paths([each.path for group in groups for each in group.redundant], null=args.null)
    elif args.preview:
        _print_previews(context, store, groups)
    else:
        _print_groups(context, store, groups, args.thumbnails)
    if args.sheet is not None:
        pictures = thumbnails(context, store, [m.id for g in groups[:SHEET_GROUPS] for m in g.members])
        sections = [_section(at, group, pictures) for at, group in enumerate(groups[:SHEET_GROUPS], 1)]
        write_sheet(sections, args.sheet, title="Duplicates", columns=SHEET_COLUMNS)
        more = f" (the first {SHEET_GROUPS} groups)" if len(groups) > SHEET_GROUPS else ""
        context.note(f"Contact sheet: {args.sheet}{more}")
    # Group by group, the one to keep first: so they lie side by side in a file manager.
    return place([each.path for group in groups for each in _files(group)], context, args)


def summary(groups: Sequence[Group], shown: Sequence[Group]) -> str:
    """How much there is, in a sentence or two."""
    if not groups:
        return "No duplicates were found."
    files, saved = sum(len(g.redundant) for g in groups), sum(g.saved_bytes for g in groups)
    kinds = ", ".join(f"{n:,} {kind.value}" for kind in Kind if (n := sum(g.kind is kind for g in groups)))
    more = f" The largest {len(shown):,} are shown." if len(shown) < len(groups) else ""
    return (
        f"{count(len(groups), 'group')} ({kinds}): {count(files, 'file')} too many, {size(saved)}.{more} "
        "Nothing was deleted; --paths lists what is redundant, --contact-sheet FILE shows it."
    )


# For programs


def as_json(groups: Sequence[Group], wanted: Limits) -> dict[str, Any]:
    """Everything as one object."""
    return {
        "kinds": [kind.value for kind in Kind if kind in wanted.kinds],
        "distance_bits": wanted.distance_bits,
        "least_cosine": wanted.least_cosine,
        "groups": [group_json(group) for group in groups],
        "redundant_files": sum(len(group.redundant) for group in groups),
        "saved_bytes": sum(group.saved_bytes for group in groups),
    }


def group_json(group: Group) -> dict[str, Any]:
    """One group: its photos, the one to keep first, each with its files."""
    return {
        "kind": group.kind.value,
        "saved_bytes": group.saved_bytes,
        "reason": group.reason,
        "photos": [_member_json(group, member) for member in group.members],
    }


def _member_json(group: Group, member: Member) -> dict[str, Any]:
    redundant = {each.path for each in group.redundant}
    return {
        "id": member.id,
        "relation": member.kind.value if member.kind else "kept",
        "distance_bits": member.distance_bits,
        "cosine": None if member.cosine is None else round(member.cosine, 6),
        "width_px": member.width,
        "height_px": member.height,
        "format": member.format,
        "taken_at": member.taken_at,
        "taken_from": member.taken_from,
        "camera": member.camera,
        "favourite": member.favourite,
        "files": [
            {**path_fields(each.path), "size_bytes": each.size_bytes, "keep": each.path not in redundant}
            for each in member.files
        ],
    }


def _csv_rows(groups: Sequence[Group]) -> Iterator[Sequence[Any]]:
    for number, group in enumerate(groups, 1):
        for member, each in _rows(group):
            keep = each is group.kept
            cosine = None if member.cosine is None else f"{member.cosine:.6f}"
            relation = "kept" if keep else _kind(member).value
            facts = (member.width, member.height, member.format, member.taken_at, member.taken_from)
            yield (
                *(number, group.kind.value, "keep" if keep else "redundant", relation),
                *(member.distance_bits, cosine, os.fsdecode(each.path), each.size_bytes, member.id, *facts),
                group.reason if keep else None,
            )


# For people


def _rows(group: Group) -> Iterator[tuple[Member, CopyFile]]:
    """The files of a group with their photos: the one to keep, then all redundant ones."""
    redundant = {each.path for each in group.redundant}
    for member in group.members:
        for each in member.files:
            if each is group.kept or each.path in redundant:
                yield member, each


def _files(group: Group) -> Iterator[CopyFile]:
    return (each for _, each in _rows(group))


def _kind(member: Member) -> Kind:
    return member.kind or Kind.EXACT


def _relation(group: Group, member: Member, each: CopyFile) -> str:
    if each is group.kept:
        return f"keep: {group.reason}"
    if member.distance_bits is not None:
        return f"near ({member.distance_bits} of 64 bits differ)"
    if member.cosine is not None:
        return f"similar (cosine {member.cosine:.3f})"
    return "same content"


def _title(number: int, group: Group) -> str:
    return f"{number}  {group.kind.value}, {size(group.saved_bytes)} too much"


def _cells(group: Group) -> list[tuple[str, ...]]:
    """A line for each file: keep or not, size in pixels and bytes, date, path, relation."""
    return [
        (
            "keep" if each is group.kept else "",
            f"{member.width} x {member.height}",
            size(each.size_bytes),
            shown_date(member.taken_at, member.taken_from),
            display_path(each.path),
            _relation(group, member, each),
        )
        for member, each in _rows(group)
    ]


def _print_groups(context: Context, store: Store, groups: Sequence[Group], drawing: str) -> None:
    if not context.console.is_terminal:
        for number, group in enumerate(groups, 1):
            context.result(_title(number, group))
            for line in columns(_cells(group), right=frozenset({1, 2})):
                context.result(f"   {line}")
        return
    from rich.table import Table
    from rich.text import Text

    from oko import terminal

    pictures = terminal.for_tables(context, drawing)
    for number, group in enumerate(groups, 1):
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(min_width=4, style="bold green")
        if pictures:
            table.add_column()
        for at in range(4):
            table.add_column(justify="right" if at < 2 else "left", overflow="fold", no_wrap=at < 3)
        found = thumbnails(context, store, [m.id for m in group.members]) if pictures else {}
        for (member, each), cells in zip(_rows(group), _cells(group), strict=True):
            drawn = [_drawn(pictures, found.get(member.id), terminal.THUMBNAIL_COLUMNS)] if pictures else []
            photo = Text.assemble(
                (display_path(each.path.parent) + "/", "dim"), display_path(Path(each.path.name))
            )
            table.add_row(cells[0], *drawn, *cells[1:4], Text.assemble(photo, "\n", (cells[5], "dim")))
        context.console.print(Text(_title(number, group), style="bold"))
        context.console.print(table)
        context.console.print()


def _drawn(pictures: Any, thumbnail: bytes | None, width: int) -> Any:
    return "" if thumbnail is None else pictures.draw(thumbnail, columns=width)


def _print_previews(context: Context, store: Store, groups: Sequence[Group]) -> None:
    """Raises UsageError if standard output is no terminal with a size."""
    from oko import terminal

    pictures = terminal.for_previews(context)
    for number, group in enumerate(groups, 1):
        found = thumbnails(context, store, [m.id for m in group.members])
        context.result(_title(number, group))
        for member, each in _rows(group):
            context.result(f"   {display_path(each.path)}  {_relation(group, member, each)}")
            if member.id in found and each is member.files[0]:
                context.console.print(pictures.draw(found[member.id], columns=terminal.PREVIEW_COLUMNS))


def _section(number: int, group: Group, pictures: Mapping[int, bytes]) -> Section:
    from library.sheets import Cell, Section

    cells = [
        Cell(
            pictures[member.id],
            f"{each.path.name}\n{member.width} x {member.height}, {size(each.size_bytes)}"
            f"\n{_relation(group, member, each)}",
            accent=each is group.kept,
        )
        for member, each in _rows(group)
        if member.id in pictures
    ]
    return Section(_title(number, group), cells)
