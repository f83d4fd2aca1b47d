"""delete what the library knows about photos (never the photos themselves)"""

from __future__ import annotations

import argparse
from pathlib import Path

from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="files or folders; they may be gone already"
    )
    parser.add_argument(
        "--missing",
        action="store_true",
        help="only files that are not on disk any more (below PATH, or anywhere)",
    )
    parser.add_argument(
        "--older-than", metavar="AGE", help="with --missing: gone for longer than 30d, 12w, 6m or 1y"
    )
    parser.add_argument(
        "--include-offline",
        action="store_true",
        help="with --missing: also where a whole folder or drive is away",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="instead of files: the vectors made by this model (named as in oko status); photos and tags stay",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def run(args: argparse.Namespace, context: Context) -> int:
    """Choose, ask, delete, and say what was done."""
    from oko import forgetting, forgetting_models

    return forgetting_models.forget(context, args) if args.model else forgetting.forget(context, args)
