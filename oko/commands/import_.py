"""read decided tags back from a file that oko export wrote"""

from __future__ import annotations

import argparse
from pathlib import Path

from oko import exits
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON Lines; - reads standard input")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be taken over")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def run(args: argparse.Namespace, context: Context) -> int:
    """Read, and say what came of it."""
    from oko import exporting

    exporting.import_tags(context, args.file, dry_run=args.dry_run, as_json=args.json)
    return exits.DONE
