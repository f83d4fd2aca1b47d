"""The words of a command line, made again from its arguments: for a service, or a process in the background."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any


def command_words(
    args: argparse.Namespace,
    options: Callable[[argparse.ArgumentParser], None],
    *,
    without: Collection[str] = (),
) -> list[str]:
    """What `options` added to a parser and `args` holds, as words; paths absolute. `without` names are left out."""
    parser = argparse.ArgumentParser(add_help=False)
    options(parser)
    named: list[str] = []
    plain: list[str] = []
    for action in parser._actions:
        value = getattr(args, action.dest, None)
        if action.dest in without or value in (None, False) or value == []:
            continue
        if action.option_strings and value == action.default:
            continue
        values = value if isinstance(value, list) else [value]
        if not action.option_strings:
            plain += map(_word, values)
        elif action.nargs == 0:
            named.append(action.option_strings[-1])
        else:
            for word in map(_word, values):
                # What begins with a - would be taken for an option: --near=-33.9,151.2,5
                name = action.option_strings[-1]
                named += [f"{name}={word}"] if word.startswith("-") else [name, word]
    return [*named, "--", *plain] if plain else named


def _word(value: Any) -> str:
    # os.path leaves the name of somebody who is not known here as it is; pathlib raises RuntimeError.
    return str(Path(os.path.expanduser(value)).absolute()) if isinstance(value, Path) else str(value)
