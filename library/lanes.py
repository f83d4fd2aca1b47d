"""A batch on a processor, its parts side by side: each core takes photos of its own.

torch shares out every single operation instead, and all cores wait for the last at the end of each: wherever another
program, or a thread that decodes, takes a core for a moment, the others stand still. Parts meet once a batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

F32 = NDArray[np.float32]

_LEAST = 4  # photos; fewer a lane do not fill its core


class Lanes:
    """Threads that each compute a part of a batch. Any thread may call; threads are made at the first need."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._threads = 0

    def run(self, function: Callable[[torch.Tensor], F32], batch: torch.Tensor) -> F32:
        """`function` of the parts of a batch (N, ...) on the processor, joined: (N, D) float32.

        Raises what `function` raises. A batch too small to share is done at once, by torch's own means.
        """
        import torch

        pool = self._made()
        lanes = min(self._threads, len(batch) // _LEAST)
        if lanes < 2:
            return function(batch)
        each = self._threads // lanes

        def part_of(part: torch.Tensor) -> F32:
            if torch.get_num_threads() != each:
                torch.set_num_threads(each)
            with torch.inference_mode():  # which belongs to a thread
                return function(part)

        try:
            return np.concatenate(list(pool.map(part_of, batch.tensor_split(lanes))))
        finally:
            # A lane's number is also what torch gives to threads that are new to it.
            torch.set_num_threads(self._threads)

    def close(self) -> None:
        """Ends the threads; `run` makes new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _made(self) -> ThreadPoolExecutor:
        import torch

        with self._lock:
            if self._pool is None:
                self._threads = torch.get_num_threads()
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="oko-lane")
            return self._pool
