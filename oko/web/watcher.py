"""`oko serve --watch`: the watcher beside the server, in a process of its own that ends with it.

In a process for the same reasons as a job: see `desk`. It notices that the server is gone, however that came about, by
the end of its standard input, which only the server holds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from oko import jobs
from oko.context import Context

MODULE = "oko.web.watcher"
GRACE_S = 0.7  # the server ends within a second; what the watcher has in flight is kept anyway


@contextlib.contextmanager
def watching(context: Context, words: Sequence[str]) -> Iterator[None]:
    """Watch all known folders meanwhile, unless somebody does already, which is said."""
    other = jobs.read_job(context.folder, "watch")
    if other is not None and other["running"]:
        context.note(f"The folders are being watched already, by process {other['pid']}.")
        yield
        return
    # -P: what is imported is never a file of the folder that the person happens to be in.
    command = [sys.executable, "-P", "-m", MODULE, "--library", str(context.folder), "--quiet", *words]
    places = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is the server's affair
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
    ) as child:
        over = threading.Event()
        threading.Thread(target=_tell_end, args=(context, child, over), daemon=True).start()
        try:
            yield
        finally:
            over.set()
            _end(child)


def _tell_end(context: Context, child: subprocess.Popen[bytes], over: threading.Event) -> None:
    code = child.wait()
    if not over.is_set():
        context.note(
            f"The watcher has ended (exit code {code}); the page goes on without it. "
            "What went wrong: oko status. Start it again: oko watch"
        )


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()  # a batch is one transaction: nothing is lost but what was in flight
        child.wait()


def main(argv: Sequence[str]) -> int:
    """The process beside the server: `oko watch` with these words, until standard input ends."""
    from oko.cli import main as command

    threading.Thread(target=_end_with_input, daemon=True).start()
    return command(["watch", *argv])


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    os._exit(code)  # as `python -m oko watch` ends: see there
