"""find photos by words, by a picture, or by both"""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oko.commands.index_ import add_model_options
from oko.context import Context
from oko.output import add_output, check_files
from search.filters import FILTERS

if TYPE_CHECKING:
    from oko.remote import Asked

ORDERS = (
    "relevance",
    "newest",
    "oldest",
    "diverse",
)  # search.rank.Sort, which would load the database's library
# Flags that are older than the query language, or say more than it: --in takes a path of the current folder.
OWN_FLAGS = ("tag", "after", "before", "camera")
_SHORT_OPTIONS = re.compile(r"-([qvh0]+|k[0-9]*)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_question(parser)
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="find photos that look like this one",
    )
    parser.add_argument(
        "-k", "--top", type=int, metavar="N", help="how many results (default: the setting `top`, 20)"
    )
    add_output(
        parser,
        json="one JSON array of objects",
        csv="comma-separated values with a header",
        paths="paths only",
    )
    add_model_options(parser)


def add_question(parser: argparse.ArgumentParser) -> None:
    """What is asked for, but for pictures: that, a running server is told in the same words."""
    parser.add_argument(
        "query",
        nargs="*",
        metavar="QUERY",
        help="words (beach + sunset - people) and filters (tag:dog date:2023); all of it: docs/search.md",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="also the weak matches, below the relevance line (setting `relevance`)",
    )
    parser.add_argument(
        "--offset", type=_not_negative, default=0, metavar="N", help="leave out the first N results"
    )
    parser.add_argument(
        "--sort", choices=ORDERS, help="the order (default: relevance; without words: newest)"
    )
    add_filters(parser)


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return number


def readable(words: Sequence[str]) -> list[str]:
    """The words of a command line, those of `oko search -people` so that they are not taken for options.

    The query language takes a minus sign for the hyphen. What looks like an option of this command stays one.
    """
    if not words or words[0] != "search":
        return list(words)
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    names = {"--help", "--quiet", "--verbose", "--library", "--config", *parser._option_string_actions}
    return [_minus(word) if _is_unwanted(word, names) else word for word in words]


def _is_unwanted(word: str, names: Collection[str]) -> bool:
    if not word.startswith("-") or word.startswith("--") or len(word) < 2 + word.isascii():
        return False
    # Somebody who writes -json means --json.
    return not _SHORT_OPTIONS.fullmatch(word) and f"-{word}" not in names


def _minus(word: str) -> str:
    return "\N{MINUS SIGN}" + word[1:]


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Which photos may answer; applied before the ranking."""
    group = parser.add_argument_group(
        "filters (which photos may answer; most can be words of the query, too: date:2023 has:gps)"
    )
    group.add_argument(
        "--in",
        dest="folders",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="only photos below this folder (repeatable)",
    )
    group.add_argument("--after", metavar="DATE", help="taken on or after 2023, 2023-07 or 2023-07-14")
    group.add_argument("--before", metavar="DATE", help="taken on or before that date")
    group.add_argument("--camera", metavar="TEXT", help="camera or lens contains this")
    group.add_argument(
        "--tag", dest="tags", action="append", default=[], metavar="NAME", help="has this tag (repeatable)"
    )
    for name, kind in FILTERS.items():
        if name in OWN_FLAGS:
            continue
        group.add_argument(
            f"--{name}",
            dest=f"filter_{name}",
            action="append",
            default=[],
            metavar="VALUE",
            help=f"{', '.join(kind.choices)}: {kind.help}"
            if kind.choices
            else f"{kind.help}, such as {kind.example}",
        )
    group.add_argument(
        "--missing", action="store_true", help="also photos that are not on disk at the moment"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Search, and print the results; a server that is running already answers at once."""
    from oko import remote, render

    found = remote.search(context.folder, context.loaded, _asked(args, context))
    if found is None:
        return _search_alone(args, context)
    check_files(args)
    code = render.print_results(context, None, found.results, args)
    for note in found.notes:
        context.note(note)
    return code


def _asked(args: argparse.Namespace, context: Context) -> Asked:
    from oko.remote import Asked
    from oko.words import command_words

    return Asked(command_words(args, add_question), args.image, context.config.top)


def _search_alone(args: argparse.Namespace, context: Context) -> int:
    from oko import assemble, remarks, render, searching

    asked = searching.request(args, context.config)
    check_files(args)
    with assemble.reading(context.folder, context.config) as store:
        page, stamp = searching.answer(context, store, asked)
        code = render.print_results(context, store, page.results, args)
        for note in remarks.on_command_line(store, context.config, asked, page, stamp):
            context.note(note)
    return code
