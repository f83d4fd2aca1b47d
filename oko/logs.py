"""The log of commands that run for long: plain lines, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

FORMATS = ("text", "json")
OURS = ("oko", "indexer", "library", "search")


class JsonFormatter(logging.Formatter):
    """One object: time (UTC), level, logger, message, whatever `extra={"data": {...}}` holds, and errors in full."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "data", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


def set_up_log(format: str, *, quiet: bool) -> None:
    """Log to standard error in that format, from what is done on (with `quiet`: from what goes wrong)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter()
        if format == "json"
        else logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    if root.level > logging.DEBUG:
        for name in OURS:
            logging.getLogger(name).setLevel(logging.WARNING if quiet else logging.INFO)
