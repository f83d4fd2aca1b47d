"""`oko --help` and `import oko` feel instant: they load no engine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.house.source import ROOT

HEAVY = {
    "torch",
    "torchvision",
    "faiss",
    "open_clip",
    "sqlalchemy",
    "PIL",
    "huggingface_hub",
    "transformers",
    "scipy",
}

HELP = """
import sys
sys.argv = ["oko", "--help"]
from oko.cli import main
try:
    code = main()
except SystemExit as e:
    code = e.code
assert not code, f"oko --help exits with {code}"
"""
REPORT = """
import json, sys
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


@pytest.mark.parametrize("script", ["import oko", HELP], ids=["import oko", "oko --help"])
def test_loads_no_engine(script: str) -> None:
    run = subprocess.run([sys.executable, "-c", script + REPORT], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    loaded = set(json.loads(run.stderr.splitlines()[-1]))
    assert "oko" in loaded
    assert loaded & HEAVY == set()
