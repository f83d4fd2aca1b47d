"""What is generated from the code in README.md, docs/painting.md and config.toml: `python -m oko.docs --write`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from library import errors
from library.config import default_toml, settings_table
from oko.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent
# Commands whose options the README shows in full.
SHOWN = ("index", "search")


def readme_blocks() -> dict[str, str]:
    """Generated text by the name of its block in README.md."""
    commands = _commands()
    blocks = {f"{name}-options": _options(commands[name]) for name in SHOWN}
    return {"commands": _command_table(commands), **blocks, "settings": _settings(), "errors": _errors()}


def _commands() -> dict[str, argparse.ArgumentParser]:
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("the command line has commands")


def _command_table(commands: dict[str, argparse.ArgumentParser]) -> str:
    rows = [f"| `oko {name}` | {parser.description} |" for name, parser in commands.items()]
    return "\n".join(["| command | what it does |", "| --- | --- |", *rows])


def _options(parser: argparse.ArgumentParser) -> str:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        name = ", ".join(action.option_strings) or str(action.metavar)
        value = (
            f" {action.metavar or '|'.join(action.choices or ())}"
            if action.option_strings and action.nargs != 0
            else ""
        )
        rows.append(f"| `{name}{value}` | {_cell(action.help or '')} |")
    return "\n".join(["| option | meaning |", "| --- | --- |", *rows])


def _settings() -> str:
    rows = [f"| `{name}` | `{default}` | {_cell(text)} |" for name, default, text in settings_table()]
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows])


def _errors() -> str:
    rows = [
        f"| `{kind.__name__}` | {_cell((kind.__doc__ or '').splitlines()[0])} |"
        for kind in _leaves(errors.OkoError)
    ]
    return "\n".join(["| error | when, and what to do |", "| --- | --- |", *rows])


def _leaves(kind: type[errors.OkoError]) -> Iterator[type[errors.OkoError]]:
    below = [sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]
    if not below:
        yield kind
    for sub in below:
        yield from _leaves(sub)


def _cell(text: str) -> str:
    # A star or a bar in a table cell would be read as Markdown.
    return re.sub(r"([*|])", r"\\\1", text)


def painting_blocks() -> dict[str, str]:
    """Likewise of docs/painting.md."""
    return {"generate-options": _options(_commands()["generate"])}


def filled(readme: str, blocks: dict[str, str] | None = None) -> str:
    """The text of README.md, or of another page with its blocks, brought up to date."""
    for name, text in (readme_blocks() if blocks is None else blocks).items():
        begin, end = f"<!-- block: {name} -->", f"<!-- end: {name} -->"
        before, _, rest = readme.partition(begin)
        _, found, after = rest.partition(end)
        if found:
            readme = f"{before}{begin}\n{text}\n{end}{after}"
    return readme


def main() -> int:
    """Rewrite README.md, docs/painting.md and config.toml with `--write`; otherwise say whether they are up to date."""
    readme, config, painting = ROOT / "README.md", ROOT / "config.toml", ROOT / "docs" / "painting.md"
    wanted = {
        readme: filled(readme.read_text(encoding="utf-8")),
        config: default_toml(),
        painting: filled(painting.read_text(encoding="utf-8"), painting_blocks()),
    }
    stale = [
        path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--write" in sys.argv[1:]:
        for path in stale:
            path.write_text(wanted[path], encoding="utf-8")
            print(f"wrote {path.name}")
        return 0
    print(
        "\n".join(f"{path.name} is not up to date: python -m oko.docs --write" for path in stale)
        or "up to date"
    )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
