"""The log of a run as JSON Lines: settings, every step, every measurement, and what was passed over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from library.errors import DiskFull
from training.checkpoint import replacing


class Journal:
    """One object a line, each with its `kind`: start, step, measured, problem, end."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, **facts: Any) -> None:
        """A new log, in place of an older one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self.write("start", **facts)

    def cut(self, steps: int) -> None:
        """Forgets the lines after so many steps: they are about to be written again."""
        kept = [line for line in self.lines() if line.get("step", 0) <= steps and line["kind"] != "end"]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def write(self, kind: str, **facts: Any) -> None:
        """Adds a line. Raises DiskFull."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, **facts}) + "\n")
        except OSError as error:
            raise DiskFull(f"{self.path} could not be written: {error.strerror}") from error

    def lines(self, kind: str = "") -> Iterator[dict[str, Any]]:
        """The lines of one kind, or all; a last one that was cut off by a crash is left out."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            try:
                content = json.loads(line)
            except ValueError:
                continue
            if kind in ("", content["kind"]):
                yield content
