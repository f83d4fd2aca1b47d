"""What every command needs: the library folder, the configuration, and where to write."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from library.config import Config, LoadedConfig, load_config
from library.folder import default_folder

if TYPE_CHECKING:
    from rich.console import Console

# Arguments that are settings too: those that a command has are put over the configuration.
SETTING_FLAGS = (
    "model",
    "device",
    "precision",
    "batch_size",
    "include",
    "exclude",
    "include_hidden",
    "follow_symlinks",
    "top",
    "watch_method",
    "pause_on_battery",
)


@dataclass
class Context:
    """One command's surroundings."""

    folder: Path
    loaded: LoadedConfig
    quiet: bool
    purpose: str

    @classmethod
    def from_arguments(cls, args: argparse.Namespace, environment: Mapping[str, str]) -> Context:
        """Merge arguments, environment and files. Raises ConfigError."""
        folder = (args.library or default_folder(environment)).expanduser().absolute()
        flags = {name: getattr(args, name, None) for name in SETTING_FLAGS}
        return cls(
            folder,
            load_config(folder, file=args.config, environment=environment, flags=flags),
            args.quiet,
            f"oko {args.command}",
        )

    @property
    def config(self) -> Config:
        """The settings."""
        return self.loaded.config

    @cached_property
    def notes(self) -> Console:
        """Where everything goes that is not a result: standard error, nothing with --quiet."""
        from rich.console import Console

        return Console(stderr=True, quiet=self.quiet, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Say one line to the person, not to the program that reads the results."""
        if "notes" in self.__dict__:  # something may be drawn there
            self.notes.print(text, markup=False, emoji=False)
        elif (
            not self.quiet
        ):  # a search that a server has answered shall not wait for rich: a fifth of its time
            _write(sys.stderr, text + "\n")

    @cached_property
    def console(self) -> Console:
        """Standard output for tables."""
        from rich.console import Console

        return Console(highlight=False)

    def result(self, text: str) -> None:
        """Print one line of a result."""
        write_text(text + "\n")


def write_text(text: str) -> None:
    """Write to standard output, whatever the names in it are made of."""
    _write(sys.stdout, text)


def _write(out: Any, text: str) -> None:
    if hasattr(out, "buffer"):
        out.flush()
        out.buffer.write(text.encode("utf-8", "surrogateescape"))
    else:
        out.write(text)
