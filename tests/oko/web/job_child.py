"""A process that tells about itself as `oko index` does, and does what it is told on standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from oko.jobs import Job


def main(folder: str, kind: str) -> int:
    job: Job | None = None
    for line in sys.stdin:
        command, *values = line.split(maxsplit=1)
        job = job or Job(Path(folder), kind)
        if command == "done":
            done, total = map(int, values[0].split())
            job.tell(at_once=True, phase="index", done=done, total=total)
        elif command == "end":
            job.end("done")
            return 0
        elif command == "fail":
            job.end("failed", error=values[0].strip())
            return 1
        sys.stdout.write("told\n")
        sys.stdout.flush()
    return 7


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
