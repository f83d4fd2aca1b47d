"""find photos that you have more than once; reports only, and never deletes"""

from __future__ import annotations

import argparse
from pathlib import Path

from oko import exits
from oko.commands.index_ import positive
from oko.context import Context
from oko.output import add_output, check_files

KINDS = ("exact", "near", "similar")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--kind",
        default="exact,near",
        metavar="KIND,...",
        help="exact: same content; near: the same picture saved again (scaled, recompressed, a little edited); "
        "similar: much the same to the model (bursts, crops, mirrored); default: exact,near",
    )
    parser.add_argument(
        "--in",
        dest="folders",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="only files below this folder (repeatable)",
    )
    parser.add_argument(
        "--distance",
        type=int,
        metavar="BITS",
        help="near: by how many of its 64 bits the perceptual hash may differ, 0 to 12 (default: 8)",
    )
    parser.add_argument(
        "--cosine",
        type=float,
        metavar="C",
        help="similar: the least cosine of two vectors, 0.8 to 1 (default: 0.93)",
    )
    parser.add_argument(
        "-k", "--top", type=positive, metavar="N", help="only the N groups that take most space"
    )
    add_output(
        parser,
        json="print one JSON object",
        csv="comma-separated values with a header, a line a file",
        paths="paths of the redundant files only",
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Look for groups, and report."""
    from library.overview import library_model
    from oko import assemble, duplicates
    from oko.searching import status
    from search.duplicates import find

    limits = duplicates.limits(args)
    check_files(args)
    with assemble.reading(context.folder, context.config) as store:
        own = library_model(store)
        with status(context, "Comparing"):
            groups = find(store, own[1] if own else None, limits)
        shown = groups[: args.top]
        code = duplicates.report(context, store, shown, args, limits)
    if not (args.json or args.quiet):
        context.note(duplicates.summary(groups, shown))
    return code or exits.DONE
