"""suggest tags for all photos, decide about them, and exchange them with other programs"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

from library.errors import UsageError
from library.records import display_path
from oko import exits
from oko.aligned import columns, count
from oko.commands.index_ import add_model_options
from oko.context import Context

if TYPE_CHECKING:
    from oko.tagfiles import FilesReport

PROBLEMS_SHOWN = 10
MANY_EXAMPLES = 500  # more are rarely meant: a slip in --from confirms a whole collection
MOST_REPEATED = 3


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
        "--clear",
        nargs="+",
        metavar=("NAME", "PHOTO"),
        help="take back what you decided about the tag for these photos",
    )
    what.add_argument(
        "--favourite",
        nargs="+",
        metavar="PHOTO",
        help="these photos are favourites (oko search is:favourite)",
    )
    what.add_argument("--no-favourite", nargs="+", metavar="PHOTO", help="these photos are none")
    what.add_argument(
        "--learn", metavar="NAME", help="teach a tag by the photos of --from, and suggest it for the others"
    )
    what.add_argument(
        "--unlearn", metavar="NAME", help="forget that a tag was taught; what is confirmed stays"
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
        "--yes", action="store_true", help="with --learn: do not ask, however many the examples"
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
    if args.clear:
        return _clear(args, context)
    if args.favourite or args.no_favourite:
        return _favour(args, context)
    if args.learn is not None:
        return _learn(args, context)
    if args.unlearn is not None:
        return _unlearn(args, context)
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
    # Below a second the rate says nothing about a larger library.
    rate = f" ({report.photos / elapsed_s:,.0f} photos a second)" if elapsed_s >= 1 and report.photos else ""
    context.note(
        f"{count(report.suggestions, 'tag')} suggested for {count(report.photos, 'photo')} in {elapsed_s:.1f} s{rate}"
        + (f"; {report.learned} tags are scored by your decisions, too." if report.learned else ".")
    )
    if not report.photos:
        context.note("The library has no photos of this model yet. Index some: oko index ~/Pictures")
    return exits.DONE


def _decide(args: argparse.Namespace, context: Context) -> int:
    from oko import deciding

    flag = "--accept" if args.accept else "--reject"
    name, photos = _name_and_photos(flag, args.accept or args.reject)
    found = deciding.decide(context, name, photos, accept=bool(args.accept))
    state = "confirmed" if args.accept else "rejected"
    if args.json:
        _print(
            context,
            {"name": found.name, "state": state, "photo_ids": list(found.photo_ids), "is_new": found.is_new},
        )
        return exits.DONE
    context.note(f"{found.name}: {state} for {count(len(found.photo_ids), 'photo')}.")
    if found.is_new:
        near = f" Did you mean {' or '.join(found.near)}?" if found.near else ""
        context.note(
            f"{found.name} is a new tag.{near} Take it back: {_command('--clear', found.name, *photos)}"
        )
    return exits.DONE


def _name_and_photos(flag: str, values: list[str]) -> tuple[str, list[str]]:
    name, *photos = values
    if not photos:
        raise UsageError(f"{flag} needs a tag and at least one photo", hint=f"oko tag {flag} dog IMG_1.jpg")
    return name, photos


def _command(flag: str, name: str, *photos: str) -> str:
    """As a person can paste it; a long list of photos is left to them."""
    named = photos if len(photos) <= MOST_REPEATED else ("PHOTO...",)
    words = [word if word == "PHOTO..." else shlex.quote(word) for word in (name, *named)]
    return " ".join(["oko tag", flag, *words])


def _clear(args: argparse.Namespace, context: Context) -> int:
    from oko import deciding

    name, photos = _name_and_photos("--clear", args.clear)
    found = deciding.clear(context, name, photos)
    if args.json:
        _print(context, {"name": found.name, "state": None, "photo_ids": list(found.photo_ids)})
    elif found.photo_ids:
        context.note(f"{found.name}: undecided again for {count(len(found.photo_ids), 'photo')}.")
    else:
        context.note(f"Nothing was decided about {found.name} there.")
    return exits.DONE


def _favour(args: argparse.Namespace, context: Context) -> int:
    from oko import deciding

    ids = deciding.favour(context, args.favourite or args.no_favourite, is_favourite=bool(args.favourite))
    if args.json:
        _print(context, {"favourite": bool(args.favourite), "photo_ids": ids})
    else:
        context.note(f"{count(len(ids), 'photo')}: {'favourite' if args.favourite else 'no favourite'} now.")
    return exits.DONE


def _learn(args: argparse.Namespace, context: Context) -> int:
    from oko import tagging

    def confirm(examples: int) -> bool:
        return bool(args.yes) or examples <= MANY_EXAMPLES or _is_meant(args.learn, examples)

    name, examples, report = tagging.learn(context, args.learn, args.examples, confirm=confirm)
    if args.json:
        _print(context, {"name": name, "examples": examples, **dataclasses.asdict(report)})
    else:
        word = shlex.quote(name)
        context.note(
            f"{name}: learned from {count(examples, 'example')}. "
            f"See what it is suggested for: oko search --tag {word} {word}. Take it back: oko tag --unlearn {word}"
        )
    return exits.DONE


def _is_meant(name: str, examples: int) -> bool:
    """Whether a person wants so many photos confirmed; nobody to ask is a no."""
    if not sys.stdin.isatty():
        raise UsageError(
            f"{examples:,} photos would be confirmed to show {shlex.quote(name)}",
            hint="Say --yes if that is meant.",
        )
    sys.stderr.write(f"Confirm {shlex.quote(name)} for {examples:,} photos, and learn from them? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _unlearn(args: argparse.Namespace, context: Context) -> int:
    from oko import deciding

    name, dropped, confirmed = deciding.unlearn(context, args.unlearn)
    if args.json:
        _print(context, {"name": name, "suggestions_dropped": dropped, "confirmed": confirmed})
        return exits.DONE
    context.note(
        f"{name}: no longer learned by example; {count(dropped, 'suggestion')} dropped. "
        f"It stays confirmed for {count(confirmed, 'photo')}."
    )
    return exits.DONE


def _list(args: argparse.Namespace, context: Context) -> int:
    from oko import tagging

    rows = tagging.list_tags(context)
    if args.json:
        _print(context, {"tags": [dataclasses.asdict(row) for row in rows]})
        return exits.DONE
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
            context.result("  no tags" if photo.is_tagged else "  not tagged yet: oko tag")
    return exits.DONE


def _exchange(args: argparse.Namespace, context: Context) -> int:
    from oko import tagfiles

    if args.write_xmp:
        report = tagfiles.write_sidecars(context, confirmed_only=args.confirmed_only)
        files = count(report.looked_at, "file")
        sentence = f"{count(report.changed, 'sidecar')} written or changed, for {files} of photos."
    else:
        report = tagfiles.read_keywords(context)
        sentence = (
            f"{count(report.keywords, 'keyword')} taken over as confirmed tags; photos that carry any: "
            f"{report.changed:,} of {report.looked_at:,}."
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
