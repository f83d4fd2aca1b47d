"""What is made small, against plain formulae."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from generate.losses import (
    clamped,
    palette_loss,
    prompt_loss,
    saturation_loss,
    smoothness_loss,
    spherical_distance,
    symmetry_loss,
)


def unit(*values: float) -> torch.Tensor:
    return F.normalize(torch.tensor(values, dtype=torch.float32), dim=0)


@pytest.mark.parametrize("degrees", [1, 30, 90, 150, 179])
def test_spherical_distance_is_half_the_squared_angle(degrees: float) -> None:
    angle = math.radians(degrees)
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([math.cos(angle), math.sin(angle)])
    assert float(spherical_distance(a, b)) == pytest.approx(angle**2 / 2, rel=1e-3)


@pytest.mark.parametrize("other", [unit(1, 2, 3), unit(-1, -2, -3)], ids=["same", "opposite"])
def test_its_slope_is_finite_everywhere(other: torch.Tensor) -> None:
    a = unit(1, 2, 3).requires_grad_()
    spherical_distance(a, other).backward()
    assert a.grad is not None
    assert bool(torch.isfinite(a.grad).all())


def test_negative_weights_push_away() -> None:
    a, b = unit(1, 0.2).requires_grad_(), unit(0, 1)
    near = prompt_loss(a[None], b, weight=2, stop=None)
    far = prompt_loss(a[None], b, weight=-2, stop=None)
    assert float(near.detach()) == pytest.approx(-float(far.detach()))
    assert float(near.detach()) == pytest.approx(2 * float(spherical_distance(a.detach(), b)))


def test_a_stop_ends_the_pull_and_keeps_the_value() -> None:
    cutouts = torch.stack([unit(1, 0.1), unit(0.1, 1)]).requires_grad_()
    target = unit(1, 0)
    loss = prompt_loss(
        cutouts, target, weight=1, stop=0.5
    )  # the first is nearer than that, the second is not
    free = prompt_loss(cutouts, target, weight=1, stop=None)
    assert float(loss.detach()) == pytest.approx(float(free.detach()))
    loss.backward()
    assert cutouts.grad is not None
    assert float(cutouts.grad[0].abs().sum()) == 0
    assert float(cutouts.grad[1].abs().sum()) > 0


def test_what_is_clamped_can_come_back() -> None:
    x = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    clamped(x).backward(torch.tensor([1.0, 1.0, 1.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1]  # a positive gradient makes x smaller, which only helps from above
    assert clamped(x).tolist() == [0, 0.5, 1]


def test_pictures_are_judged_as_they_look() -> None:
    grey = torch.full((1, 3, 8, 8), 0.5)
    noise = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert float(smoothness_loss(grey)) == 0 < float(smoothness_loss(noise))
    assert float(symmetry_loss(torch.cat([noise, noise.flip(3)], 3))) == 0 < float(symmetry_loss(noise))
    assert float(saturation_loss(noise)) < float(saturation_loss(grey))
    palette = torch.tensor([[0.5, 0.5, 0.5], [1.0, 0.0, 0.0]])
    assert float(palette_loss(grey, palette)) == 0 < float(palette_loss(noise, palette))
    assert float(palette_loss(grey, palette[1:])) == pytest.approx(0.75)
