"""Tiles: a grid of codes cut into overlapping pieces, and the pieces' pictures faded into one.

A tile's picture is not what the whole decoder would paint there: attention and group norms see the tile alone. Fading
over the overlap hides the seams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Tile:
    """Part of a grid: rows top to bottom, columns left to right, in codes."""

    top: int
    left: int
    bottom: int
    right: int

    def of(self, codes: Tensor, *, factor: int = 1) -> Tensor:
        """Its part of (N, D, h, w); with `factor` that of a picture (N, 3, H, W)."""
        rows = slice(self.top * factor, self.bottom * factor)
        columns = slice(self.left * factor, self.right * factor)
        return codes[:, :, rows, columns]


def cut(height: int, width: int, *, side: int) -> list[Tile]:
    """Tiles of `side` codes (fewer where the grid is smaller) that cover the grid and overlap by a quarter at least."""
    return [
        Tile(top, left, bottom, right)
        for top, bottom in _spans(height, side)
        for left, right in _spans(width, side)
    ]


def _spans(length: int, side: int) -> Iterator[tuple[int, int]]:
    if length <= side:
        yield 0, length
        return
    step = max(1, side - max(1, side // 4))
    count = -(-(length - side) // step) + 1
    for i in range(count):
        start = round(i * (length - side) / (count - 1))
        yield start, start + side


def fades(tiles: list[Tile], height: int, width: int, *, factor: int) -> list[Tensor]:
    """How much of each tile's picture goes into each pixel, (1, 1, H, W) of the tile each; they add up to 1."""
    whole = torch.zeros(1, 1, height * factor, width * factor)
    ramps = [_ramp(tile, factor) for tile in tiles]
    for tile, ramp in zip(tiles, ramps, strict=True):
        tile.of(whole, factor=factor).add_(ramp)
    return [ramp / tile.of(whole, factor=factor) for tile, ramp in zip(tiles, ramps, strict=True)]


def _ramp(tile: Tile, factor: int) -> Tensor:
    """Highest in the middle, falling to nearly nothing at the edges, (1, 1, H, W)."""
    down, across = (
        _triangle((end - start) * factor) for start, end in ((tile.top, tile.bottom), (tile.left, tile.right))
    )
    return (down[:, None] * across[None, :])[None, None]


def _triangle(length: int) -> Tensor:
    at = torch.arange(length) + 0.5
    return torch.minimum(at, length - at) / length
