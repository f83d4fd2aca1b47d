"""Views: what they show, that gradients reach the whole picture, and that equal seeds draw equal views."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from generate.cutouts import CUTOUT_KINDS, CutoutKind, Lens, Views, sample

LENS = Lens(count=40, side_px=16, width=48, height=32)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plain(views: Views) -> Views:
    """The same places, without colours, noise and holes."""
    colours = torch.eye(3, 4).repeat(len(views), 1, 1)
    return replace(views, colours=colours, noise=torch.zeros(len(views)), erased=torch.zeros(len(views), 4))


@pytest.mark.parametrize("kind", CUTOUT_KINDS)
def test_views_are_pictures_of_the_right_size(kind: CutoutKind) -> None:
    lens = replace(LENS, kind=kind)
    picture = torch.rand(1, 3, 32, 48, generator=generator())
    views = lens.draw(generator())
    seen = sample(lens.source(picture), views, side_px=16, generator=generator())
    assert seen.shape == (40, 3, 16, 16)
    assert bool(torch.isfinite(seen).all())
    assert -0.6 < float(seen.min()) < float(seen.max()) < 1.6


@pytest.mark.parametrize("kind", CUTOUT_KINDS)
def test_gradients_reach_nearly_every_pixel(kind: CutoutKind) -> None:
    lens = replace(LENS, kind=kind)
    picture = torch.rand(1, 3, 32, 48, generator=generator()).requires_grad_()
    seen = sample(lens.source(picture), lens.draw(generator()), side_px=16, generator=generator())
    seen.square().mean().backward()
    assert picture.grad is not None
    share = float((picture.grad != 0).float().mean())
    assert share > (0.95 if kind == "crops" else 0.6)  # pooling takes the brightest, and the average of all


def test_equal_seeds_equal_views() -> None:
    first, again, other = (LENS.draw(generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.maps, again.maps)
    assert torch.equal(first.colours, again.colours)
    assert not torch.equal(first.maps, other.maps)


def test_pieces_show_the_same_as_all_at_once() -> None:
    picture = torch.rand(1, 3, 32, 32, generator=generator())
    views = plain(
        replace(LENS, side_px=32, width=32).draw(generator())
    )  # no picture is halved, so the order stays
    whole = sample(picture, views, side_px=32, generator=generator())
    parts = [sample(picture, piece, side_px=32, generator=generator()) for piece in views.pieces(7)]
    assert [len(part) for part in parts] == [7, 7, 7, 7, 7, 5]
    assert torch.equal(torch.cat(parts), whole)


def test_a_view_of_all_is_the_picture() -> None:
    picture = torch.rand(1, 3, 16, 16, generator=generator())
    views = Views(torch.eye(3)[None], torch.eye(3, 4)[None], torch.zeros(1, 4), torch.zeros(1), (0,))
    assert torch.allclose(sample(picture, views, side_px=16, generator=generator()), picture, atol=1e-6)


def test_large_views_do_not_flicker() -> None:
    """A fine checkerboard seen from afar is grey, not a random pattern."""
    board = ((torch.arange(256)[:, None] + torch.arange(256)) % 2).float().expand(1, 3, 256, 256)
    lens = Lens(count=12, side_px=32, width=256, height=256)
    seen = sample(board, plain(lens.draw(generator())), side_px=32, generator=generator())
    assert float((seen - 0.5).abs().max()) < 0.05


def test_grey_stays_grey_and_boxes_are_black() -> None:
    lens = replace(LENS, kind="pooled", count=200)
    views = lens.draw(generator())
    grey = torch.full((1, 3, 32, 48), 0.5)
    quiet = replace(views, noise=torch.zeros(200), erased=torch.zeros(200, 4))
    seen = sample(lens.source(grey), quiet, side_px=16, generator=generator())
    assert float((seen.amax(1) - seen.amin(1)).max()) < 0.01
    assert float((seen - 0.5).abs().max()) < 0.11
    erased = sample(lens.source(grey), replace(quiet, erased=views.erased), side_px=16, generator=generator())
    share = float((erased == 0).all(1).float().mean())
    assert 0.1 < share < 0.25  # 0.7 of the views, a quarter each on average


@pytest.mark.parametrize(("power", "less"), [(0.3, False), (3.0, True)])
def test_the_power_chooses_how_large_parts_are(power: float, less: bool) -> None:
    def size(lens: Lens) -> float:
        return float(lens.draw(generator()).maps[: lens.count // 2].abs().amax((1, 2)).mean())

    lens = replace(LENS, count=200, width=64, height=64)
    scale = [
        float(torch.linalg.det(one.draw(generator()).maps[:120]).mean())
        for one in (lens, replace(lens, power=power))
    ]
    assert (scale[1] < scale[0]) == less
    assert size(lens) > 0
