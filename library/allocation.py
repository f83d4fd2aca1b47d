"""What the C library does with memory that was freed: keeps it for a while of computing, or gives it back after one."""

from __future__ import annotations

import ctypes
import logging
import sys

log = logging.getLogger(__name__)

# malloc.h of the GNU C library
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_MOST = 2**31 - 1
_AHEAD_BYTES = 256 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Lets this process keep what it frees, for what it needs next; whether that could be set.

    The GNU C library gives every large block back to the system, which has to fill the next one with zeros, page by
    page. Keeping them, a step of painting with the built-in networks took 0.7 of the processor's time (median of three,
    two cores of an AMD EPYC, no more memory at its peak). Only for a process that ends when its work is done: until
    then it holds the most that it ever needed.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    wanted = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _MOST), (_M_TOP_PAD, _AHEAD_BYTES))
    taken = [mallopt(which, value) == 1 for which, value in wanted]
    if not all(taken):
        log.debug("the C library does not let freed memory be kept")
    return all(taken)


def return_freed_memory() -> bool:
    """Gives the system back what was freed and lies between blocks in use; whether that could be asked for.

    The GNU C library does so by itself only for what lies at the end of a heap, and batches of photos leave ever more
    behind: `oko watch` with the built-in model came to keep 270 MB beside 280 MB in use. Takes some milliseconds. Only
    for a process that lives long and is idle now: what it needs next is handed out anew.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # another C library
        return False
    trim(0)
    return True
