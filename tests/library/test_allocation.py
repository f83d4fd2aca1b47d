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


LEAVES_HOLES = """
import ctypes, psutil
from library.allocation import return_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
libc.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
blocks = [libc.malloc(60_000) for _ in range(3_000)]
for block in blocks:
    libc.memset(block, 1, 60_000)
for number, block in enumerate(blocks):
    if number % 10:
        libc.free(block)
before = psutil.Process().memory_info().rss
print(return_freed_memory())
print((before - psutil.Process().memory_info().rss) // 1_000_000)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the GNU C library's own way")
def test_what_lies_between_blocks_in_use_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", LEAVES_HOLES], capture_output=True, text=True, check=True)
    could, megabytes = done.stdout.split()
    if could != "True":
        pytest.skip("this C library cannot be asked")
    assert int(megabytes) > 100  # of the 162 that were freed
