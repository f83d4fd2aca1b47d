"""try again what could not be read or embedded"""

from __future__ import annotations

import argparse
from pathlib import Path

from oko import exits
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="folders or files; none: everything"
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 3 if some files still cannot be read"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Index with another try at unreadable files, and print a report."""
    from oko import indexing

    report = indexing.index(context, args.paths, retry=True)
    indexing.print_report(context, report, as_json=args.json)
    if report.interrupted:
        return exits.INTERRUPTED
    return exits.SOME_UNREADABLE if args.strict and (report.unreadable or report.failed) else exits.DONE
