"""index a handful of real photos that come with installed packages, search and tag them"""

from __future__ import annotations

import argparse
from pathlib import Path

from oko import exits
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--into",
        type=Path,
        default=Path(".demo"),
        metavar="DIR",
        help="where photos, library and contact sheet go (default: .demo)",
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Copy the photos, index, search, classify, draw."""
    from oko import demo

    demo.run(args.into, context)
    return exits.DONE
