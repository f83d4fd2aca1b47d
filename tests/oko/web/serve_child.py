"""`oko serve`, or the watcher beside it, in a process of its own with the fake model "one": no weights, no torch."""

from __future__ import annotations

import os
import sys

from library.fakes import FakeEncoder
from oko import assemble
from oko.cli import main
from oko.web import watcher

if __name__ == "__main__":
    fakes = {name: FakeEncoder(name=name) for name in ("one", "two")}
    assemble.make_encoder = lambda spec, config: fakes[spec.name]  # type: ignore[assignment, return-value]
    watcher.MODULE = "tests.oko.web.serve_child"
    code = main(sys.argv[1:]) if sys.argv[1] == "serve" else watcher.main(sys.argv[1:])
    os._exit(code)
