"""keep folders searchable: new, changed, moved and deleted photos are noticed at once"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from library.errors import OkoError
from oko import exits
from oko.commands.index_ import add_model_options, add_scan_options
from oko.context import Context

if TYPE_CHECKING:
    from oko.signals import Signals

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="folders; none: every folder indexed before"
    )
    parser.add_argument("--nice", action="store_true", help="run gently: low priority, one core")
    parser.add_argument(
        "--pause-on-battery", action="store_true", default=None, help="pause while on battery"
    )
    parser.add_argument(
        "--method",
        dest="watch_method",
        choices=("auto", "events", "poll"),
        help="how changes are noticed: the system's events, or a look now and then",
    )
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="lines of the log, or JSON objects"
    )
    services = parser.add_mutually_exclusive_group()
    services.add_argument(
        "--print-service", action="store_true", help="print the service that would be installed"
    )
    services.add_argument(
        "--install-service",
        action="store_true",
        help="write a service of your own (systemd user unit, launchd agent), and say how to start it",
    )
    add_scan_options(parser)
    add_model_options(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Watch until told to end, or deal with the service."""
    if args.print_service or args.install_service:
        return service(args, context)
    from oko.signals import Signals

    # Before the imports, which take a second or more: a signal that comes meanwhile must not kill it.
    with Signals().heard() as signals:
        return watch(args, context, signals)


def watch(args: argparse.Namespace, context: Context, signals: Signals) -> int:
    """Watch until the signals end it. With a log of JSON objects, errors that end it are such objects, too."""
    from oko import logs, power, watching

    logs.set_up_log(args.log_format, quiet=args.quiet)
    if args.nice:
        power.be_gentle()
    try:
        watching.watch(
            context, args.paths, reread=lambda: Context.from_arguments(args, os.environ), signals=signals
        )
    except OkoError as e:
        if args.log_format != "json":
            raise
        log.error("%s", e.message, extra={"data": {"hint": e.hint}})
        return exits.exit_code(e)
    return exits.DONE


def service(args: argparse.Namespace, context: Context) -> int:
    """Print the service, or write it and say how to start it."""
    from oko import assemble
    from oko import service as services
    from oko.words import command_words

    assemble.check_paths(context.folder, context.config, args.paths)
    words = command_words(args, add_arguments, without=("print_service", "install_service"))
    common = ["--library", str(context.folder)]
    if args.config is not None:
        common += ["--config", str(args.config.expanduser().absolute())]
    found = services.watch_service(["watch", *common, *words], context.folder, os.environ)
    if args.print_service:
        context.result(found.text.rstrip("\n"))
        return exits.DONE
    services.install(found)
    context.note(f"{found.path} written. Start it, now and at every login:")
    for command in found.commands:
        context.result(command)
    for note in found.notes:
        context.note(note)
    return exits.DONE
