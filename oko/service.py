"""`oko watch` as a service of the person's own: a systemd user unit, or a launchd agent on macOS."""

from __future__ import annotations

import hashlib
import os
import plistlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from library.errors import LibraryUnreadable, UsageError
from library.folder import default_folder, owners_alone
from library.records import display_path

UNIT_NAME = "oko-watch"
AGENT_NAME = "photos.oko.watch"
# What the service is given of the environment it was made in: the settings. The library is named in its words.
SETTINGS, NOT_TAKEN = "OKO_", frozenset({"OKO_HOME"})


@dataclass(frozen=True, slots=True)
class Service:
    """What is to be written, where, and how to start it."""

    path: Path
    text: str
    commands: tuple[str, ...]
    notes: tuple[str, ...]  # what else to know, such as how to be rid of it


def watch_service(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Service:
    """The service that runs `oko` with these words for the library in `folder`, for this platform.

    Raises UsageError for a name that a service's file cannot hold.
    """
    # -P: nothing is imported from the home folder, in which services begin.
    command = [sys.executable, "-P", "-m", "oko", *words]
    settings = {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith(SETTINGS) and name not in NOT_TAKEN
    }
    for text in (*command, str(folder), *settings.values()):
        _require_text(text)
    if sys.platform == "darwin":
        name = AGENT_NAME + _of_library(folder, environment, ".")
        path = Path.home() / "Library" / "LaunchAgents" / f"{name}.plist"
        remove = f"To be rid of it: launchctl unload -w '{path}' && rm '{path}'"
        agent = launchd_agent(command, name, settings, log_folder=folder)
        return Service(path, agent, (f"launchctl load -w '{path}'",), (remove,))
    name = UNIT_NAME + _of_library(folder, environment, "-") + ".service"
    base = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = base / "systemd" / "user" / name
    return Service(
        path,
        systemd_unit(command, settings),
        ("systemctl --user daemon-reload", f"systemctl --user enable --now {name}"),
        (
            "It runs while you are logged in; for always: loginctl enable-linger",
            f"To be rid of it: systemctl --user disable --now {name} && rm '{path}'",
        ),
    )


def _of_library(folder: Path, environment: Mapping[str, str], separator: str) -> str:
    """What tells the services of several libraries apart: nothing for the one that is used when none is named."""
    plain = {name: value for name, value in environment.items() if name not in NOT_TAKEN}
    if folder == default_folder(plain):
        return ""
    return separator + hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]


def _require_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise UsageError(
            f"the name {display_path(Path(text))} is no UTF-8, which a service's file cannot hold",
            hint="Rename it, or start oko watch by other means.",
        ) from e


def systemd_unit(command: Sequence[str], settings: Mapping[str, str]) -> str:
    """A systemd user unit that keeps the command running, with these settings in its environment."""
    lines = [
        f"Environment={_systemd_quoted(f'{name}={value}', dollar='$')}\n" for name, value in settings.items()
    ]
    return f"""\
[Unit]
Description=oko: keep photo folders searchable
Documentation=man:inotify(7)

[Service]
{"".join(lines)}ExecStart={" ".join(_systemd_quoted(word) for word in command)}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=30
RestartPreventExitStatus=2
TimeoutStopSec=120
Nice=10
IOSchedulingClass=idle

[Install]
WantedBy=default.target
"""


def _systemd_quoted(word: str, dollar: str = "$$") -> str:
    """A word as systemd reads it, `%` standing for itself (systemd.syntax(7)).

    So does `$`: doubled in a command line, plain in Environment= (systemd.exec(5)).
    """
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return '"' + text.replace("%", "%%").replace("$", dollar) + '"'


def launchd_agent(command: Sequence[str], name: str, settings: Mapping[str, str], *, log_folder: Path) -> str:
    """A launchd agent of that name that keeps the command running, with these settings in its environment."""
    agent = {
        "Label": name,
        "ProgramArguments": list(command),
        "EnvironmentVariables": dict(settings),
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
    """Write the service's file, for its owner's eyes alone: a database's address may hold a password.

    Raises LibraryUnreadable when that is not possible.
    """
    try:
        service.path.parent.mkdir(parents=True, exist_ok=True)
        with open(service.path, "w", encoding="utf-8", opener=owners_alone) as out:
            out.write(service.text)
    except OSError as e:
        raise LibraryUnreadable(
            f"{service.path} cannot be written: {e.strerror}",
            hint="Print it and put it in place yourself: oko watch --print-service",
        ) from e
