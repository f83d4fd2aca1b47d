"""suggest tags for all photos, decide about them, and exchange them with other programs"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from library.errors import UsageError
from library.records import display_path
from oko import exits
from oko.commands.index_ import add_model_options
from oko.context import Context

if TYPE_CHECKING:
    from oko.tagfiles import FilesReport

PROBLEMS_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--accept",
        nargs="+",
        metavar=("NAME", "PHOTO"),
        help="the tag is right for these photos (paths or ids)",
    )
    what.add_argument(
        "--reject", nargs="+", metavar=("NAME", "PHOTO"), help="the tag is wrong for these photos"
    )
    what.add_argument(
        "--learn", metavar="NAME", help="teach a tag by the photos of --from, and suggest it for the others"
    )
    what.add_argument("--list", action="store_true", help="every tag, and how many photos have it")
    what.add_argument("--show", nargs="+", metavar="PHOTO", help="the tags of these photos (paths or ids)")
    what.add_argument(
        "--write-xmp",
        action="store_true",
        help="write the tags into sidecar files (IMG.jpg.xmp) beside the photos, which stay as they are",
    )
    what.add_argument(
        "--read-keywords",
        action="store_true",
        help="take over the keywords that photos carry (sidecars, XMP, IPTC, EXIF) as confirmed tags",
    )
    parser.add_argument(
        "--from",
        dest="examples",
        nargs="+",
        default=[],
        metavar="PATH",
        help="with --learn: indexed photos or folders that show it",
    )
    parser.add_argument(
        "--confirmed-only", action="store_true", help="with --write-xmp: leave suggestions out"
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as one JSON object")
    add_model_options(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Do what was asked for; nothing: suggest tags for the whole library."""
    if args.examples and args.learn is None:
        raise UsageError("--from belongs to --learn NAME")
    if args.accept or args.reject:
        return _decide(args, context)
    if args.learn is not None:
        return _learn(args, context)
    if args.list:
        return _list(args, context)
    if args.show:
        return _show(args, context)
    if args.write_xmp or args.read_keywords:
        return _exchange(args, context)
    return _suggest(args, context)


def _suggest(args: argparse.Namespace, context: Context) -> int:
    from oko import tagging

    report, elapsed_s = tagging.tag_library(context)
    if args.json:
        _print(context, {**dataclasses.asdict(report), "elapsed_s": round(elapsed_s, 3)})
        return exits.DONE
    rate = report.photos / max(elapsed_s, 1e-9)
    context.note(
        f"{report.suggestions:,} tags suggested for {report.photos:,} photos in {elapsed_s:.1f} s "
        f"({rate:,.0f} photos a second)"
        + (f"; {report.learned} tags are scored by your decisions, too." if report.learned else ".")
    )
    if not report.photos:
        context.note("The library has no photos of this model yet. Index some: oko index ~/Pictures")
    return exits.DONE


def _decide(args: argparse.Namespace, context: Context) -> int:
    from oko import tagging

    flag = "--accept" if args.accept else "--reject"
    name, *photos = args.accept or args.reject
    if not photos:
        raise UsageError(f"{flag} needs a tag and at least one photo", hint=f"oko tag {flag} dog IMG_1.jpg")
    name, ids = tagging.decide(context, name, photos, accept=bool(args.accept))
    state = "confirmed" if args.accept else "rejected"
    if args.json:
        _print(context, {"name": name, "state": state, "photo_ids": ids})
    else:
        context.note(f"{name}: {state} for {len(ids):,} photo{'' if len(ids) == 1 else 's'}.")
    return exits.DONE


def _learn(args: argparse.Namespace, context: Context) -> int:
    from oko import tagging

    name, examples, report = tagging.learn(context, args.learn, args.examples)
    if args.json:
        _print(context, {"name": name, "examples": examples, **dataclasses.asdict(report)})
    else:
        context.note(
            f"{name}: learned from {examples:,} example{'' if examples == 1 else 's'}. "
            f"See what it is suggested for: oko search --tag {name!r} {name}"
        )
    return exits.DONE


def _list(args: argparse.Namespace, context: Context) -> int:
    from oko import tagging

    rows = tagging.list_tags(context)
    if args.json:
        _print(context, {"tags": [dataclasses.asdict(row) for row in rows]})
        return exits.DONE
    from oko.aligned import columns

    cells: list[tuple[str, ...]] = [("tag", "group", "suggested", "confirmed", "rejected", "")]
    for r in rows:
        counts = (f"{n:,}" if n else "" for n in (r.suggested, r.confirmed, r.rejected))
        cells.append((r.name, r.group, *counts, "taught" if r.learned else ""))
    for line in columns(cells, right=frozenset({2, 3, 4})):
        context.result(line)
    return exits.DONE


def _show(args: argparse.Namespace, context: Context) -> int:
    from oko import tagging
    from oko.render import path_fields

    photos = tagging.show(context, args.show)
    if args.json:
        shown = [
            {"id": p.id, **path_fields(p.path), "tags": [dataclasses.asdict(tag) for tag in p.tags]}
            for p in photos
        ]
        _print(context, {"photos": shown})
        return exits.DONE
    for photo in photos:
        context.result(f"{display_path(photo.path)}")
        for tag in photo.tags:
            score = "" if tag.score is None else f"  {tag.score:.2f}"
            context.result(f"  {tag.state:<9}  {tag.name}{score}")
        if not photo.tags:
            context.result("  no tags")
    return exits.DONE


def _exchange(args: argparse.Namespace, context: Context) -> int:
    from oko import tagfiles

    if args.write_xmp:
        report = tagfiles.write_sidecars(context, confirmed_only=args.confirmed_only)
        sentence = f"{report.changed:,} sidecars written or changed, of {report.looked_at:,} photos' files."
    else:
        report = tagfiles.read_keywords(context)
        sentence = (
            f"{report.keywords:,} keywords taken over as confirmed tags; "
            f"{report.changed:,} of {report.looked_at:,} photos carry some."
        )
    if args.json:
        _print(context, dataclasses.asdict(report))
        return _code(report)
    for problem in report.problems[:PROBLEMS_SHOWN]:
        context.note(f"  ! {problem}")
    if len(report.problems) > PROBLEMS_SHOWN:
        context.note(f"  ! and {len(report.problems) - PROBLEMS_SHOWN:,} more")
    context.note(sentence)
    return _code(report)


def _code(report: FilesReport) -> int:
    """A run that came to nothing because of what is wrong has failed."""
    return exits.FAILED if report.problems and len(report.problems) >= report.looked_at else exits.DONE


def _print(context: Context, value: dict[str, Any]) -> None:
    context.result(json.dumps(value, indent=2))
