"""The command line: parses arguments, runs one command, turns errors into sentences and exit codes."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from library.errors import OkoError
from oko import __version__, exits
from oko.commands import COMMANDS, search_
from oko.context import Context

EPILOG = """\
examples:
  oko index ~/Pictures
  oko search a dog running on the beach
  oko search --image holiday.jpg --top 5

Everything stays on this machine. Results go to standard output, everything else to standard error.
exit codes: 0 done, 1 failed, 2 wrong usage, 3 some files could not be read (--strict), 130 interrupted
"""


def build_parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The whole command line, or some of its commands. Cheap: none imports anything heavy before it runs."""
    parser = argparse.ArgumentParser(
        prog="oko",
        description="Find your own photos by words, on your own machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"oko {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in names:
        module = importlib.import_module(f"oko.commands.{name}_")
        about = str(module.__doc__).strip().splitlines()[0]
        sub = commands.add_parser(name, help=about, description=about, parents=[common_options()])
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def common_options() -> argparse.ArgumentParser:
    """The options of every command."""
    common = argparse.ArgumentParser(add_help=False)
    group = common.add_argument_group("common options")
    group.add_argument(
        "--library",
        type=Path,
        metavar="DIR",
        help="library folder (default: OKO_HOME, else your user data folder)",
    )
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings that override those of the library's config.toml",
    )
    group.add_argument("-q", "--quiet", action="store_true", help="print results and errors only")
    group.add_argument(
        "-v", "--verbose", action="store_true", help="print what happens inside, and errors in full"
    )
    return common


def add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    about: str,
    *,
    conflict_handler: str = "error",
) -> argparse.ArgumentParser:
    """An action of a command; the common options may follow it, too: unset they leave the earlier ones be."""
    common = common_options()  # new for each: "resolve" takes an option away from all parsers that share it
    common.add_argument("--json", action="store_true", help="print one JSON object")
    for option in common._actions:
        option.default = argparse.SUPPRESS
    return actions.add_parser(
        name, help=about, description=about, parents=[common], conflict_handler=conflict_handler
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. As a program of its own (no `argv`) some commands end with it."""
    if (
        argv is None
    ):  # `kill` is as good as Ctrl-C: what is in flight is finished, a training keeps its last step
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        _open_streams()
    try:
        code = _run(argv)
        if argv is None and sys.argv[1:2] in (["search"], ["index"]):
            _leave(code)
        return code
    except KeyboardInterrupt:
        print("\noko: interrupted; everything done so far is kept", file=sys.stderr)
        return exits.INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted; keep Python from complaining while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.DONE


def _open_streams() -> None:
    """Where a stream was closed (`2>&-`, pythonw), Python has None in its place: what goes there is lost, no more."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the whole run


def _leave(code: int) -> None:
    """End the program. Python would first take apart all that was loaded: for 0.1 s, a sixth of a first search.

    Nothing is open then: whatever a search or a run opens, it closes.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments. Words of a query may stand after options, too: `oko search a dog -k 5 on the beach`."""
    words = sys.argv[1:] if argv is None else argv
    # A search that a server answers is over in the time that the other commands' options take.
    parser = build_parser(words[:1] if words and words[0] in COMMANDS else COMMANDS)
    args, rest = parser.parse_known_args(search_.readable(words))
    options = [word for word in rest if word.startswith("-")]
    if options or (rest and args.command != "search"):
        parser.error(
            f"oko {args.command} does not know {' '.join(options or rest)} (oko {args.command} --help)"
        )
    if rest:
        args.query += rest
    return args


def _run(argv: Sequence[str] | None) -> int:
    args = _parse(argv)
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.ERROR if args.quiet else logging.WARNING,
        format="oko: %(message)s" if not args.verbose else "%(asctime)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # it sets its own level when it is imported
    # Pillow and others warn about odd files; oko reports what matters of it itself.
    logging.captureWarnings(True)
    for noisy in (
        "py.warnings",
        "PIL",
        "matplotlib",
        "urllib3",
        "httpx",
        "httpcore",
        "filelock",
        "huggingface_hub",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING if args.verbose else logging.ERROR)
    try:
        context = Context.from_arguments(args, os.environ)
        code: int = args.run(args, context)
        sys.stdout.flush()
        return code
    except OkoError as e:
        if args.verbose:
            logging.getLogger("oko").debug("in full:", exc_info=e)
        print(f"oko: {e}" + (f"\n     {e.hint}" if e.hint else ""), file=sys.stderr)
        return exits.exit_code(e)
    except BrokenPipeError:
        raise
    except OSError as e:
        logging.getLogger("oko").debug("in full:", exc_info=e)
        place = f"{e.filename}: " if e.filename is not None else ""
        print(f"oko: {place}{e.strerror or e}\n     What happened inside: add -v", file=sys.stderr)
        return exits.FAILED
