"""Where painting starts: random codes, or a picture (noise, gradients, fractal clouds, one of the user's)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from generate.vqgan import VQGAN

Start = Literal["codes", "noise", "gradient", "fractal", "image"]
STARTS: tuple[Start, ...] = ("codes", "noise", "gradient", "fractal", "image")
_CLOUD_OCTAVES = 7


def start_picture(kind: Start, *, width: int, height: int, generator: torch.Generator) -> Tensor:
    """A picture to start from, (1, 3, H, W) float32 in 0..1. `generator` is on the CPU. Not for codes and image."""
    draw = {"noise": _noise, "gradient": _gradient, "fractal": _fractal}[kind]
    return draw(width, height, generator)


def random_codes(vqgan: VQGAN, *, width: int, height: int, generator: torch.Generator) -> Tensor:
    """A random entry of the codebook at each place, (1, D, h, w)."""
    shape = (1, height // vqgan.factor, width // vqgan.factor)
    indices = torch.randint(len(vqgan.codebook), shape, generator=generator)  # (1, h, w)
    return vqgan.codes_of(indices.to(vqgan.codebook.device))


def _noise(width: int, height: int, generator: torch.Generator) -> Tensor:
    return torch.rand(1, 3, height, width, generator=generator)


def _gradient(width: int, height: int, generator: torch.Generator) -> Tensor:
    """For each colour a linear slope in a random direction."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    angle = torch.rand(3, 1, 1, generator=generator) * 2 * torch.pi
    slope = x * angle.cos() + y * angle.sin()  # (3, H, W)
    low, high = slope.amin((1, 2), keepdim=True), slope.amax((1, 2), keepdim=True)
    return ((slope - low) / (high - low))[None]


def _fractal(width: int, height: int, generator: torch.Generator) -> Tensor:
    """Clouds: noise of ever finer grain, each grain half as strong as the one before (Perlin 1985, section on 1/f)."""
    clouds = torch.zeros(1, 3, height, width)
    for octave in range(_CLOUD_OCTAVES):
        cells = 2 ** (octave + 1)
        grain = torch.rand(1, 3, min(cells + 1, height), min(cells + 1, width), generator=generator)  # coarse
        clouds += F.interpolate(grain, (height, width), mode="bicubic", align_corners=True) / 2**octave
    low, high = clouds.amin((2, 3), keepdim=True), clouds.amax((2, 3), keepdim=True)
    return (clouds - low) / (high - low)
