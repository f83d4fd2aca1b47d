"""What is made small while painting: distances to prompts, and what a picture itself should be like.

Pictures are (1, 3, H, W) float32 in 0..1, vectors (N, D) float32 with L2 norm 1. Nothing here changes its arguments.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

_ALMOST_ONE = 1 - 1e-6  # the slope of arcsin is infinite at 1


def spherical_distance(a: Tensor, b: Tensor) -> Tensor:
    """Half the square of the angle between unit vectors: (..., D), (..., D) -> (...), 0 to pi^2/2.

    Source: Crowson et al. 2022, "VQGAN-CLIP", section 3; there it is written 2 arcsin(|a - b| / 2)^2.
    """
    half_chord = (a - b).norm(dim=-1).div(2).clamp(max=_ALMOST_ONE)
    return cast(Tensor, half_chord.arcsin().pow(2).mul(2))


def prompt_loss(vectors: Tensor, target: Tensor, *, weight: float, stop: float | None) -> Tensor:
    """How far cutouts (N, D) are from one wish (D,): a scalar, times |weight|; negative for a negative weight.

    Its value is true to the distance, but no gradient comes from cutouts whose signed distance is below `stop`.
    """
    signed = spherical_distance(vectors, target) * (1.0 if weight > 0 else -1.0)  # (N,)
    if stop is not None:
        held = signed.clamp(min=stop)
        signed = held + (signed - held).detach()
    return signed.mean() * abs(weight)


class _ClampKeepingWayBack(torch.autograd.Function):
    """A clamp that lets those gradients through that lead back into the range."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        clamped = x.clamp(low, high)
        ctx.save_for_backward(x - clamped)
        return clamped

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (outside,) = ctx.saved_tensors
        (grad,) = grads
        return grad * (grad * outside >= 0), None, None


def clamped(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """x within low..high, any shape; what lies outside can still be pulled back in by its gradient."""
    return cast(Tensor, _ClampKeepingWayBack.apply(x, low, high))


def smoothness_loss(picture: Tensor) -> Tensor:
    """Mean difference between neighbours. Source: total variation, Rudin, Osher, Fatemi 1992."""
    across = (picture[..., 1:] - picture[..., :-1]).abs().mean()
    down = (picture[..., 1:, :] - picture[..., :-1, :]).abs().mean()
    return across + down


def symmetry_loss(picture: Tensor) -> Tensor:
    """Mean squared difference to the mirrored picture."""
    return F.mse_loss(picture, picture.flip(3))


def saturation_loss(picture: Tensor) -> Tensor:
    """Colourfulness, negated. Source: Hasler, Suesstrunk 2003, "Measuring colourfulness in natural images", M3."""
    red, green, blue = picture[0]  # (H, W) each
    rg, yb = red - green, (red + green) / 2 - blue
    spread = (rg.var() + yb.var() + 1e-8).sqrt()
    offset = (rg.mean().square() + yb.mean().square() + 1e-8).sqrt()
    return cast(Tensor, -(spread + 0.3 * offset))


def palette_loss(picture: Tensor, palette: Tensor) -> Tensor:
    """Mean squared distance of each pixel to the nearest of P colours (P, 3) in 0..1."""
    apart = (picture - palette[:, :, None, None]).square().sum(1)  # (P, H, W)
    return apart.amin(0).mean()
