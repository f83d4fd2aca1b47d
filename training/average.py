"""Averages of weights: over the steps of a run, and between the model before and after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

Tensors = dict[str, "Tensor"]


class MovingAverage:
    """An exponential moving average of tensors: each step takes 1 - `decay` of the new values.

    It starts as a plain mean, so that the first values do not outweigh the rest. Source: Polyak & Juditsky 1992.
    """

    def __init__(self, tensors: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.values: Tensors = snapshot(tensors)
        self.steps = 0

    def update(self, tensors: Mapping[str, nn.Parameter]) -> None:
        """Takes one step's values in."""
        import torch

        self.steps += 1
        rate = max(1 - self.decay, 1 / self.steps)
        with torch.no_grad():
            for name, value in tensors.items():
                self.values[name].lerp_(value.detach(), rate)


def snapshot(tensors: Mapping[str, Tensor]) -> Tensors:
    """Copies that later steps do not change."""
    return {name: value.detach().clone() for name, value in tensors.items()}


def between(start: Mapping[str, Tensor], end: Mapping[str, Tensor], keep: float) -> Tensors:
    """`keep` (0 to 1) of the start's weights and the rest of the end's: what was known before is kept better.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (WiSE-FT).
    """
    return {name: value.lerp(start[name].to(value.device), keep) for name, value in end.items()}


def put(tensors: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    """Copies values into the parameters of the same names."""
    import torch

    with torch.no_grad():
        for name, parameter in tensors.items():
            parameter.copy_(values[name])
