"""What is freed is kept: the system has to hand out far fewer pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from library.allocation import keep_freed_memory

if "keep" in sys.argv:
    print(keep_freed_memory())
for _ in range(2):
    np.ones(8_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(8_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*words: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the GNU C library's own way")
def test_freed_blocks_are_used_again() -> None:
    could, kept = faults("keep")
    if could != "True":
        pytest.skip("this C library does not let freed memory be kept")
    (usual,) = faults()
    assert int(usual) > 1000
    assert int(kept) < int(usual) / 20
