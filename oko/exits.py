"""Which error ends a command with which exit code."""

from __future__ import annotations

from library.errors import ConfigError, OkoError, UsageError

DONE = 0
FAILED = 1
WRONG_USAGE = 2
SOME_UNREADABLE = 3
INTERRUPTED = 130


def exit_code(error: OkoError) -> int:
    """1 when the operation failed, 2 when it was asked for wrongly."""
    return WRONG_USAGE if isinstance(error, UsageError | ConfigError) else FAILED
