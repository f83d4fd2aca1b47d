"""What a contrastive run is told, checked, with defaults that suit a laptop and a few hundred to thousand photos."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from library.errors import UsageError
from training.towers import Lock

LossName = Literal["clip", "siglip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOptions:
    """One run's options. Equal options on equal data and one machine give equal losses."""

    epochs: int = 15
    steps: int = 0  # 0: as many as the epochs have
    batch: int = 256
    piece: int = 256  # pairs that go through the towers at once
    lock: Lock = "image"
    unfreeze: int | None = None  # last groups of the image tower that learn; None: see make_towers
    loss: LossName = "clip"
    lr: float = 0.0  # 0: by the size of the model
    weight_decay: float = 0.1
    warmup: float = 0.1  # of all steps
    near: float = 1.0  # weight of the distance to the teacher's texts; 0: no teacher
    average: float = 0.0  # decay of the moving average of the weights; 0: the last step's weights
    keep: float = 0.0  # how much of the starting weights the result keeps
    views: int = 4  # of each photo, where the frozen layers' output is kept
    cached: bool = True
    precision: str = "auto"
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError for a value that makes no sense."""
        limits: dict[str, tuple[float, float]] = {
            "epochs": (1, 100_000),
            "batch": (2, 1_000_000),
            "piece": (1, 1_000_000),
            "lr": (0, 1),
            "near": (0, 1000),
            "average": (0, 0.99999),
            "keep": (0, 1),
            "views": (1, 64),
            "steps": (0, 10**9),
            "seed": (0, 2**31),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise UsageError(
                    f"--{name} must lie between {least:g} and {most:g}, not {getattr(self, name):g}"
                )
        if self.unfreeze is not None and self.unfreeze < 0:
            raise UsageError("--unfreeze must be 0 or more")

    def as_json(self) -> dict[str, Any]:
        """A plain object."""
        return dataclasses.asdict(self)


def usual_lr(parameters: int) -> float:
    """A learning rate by how many parameters learn: the larger the model, the smaller the steps that it bears.

    1e-5 at the 150 million of a ViT-B-32, the usual value for fine-tuning that; 2e-4 for the built-in model.
    """
    return float(min(5e-4, max(5e-6, 1.5e3 / max(1, parameters))))
