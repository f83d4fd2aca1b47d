"""Tiles cover the grid, overlap, and fade into each other."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from generate.tiles import cut, fades


@given(st.integers(1, 60), st.integers(1, 60), st.integers(4, 20))
def test_tiles_cover_everything_and_their_shares_add_up(height: int, width: int, side: int) -> None:
    tiles = cut(height, width, side=side)
    total = torch.zeros(1, 1, height * 2, width * 2)
    for tile, fade in zip(tiles, fades(tiles, height, width, factor=2), strict=True):
        part = tile.of(total, factor=2)
        assert part.shape == fade.shape
        part += fade
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)


@pytest.mark.parametrize("length", [9, 17, 33, 50])
def test_neighbours_overlap_by_a_quarter(length: int) -> None:
    spans = [(tile.left, tile.right) for tile in cut(1, length, side=8)]
    assert all(end - start == 8 for start, end in spans)
    assert all(before[1] - after[0] >= 2 for before, after in pairwise(spans))
    assert (spans[0][0], spans[-1][1]) == (0, length)
