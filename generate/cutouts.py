"""Cutouts: what CLIP gets to see of a picture, many random views at once, all in one call of the sampler.

Every view is one projective map, so cropping, turning, tilting and resizing are a single bilinear sampling. A view
much larger than CLIP's input is sampled from a picture that was halved before, or it would flicker.

Two kinds, after the two programs that made this way of painting known:

    crops    parts (60 %) and whole views (40 %), tilted, with shifted colours and noise (as pixray does)
    pooled   the whole picture, its average and its brightest pixels in equal parts, turned, tilted, recoloured,
             partly erased (as VQGAN-CLIP's default does; it crops nothing)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

CutoutKind = Literal["crops", "pooled"]
CUTOUT_KINDS: tuple[CutoutKind, ...] = ("crops", "pooled")

NOISE = 0.1  # the greatest standard deviation, as in both programs
_PARTS_SHARE = 0.6
_JITTER_SHARE = 0.7
_DEEPEST = 6  # halvings


@dataclass(frozen=True, slots=True)
class Views:
    """N random views, drawn on the CPU: what is seen where, and in which colours."""

    maps: Tensor  # (N, 3, 3): from the view's own coordinates to the picture's, both -1..1
    colours: Tensor  # (N, 3, 4): what is done with RGB; the last column is added
    erased: Tensor  # (N, 4): left, top, right, bottom in -1..1; left = right erases nothing
    noise: Tensor  # (N,): standard deviation
    levels: tuple[int, ...]  # how often the picture is halved before

    def __len__(self) -> int:
        return len(self.levels)

    def pieces(self, size: int) -> Iterator[Views]:
        """The views in order, at most `size` at a time."""
        for at in range(0, len(self), size):
            cut = slice(at, at + size)
            yield Views(
                self.maps[cut], self.colours[cut], self.erased[cut], self.noise[cut], self.levels[cut]
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """What views are drawn for: `count` of them, `side_px` wide and high, of pictures of `width` x `height`.

    `power` below 1 makes large parts more frequent, above 1 small ones.
    """

    count: int
    side_px: int
    width: int
    height: int
    kind: CutoutKind = "crops"
    power: float = 1.0

    def draw(self, generator: torch.Generator) -> Views:
        """The views of one step. `generator` is on the CPU."""
        make = {"crops": self._crops, "pooled": self._pooled}[self.kind]
        return make(generator)

    def _crops(self, generator: torch.Generator) -> Views:
        rand = _Drawn(self.count, generator)
        is_part = torch.arange(self.count) < round(self.count * _PARTS_SHARE)
        short, long = sorted((self.width, self.height))
        share = 0.5 + 0.47 * rand.share().pow(self.power)  # of the side: 0.25 to 0.95 of the area
        part_px = short * share
        whole_px = short + (long - short) * rand.share() + 0.1 * short * rand.share()
        side_px = torch.where(is_part, part_px, whole_px)  # (N,)
        tilt = torch.where(is_part, 0.2, 0.1) * rand.sometimes(_JITTER_SHARE)
        turn = torch.where(is_part, 0.0, 15.0) * rand.around()
        maps = (
            self._placed(side_px, rand)
            @ _turned(turn.deg2rad())
            @ _tilted(tilt * rand.around(), tilt * rand.around())
        )
        levels = tuple(_level(float(px) / self.side_px) for px in side_px)
        return Views(maps, _jittered(rand), torch.zeros(self.count, 4), NOISE * rand.share(), levels)

    def _pooled(self, generator: torch.Generator) -> Views:
        rand = _Drawn(self.count, generator)
        affine = rand.sometimes(_JITTER_SHARE)
        tilt = 0.25 * rand.sometimes(_JITTER_SHARE)
        maps = (
            _moved(0.2 * affine * rand.around(), 0.2 * affine * rand.around())
            @ _turned((15.0 * affine * rand.around()).deg2rad())
            @ _tilted(tilt * rand.around(), tilt * rand.around())
        )
        return Views(maps, _jittered(rand), _boxes(rand), NOISE * rand.share(), (0,) * self.count)

    def _placed(self, side_px: Tensor, rand: _Drawn) -> Tensor:
        """(N, 3, 3): squares of so many pixels somewhere inside the picture, or around its middle."""
        across, down = side_px / self.width, side_px / self.height
        x = (1 - across).clamp(min=0) * rand.around()
        y = (1 - down).clamp(min=0) * rand.around()
        maps = torch.zeros(self.count, 3, 3)
        maps[:, 0, 0], maps[:, 1, 1], maps[:, 2, 2] = across, down, 1.0
        maps[:, 0, 2], maps[:, 1, 2] = x, y
        return maps

    def source(self, picture: Tensor) -> Tensor:
        """What all views sample: the picture (1, 3, H, W), or its pooled form (1, 3, side, side)."""
        if self.kind == "crops":
            return picture
        size = (self.side_px, self.side_px)
        return (F.adaptive_avg_pool2d(picture, size) + F.adaptive_max_pool2d(picture, size)) / 2


class _Drawn:
    """Random numbers, one a view."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self._count = count
        self._generator = generator

    def share(self) -> Tensor:
        """(N,) in 0..1."""
        return torch.rand(self._count, generator=self._generator)

    def around(self) -> Tensor:
        """(N,) in -1..1."""
        return self.share() * 2 - 1

    def sometimes(self, share: float) -> Tensor:
        """(N,): 1 with the probability `share`, else 0."""
        return (self.share() < share).float()


