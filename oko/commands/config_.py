"""every setting, its value, and where that came from"""

from __future__ import annotations

import argparse

from oko import exits
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--default", action="store_true", help="print a config.toml with every setting at its default"
    )
    shape.add_argument(
        "--init", action="store_true", help="put a config.toml to edit into the library folder"
    )
    shape.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print or write."""
    from library.config import default_toml
    from oko import settings

    if args.default:
        context.result(default_toml().rstrip("\n"))
    elif args.init:
        settings.write_initial(context)
    else:
        settings.print_settings(context, args.config, as_json=args.json)
    return exits.DONE
