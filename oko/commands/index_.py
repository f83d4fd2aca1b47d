"""index or refresh folders, so that their photos can be found"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from library.collector import held_back
from oko import exits
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="folders; none: every folder indexed before"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would be done, and how long it may take"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="read at most N files in this run")
    parser.add_argument("--strict", action="store_true", help="exit with 3 if some files could not be read")
    parser.add_argument(
        "--nice", action="store_true", help="run gently in the background: low priority, one core"
    )
    parser.add_argument(
        "--background",
        action="store_true",
        help="return at once; oko status says how far it is, and oko search finds what is done",
    )
    parser.add_argument(
        "--pause-on-battery", action="store_true", default=None, help="pause while on battery"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_scan_options(parser)
    add_model_options(parser)


def add_scan_options(parser: argparse.ArgumentParser) -> None:
    """Which files are taken."""
    parser.add_argument(
        "--include",
        action="append",
        metavar="GLOB",
        help="take only files that match (as in .gitignore; repeatable)",
    )
    parser.add_argument(
        "--exclude", action="append", metavar="GLOB", help="skip files and folders that match (repeatable)"
    )
    parser.add_argument(
        "--include-hidden", action="store_true", default=None, help="take hidden files and folders too"
    )
    parser.add_argument("--follow-symlinks", action="store_true", default=None, help="follow symbolic links")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it runs."""
    parser.add_argument(
        "--model", metavar="NAME", help="the model (oko models list); default: the library's own"
    )
    add_machine_options(parser)
    parser.add_argument("--batch-size", type=int, metavar="N", help="photos per step of the model")


def add_machine_options(
    options: argparse._ActionsContainer, *, formats: Sequence[str] = ("auto", "fp32", "bf16", "fp16")
) -> None:
    """Where models run, and in which number format."""
    options.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        help="where the model runs; auto: on a GPU if there is one",
    )
    options.add_argument(
        "--precision",
        choices=formats,
        help="the model's number format; auto: the quickest of the same quality",
    )


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def run(args: argparse.Namespace, context: Context) -> int:
    """Index, and print a report."""
    if args.background:
        from oko import background

        background.start(args, context, add_arguments)
        return exits.DONE
    with held_back():  # these are 500 modules
        from oko import indexing, power

    if args.nice:
        power.be_gentle()
    if args.dry_run:
        report = indexing.plan(context, args.paths, limit=args.limit)
    else:
        report = indexing.index(context, args.paths, limit=args.limit)
    indexing.print_report(context, report, as_json=args.json, planned=args.dry_run)
    if report.interrupted:
        return exits.INTERRUPTED
    return exits.SOME_UNREADABLE if args.strict and (report.unreadable or report.failed) else exits.DONE