def _level(ratio: float) -> int:
    """How often to halve a picture of which `ratio` pixels fall on one of the view."""
    level = 0
    while ratio > 1.5 and level < _DEEPEST:
        ratio /= 2
        level += 1
    return level


def _identity(count: int) -> Tensor:
    return torch.eye(3).repeat(count, 1, 1)


def _moved(x: Tensor, y: Tensor) -> Tensor:
    maps = _identity(len(x))
    maps[:, 0, 2], maps[:, 1, 2] = x, y
    return maps


def _turned(angle: Tensor) -> Tensor:
    maps = _identity(len(angle))
    maps[:, 0, 0] = maps[:, 1, 1] = angle.cos()
    maps[:, 0, 1], maps[:, 1, 0] = -angle.sin(), angle.sin()
    return maps


def _tilted(x: Tensor, y: Tensor) -> Tensor:
    maps = _identity(len(x))
    maps[:, 2, 0], maps[:, 2, 1] = x, y
    return maps


def _jittered(rand: _Drawn) -> Tensor:
    """(N, 3, 4): hue, saturation, contrast and brightness shifted by up to a tenth, in most views.

    Hue turns and saturation scales the plane beside the grey axis of YIQ.
    """
    on = 0.1 * rand.sometimes(_JITTER_SHARE)
    hue = 2 * torch.pi * on * rand.around()
    saturation, contrast = 1 + on * rand.around(), 1 + on * rand.around()
    brightness = on * rand.around()
    turn = _identity(len(on))
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * hue.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -saturation * hue.sin(), saturation * hue.sin()
    to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    mixed = torch.linalg.inv(to_yiq) @ turn @ to_yiq * contrast[:, None, None]  # (N, 3, 3)
    middle = 0.5 - (mixed * 0.5).sum(2)  # grey stays grey when contrast changes
    return torch.cat([mixed, (middle + brightness[:, None])[:, :, None]], dim=2)


def _boxes(rand: _Drawn) -> Tensor:
    """(N, 4): in most views a box of a tenth to four tenths of the area is erased."""
    area = (0.1 + 0.3 * rand.share()) * rand.sometimes(_JITTER_SHARE)
    ratio = torch.exp(rand.around() * 1.2)  # 0.3 to 3.3
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    x, y = (1 - width) * rand.around(), (1 - height) * rand.around()
    return torch.stack([x - width, y - height, x + width, y + height], dim=1)


@cache
def _corners(side_px: int, device: torch.device) -> Tensor:
    """(side * side, 3): the middle of each pixel of a view, row by row, as (x, y, 1) in -1..1."""
    line = (torch.arange(side_px, device=device) * 2 + 1) / side_px - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=2).reshape(-1, 3)


def sample(source: Tensor, views: Views, *, side_px: int, generator: torch.Generator) -> Tensor:
    """The views of a picture: source (1, 3, H, W) in 0..1 -> (N, 3, side, side), about 0..1, grouped by level.

    `generator` lives on the picture's device and makes the noise. What lies outside the picture is its reflection.
    """
    found = []
    halved = source
    for level in range(max(views.levels) + 1):
        if level:
            halved = F.avg_pool2d(halved, 2, ceil_mode=True)
        rows = [row for row, own in enumerate(views.levels) if own == level]
        if rows:
            found.append(_sampled(halved, views, rows, side_px))
    seen = torch.cat(found) if len(found) > 1 else found[0]  # (N, 3, side, side)
    strength = (
        views.noise.to(seen.device)[:, None, None, None] * 12**0.5
    )  # a uniform draw's deviation is 1/sqrt(12)
    noise = torch.rand(seen.shape, generator=generator, device=seen.device) - 0.5
    return torch.addcmul(seen, noise, strength)


def _sampled(source: Tensor, views: Views, rows: list[int], side_px: int) -> Tensor:
    """(n, 3, side, side). The views lie below each other in one grid: the picture need not be copied for each."""
    device, count = source.device, len(rows)
    at = _corners(side_px, device) @ views.maps[rows].to(device).transpose(1, 2)  # (n, side^2, 3)
    grid = (at[..., :2] / at[..., 2:]).reshape(1, count * side_px, side_px, 2)
    seen = F.grid_sample(
        source, grid, padding_mode="reflection", align_corners=False
    )  # (1, 3, n * side, side)
    flat = seen.reshape(3, count, side_px * side_px).transpose(0, 1)  # (n, 3, side^2)
    colours = views.colours[rows].to(device)
    mixed = torch.baddbmm(colours[:, :, 3:], colours[:, :, :3], flat)  # (n, 3, side^2)
    return (mixed * _kept(views.erased[rows], side_px, device)).reshape(count, 3, side_px, side_px)


def _kept(boxes: Tensor, side_px: int, device: torch.device) -> Tensor:
    """(n, 1, side^2): 0 inside each view's box, else 1."""
    x, y = _corners(side_px, device)[:, 0], _corners(side_px, device)[:, 1]  # (side^2,)
    left, top, right, bottom = boxes.to(device)[:, :, None].unbind(1)  # (n, 1) each
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)  # (n, side^2)
    return (~inside).float()[:, None]
