"""write decided tags, or embeddings, to files that other programs read"""

from __future__ import annotations

import argparse
from pathlib import Path

from oko import exits
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="JSON Lines of confirmed and rejected tags, and of favourites (default: standard output)",
    )
    parser.add_argument(
        "--embeddings",
        type=Path,
        metavar="DIR",
        help="write the vectors instead, in clip-retrieval's layout (needs the package pyarrow)",
    )
    parser.add_argument(
        "--model", metavar="NAME", help="with --embeddings: whose vectors (default: the library's own model)"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Write."""
    from library.errors import UsageError
    from oko import exporting

    if args.embeddings is None:
        if args.model is not None:
            raise UsageError("--model goes with --embeddings; tags belong to no model")
        exporting.export_tags(context, args.file)
    else:
        if args.file is not None:
            raise UsageError("give either FILE for the tags or --embeddings DIR, not both")
        exporting.export_vectors(context, args.embeddings.expanduser(), args.model)
    return exits.DONE
