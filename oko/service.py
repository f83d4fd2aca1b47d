"""`oko watch` as a service of the person's own: a systemd user unit, or a launchd agent on macOS."""

from __future__ import annotations

import os
import plistlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from library.errors import LibraryUnreadable

UNIT_NAME = "oko-watch.service"
AGENT_NAME = "photos.oko.watch"


@dataclass(frozen=True, slots=True)
class Service:
    """What is to be written, where, and how to start it."""

    path: Path
    text: str
    commands: tuple[str, ...]


def watch_service(words: Sequence[str], *, log_folder: Path) -> Service:
    """The service that runs `oko` with these words, for this platform."""
    command = [sys.executable, "-m", "oko", *words]
    if sys.platform == "darwin":
        path = Path.home() / "Library" / "LaunchAgents" / f"{AGENT_NAME}.plist"
        return Service(path, launchd_agent(command, log_folder), (f"launchctl load -w '{path}'",))
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    commands = ("systemctl --user daemon-reload", f"systemctl --user enable --now {UNIT_NAME}")
    return Service(base / "systemd" / "user" / UNIT_NAME, systemd_unit(command), commands)


def systemd_unit(command: Sequence[str]) -> str:
    """A systemd user unit that keeps the command running."""
    return f"""\
[Unit]
Description=oko: keep photo folders searchable
Documentation=man:inotify(7)

[Service]
ExecStart={" ".join(map(_systemd_quoted, command))}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=30
RestartPreventExitStatus=2
TimeoutStopSec=120
Nice=10
IOSchedulingClass=idle

[Install]
WantedBy=default.target
"""


def _systemd_quoted(word: str) -> str:
    """A word as systemd reads it: `%` and `$` stand for themselves (systemd.service(5), "Command lines")."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return '"' + text.replace("%", "%%").replace("$", "$$") + '"'


def launchd_agent(command: Sequence[str], log_folder: Path) -> str:
    """A launchd agent that keeps the command running."""
    agent = {
        "Label": AGENT_NAME,
        "ProgramArguments": list(command),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "ProcessType": "Background",
        "LowPriorityIO": True,
        "Nice": 10,
        "StandardErrorPath": str(log_folder / "watch.log"),
    }
    return plistlib.dumps(agent).decode()


def install(service: Service) -> None:
    """Write the service's file. Raises LibraryUnreadable when that is not possible."""
    try:
        service.path.parent.mkdir(parents=True, exist_ok=True)
        service.path.write_text(service.text, encoding="utf-8")
    except OSError as e:
        raise LibraryUnreadable(
            f"{service.path} cannot be written: {e.strerror}",
            hint="Print it and put it in place yourself: oko watch --print-service",
        ) from e
