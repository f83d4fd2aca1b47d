"""`python -m oko`."""

import os
import signal
import sys

IS_WATCH = sys.argv[1:2] == ["watch"]
if IS_WATCH and hasattr(signal, "SIGHUP"):
    # What asks a watcher to read its settings again must not kill one that has yet to read them for the first time.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

from oko.cli import main  # noqa: E402

code = main()
if IS_WATCH:
    # All is saved and closed. Python would look once more through all that a model's libraries made: for seconds, while
    # a machine that shuts down waits.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
sys.exit(code)
