"""the page and the HTTP API: search, look and tag in a browser, on this machine"""

from __future__ import annotations

import argparse
import os
import sys

from oko import exits
from oko.commands.index_ import add_model_options
from oko.context import Context

PORT = 8017
MOST_PORT = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen (default: this machine alone); any other address needs the token that is printed",
    )
    parser.add_argument(
        "--port", type=_port, default=PORT, metavar="N", help=f"default {PORT}; 0 takes any free one"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--watch", action="store_true", help="keep the folders searchable meanwhile, as oko watch does"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that the server is reached by (repeatable)",
    )
    parser.add_argument(
        "--require-token",
        action="store_true",
        help="ask for the token on this machine, too, where other people have accounts",
    )
    parser.add_argument(
        "--new-token", action="store_true", help="make a new token; the old one opens nothing"
    )
    add_model_options(parser)


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MOST_PORT:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {MOST_PORT}")
    return number


def run(args: argparse.Namespace, context: Context) -> int:
    """Serve until told to end."""
    from oko.web.run import Options, serve
    from oko.words import command_words

    words = command_words(args, add_model_options)
    if args.config is not None:
        words += ["--config", str(args.config.expanduser().absolute())]
    options = Options(
        host=args.host,
        port=args.port,
        allow_hosts=tuple(args.allow_host),
        require_token=args.require_token,
        new_token=args.new_token,
        watch=args.watch,
        open_page=args.open,
        words=tuple(words),
    )
    serve(context, options)
    # All is saved and closed. Python would wait for threads that are still at a picture, and look once more through
    # all that a model's libraries made.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exits.DONE)
