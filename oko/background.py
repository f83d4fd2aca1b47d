"""`oko index --background`: the same command in a process of its own, which tells `oko status` about itself."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from library.errors import LibraryLocked, UsageError
from library.folder import create_folder
from oko import assemble, exits, jobs
from oko.context import Context
from oko.words import command_words


def start(
    args: argparse.Namespace, context: Context, options: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Start indexing and return. What is wrong with the arguments is said here and now, as UsageError."""
    if args.dry_run:
        raise UsageError("--dry-run and --background contradict each other", hint="Leave one of them out.")
    assemble.check_paths(context.folder, context.config, args.paths)
    create_folder(context.folder)
    other = jobs.read_job(context.folder, "index")
    if other is not None and other["running"]:
        raise LibraryLocked(
            f"process {other['pid']} is indexing already, since {other['started_at']}",
            hint="How far: oko status",
        )
    words = ["index", "--library", str(context.folder), "--quiet"]
    if args.config is not None:
        words += ["--config", str(args.config.expanduser().absolute())]
    words += command_words(args, options, without=("background", "json"))
    child = _spawn(context.folder, words)
    if args.json:
        context.result(json.dumps({"pid": child.pid}))
    context.note(
        f"Indexing in the background, process {child.pid}. How far: oko status. To stop it: kill {child.pid}"
    )


def spawn(folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """Run a command in a process and a session of its own; its job file tells how far it is, and why it failed."""
    # -P: what is imported is never a file of the folder that the person happens to be in.
    command = [sys.executable, "-P", "-m", "oko.background", str(folder), *words]
    # Wherever this oko was found, the other process finds it, too.
    places = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
    )


def _spawn(folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    child = spawn(folder, words)
    child.returncode = 0  # it outlives us on purpose, which subprocess would warn of
    return child


def main(argv: list[str]) -> int:
    """The process in the background: `argv` is the library folder and the command's words."""
    from oko.cli import main as command

    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that what is in flight is finished and reported
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal may close
    folder, *words = argv
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = command(words)
    if code not in (exits.DONE, exits.SOME_UNREADABLE, exits.INTERRUPTED):
        _tell_failure(Path(folder), words[0], said.getvalue().strip() or f"exit code {code}")
    return code


def _tell_failure(folder: Path, kind: str, error: str) -> None:
    """Of two that were started at once, the one that came too late must not speak for the one at work."""
    other = jobs.read_job(folder, kind)
    if other is None or not other["running"] or other["pid"] == os.getpid():
        jobs.Job(folder, kind).end("failed", error=error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
