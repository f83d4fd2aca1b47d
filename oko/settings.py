"""`oko config`: the settings as they are, and a file to change them in."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from library.config import ENVIRONMENT_PREFIX, Config, default_toml, toml_value
from library.errors import LibraryUnreadable, UsageError
from library.folder import create_folder
from library.records import display_path
from oko.aligned import columns
from oko.context import Context

CONFIG_NAME = "config.toml"
HEADER = """\
# Settings of the oko library in this folder. Each stands here with its default; take the "# " away from
# those that you change. The rest follow oko's defaults. `oko config` shows what is in force, and why.
"""


def print_settings(context: Context, named: Path | None, *, as_json: bool) -> None:
    """The settings in force, where each came from, and the files that were looked for."""
    files = _files(context, named)
    if as_json:
        from oko.render import folder_fields, path_fields

        found = {
            **folder_fields(context.folder),
            "files": [{**path_fields(path), "exists": exists} for path, exists in files],
            "settings": _rows(context),
        }
        context.result(json.dumps(found, indent=2))
        return
    rows = [
        (row["name"], toml_value(row["value"]), _source(row["name"], row["source"])) for row in _rows(context)
    ]
    for line in columns(rows):
        context.result(line)
    context.result("")
    for path, exists in files:
        state = "read" if exists else "not there (oko config --init makes it)"
        context.result(f"{display_path(path)}: {state}")


def _files(context: Context, named: Path | None) -> list[tuple[Path, bool]]:
    paths = [context.folder / CONFIG_NAME, *([named] if named is not None else [])]
    return [(path, path.is_file()) for path in paths]


def _rows(context: Context) -> list[dict[str, Any]]:
    config, sources = context.config, context.loaded.sources
    rows = []
    for spec in fields(Config):
        value = getattr(config, spec.name)
        rows.append(
            {
                "name": spec.name,
                "value": list(value) if isinstance(value, tuple) else value,
                "default": list(spec.default) if isinstance(spec.default, tuple) else spec.default,
                "unit": spec.metadata["unit"] or None,
                "source": sources[spec.name],
            }
        )
    return rows


def _source(name: str, source: str) -> str:
    variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
    return variable if source == "environment" else display_path(Path(source))


def write_initial(context: Context) -> None:
    """Write config.toml into the library folder. Raises UsageError when there is one."""
    create_folder(context.folder)
    path = context.folder / CONFIG_NAME
    try:
        with open(path, "x", encoding="utf-8", opener=_private) as out:
            out.write(initial_toml())
    except FileExistsError as e:
        raise UsageError(
            f"{path} is there already; it was not touched", hint="Compare it with: oko config --default"
        ) from e
    except OSError as e:
        raise LibraryUnreadable(
            f"{path} cannot be written: {e.strerror}", hint="Look at the folder's owner and permissions."
        ) from e
    context.note(f"{display_path(path)} written; edit what you want to change.")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def initial_toml() -> str:
    """Every setting with its explanation, commented out, so that a later oko's defaults still hold."""
    _, _, settings = default_toml().partition("\n\n")
    lines = [line if line.startswith("#") or not line else f"# {line}" for line in settings.splitlines()]
    return HEADER + "\n" + "\n".join(lines) + "\n"
