"""`oko` with the deterministic encoder in a process of its own, for tests that drive or kill a watcher.

    python -m tests.e2e.watch_child LOG WORD...

Runs the command with these words. The number of pictures of each batch is appended to LOG before its vectors are
returned.
"""

from __future__ import annotations

import sys
from pathlib import Path

from oko import assemble
from oko.cli import main
from tests.e2e.index_child import LoggedEncoder


def run(log: Path, words: list[str]) -> int:
    encoder = LoggedEncoder()
    encoder.log = log
    assemble.make_encoder = lambda spec, config: encoder
    return main(words)


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
