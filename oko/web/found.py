"""server.json: how the command line finds the server of a library. Light, for it is read at every search.

It is readable by the owner alone, and written whole or not at all. What a killed server leaves behind is told by its
process, which is gone, or by the answer of whatever listens there now, which cannot prove that it knows the token.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "server.json"


@dataclass(frozen=True, slots=True)
class Found:
    """A server that said where it is."""

    pid: int
    url: str
    token: str
    started_at: str  # ISO 8601, UTC
    version: str


def write(folder: Path, found: Found) -> None:
    """Say where the server is. Raises OSError."""
    temporary = folder / f"{NAME}.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    with open(
        temporary, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)
    ) as out:
        json.dump(asdict(found), out)
    os.replace(temporary, folder / NAME)


def remove(folder: Path, pid: int) -> None:
    """Take the file away if it is still that process's own."""
    found = read(folder)
    if found is not None and found.pid == pid:
        with contextlib.suppress(OSError):
            (folder / NAME).unlink()


def read(folder: Path) -> Found | None:
    """What is written there; None where nothing is, or nothing that makes sense."""
    try:
        values = json.loads((folder / NAME).read_text(encoding="utf-8"))
        found = Found(**{name: values[name] for name in Found.__slots__})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    texts = (found.url, found.token, found.started_at, found.version)
    is_sound = isinstance(found.pid, int) and found.pid > 0 and all(isinstance(text, str) for text in texts)
    return found if is_sound else None


def is_open_to_others(path: Path) -> bool:
    """Whether other people of this machine may read a file, and so the token in it, or put another one there."""
    if os.name != "posix":
        return False
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False


def is_running(pid: int) -> bool:
    """Whether there is such a process, as far as can be told without asking much."""
    if os.name == "nt":  # there os.kill(pid, 0) would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
