"""A file's own time as a date, for photos that do not say themselves when they were taken."""

from __future__ import annotations

from datetime import datetime


def local_time(mtime_ns: int | None) -> str | None:
    """ISO 8601 in this machine's time zone, to the second, like the time of a camera; None for what no clock shows."""
    if mtime_ns is None:
        return None
    try:
        return datetime.fromtimestamp(mtime_ns // 1_000_000_000).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return None
