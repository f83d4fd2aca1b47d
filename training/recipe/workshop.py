"""The folder in which a rebuild keeps the result of each step, under a key of all that the step depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training import checkpoint
from training.run import Progress

FORMAT = 1  # raised when the code of a step changes what it makes
Told = Callable[[Progress], None]


def key_of(*parts: Any) -> str:
    """Equal for equal parts, which JSON can write."""
    text = json.dumps([FORMAT, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Results that are there are not made again."""

    folder: Path
    told: Told = lambda progress: None

    def file(self, name: str, key: str, ending: str = "pt") -> Path:
        """Where something is kept."""
        return self.folder / f"{name}-{key}.{ending}"

    def kept(self, name: str, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `make` gives (tensors, numbers, texts), from the folder if it was made before.

        Raises WeightsInvalid for a damaged file, DiskFull, and what `make` raises.
        """
        file = self.file(name, key)
        if not file.exists():
            checkpoint.save(file, make())
        return checkpoint.load(file)

    def teller(self, phase: str, total: int) -> Callable[[int], None]:
        """Tells how much of a phase is done."""
        return lambda done: self.told(Progress(phase, done, total))
