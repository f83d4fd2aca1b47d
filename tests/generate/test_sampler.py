"""The painter: it comes nearer to its prompts, repeats itself bit for bit, goes on where it was left, stays small."""

from __future__ import annotations

import io
from dataclasses import replace

import psutil
import pytest
import torch

from generate.prompts import parse_story
from generate.recipe import OPTIMISERS, Canvas, Course, Means, Motion, Optimiser, Recipe, Sight, Taste
from generate.sampler import Materials
from generate.starts import STARTS, Start, start_picture
from library.clip import ClipModel
from library.errors import UsageError
from tests.generate.small_networks import Perceptor, small_painter, small_recipe, targets


def painted(recipe: Recipe, clip: ClipModel) -> torch.Tensor:
    painter = small_painter(recipe, clip)
    for _ in painter.steps():
        pass
    return painter.picture()


def test_it_comes_nearer_to_the_prompt(clip: ClipModel) -> None:
    recipe = small_recipe(steps=60)
    losses = [step.loss for step in small_painter(recipe, clip).steps()]
    assert sum(losses[-10:]) < sum(losses[:10]) - 0.5


def test_same_seed_same_picture_bit_for_bit(clip: ClipModel) -> None:
    recipe = small_recipe("a red circle | grey:-0.5:-0.1 ^ a blue bar")
    first = painted(recipe, clip)
    assert first.shape == (3, 32, 48)
    assert 0 <= float(first.min()) < float(first.max()) <= 1
    torch.manual_seed(99)  # the global generator plays no part
    assert torch.equal(painted(recipe, clip), first)
    other = replace(recipe, course=replace(recipe.course, seed="2"))
    assert not torch.equal(painted(other, clip), first)


def test_a_run_goes_on_to_the_identical_picture(clip: ClipModel) -> None:
    recipe = small_recipe(
        "a ^ b",
        steps=9,
        motion=Motion(every=4, zoom=1.1, pan_x_px=2.0),
        canvas=Canvas(width=48, height=32, keep=1.0),
    )
    whole = painted(recipe, clip)
    painter = small_painter(recipe, clip)
    for step in painter.steps():
        if step.number == 5:
            break
    kept = io.BytesIO()
    torch.save(painter.state(), kept)
    kept.seek(0)
    again = small_painter(recipe, clip)
    again.restore(torch.load(kept, weights_only=True))
    assert [step.number for step in again.steps()] == [6, 7, 8, 9]
    assert torch.equal(again.picture(), whole)


@pytest.mark.parametrize("start", [start for start in STARTS if start not in ("image", "codes")])
def test_every_start_is_drawn_from_the_seed(start: Start) -> None:
    def begun(seed: int) -> torch.Tensor:
        return start_picture(start, width=48, height=32, generator=torch.Generator().manual_seed(seed))

    first = begun(1)
    assert first.shape == (1, 3, 32, 48)
    assert 0 <= float(first.min()) < 0.1 < 0.9 < float(first.max()) <= 1
    assert torch.equal(begun(1), first)
    assert not torch.equal(begun(2), first)


@pytest.mark.parametrize("start", STARTS)
def test_painting_begins_with_every_start(start: Start, clip: ClipModel) -> None:
    recipe = small_recipe(steps=2, canvas=Canvas(width=48, height=32, start=start))
    wanted = targets([Perceptor(clip)], recipe)
    painter = small_painter(recipe, clip, Materials(wanted, image=torch.rand(1, 3, 32, 48)))
    assert [step.number for step in painter.steps()] == [1, 2]


def test_a_picture_as_start_needs_one(clip: ClipModel) -> None:
    recipe = small_recipe(canvas=Canvas(width=48, height=32, start="image"))
    with pytest.raises(UsageError, match="none was given"):
        small_painter(recipe, clip)
    wanted = targets([Perceptor(clip)], recipe)
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    first = small_painter(recipe, clip, Materials(wanted, image=image)).picture()
    other = small_painter(recipe, clip, Materials(wanted, image=1 - image)).picture()
    assert not torch.equal(first, other)


def test_the_pull_to_the_start_keeps_the_picture_near_it(clip: ClipModel) -> None:
    def moved(keep: float) -> float:
        canvas = Canvas(width=48, height=32, keep=keep, keep_decay=0.0)
        painter = small_painter(small_recipe(steps=25, canvas=canvas), clip)
        before = painter.picture()
        list(painter.steps())
        return float((painter.picture() - before).abs().mean())

    assert moved(1000.0) < 0.7 * moved(0.0)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_every_optimiser_moves(optimiser: Optimiser, clip: ClipModel) -> None:
    recipe = small_recipe(course=Course(steps=7, optimiser=optimiser))
    painter = small_painter(recipe, clip)
    before = painter.state()["codes"]
    list(painter.steps())
    assert float((painter.state()["codes"] - before).abs().mean()) > 1e-3


def test_cutouts_in_pieces_recomputing_and_tiles_paint_nearly_the_same(clip: ClipModel) -> None:
    """One step each: later ones amplify the differences of rounding."""
    recipe = small_recipe(steps=1, sight=Sight(cutouts=6, kind="pooled"))
    whole = painted(replace(recipe, means=Means(piece=6)), clip)
    for means in (Means(piece=6, recompute=True), Means(piece=6, tile=12)):
        assert float((painted(replace(recipe, means=means), clip) - whole).abs().max()) < 1e-3
    tiled = painted(replace(recipe, means=Means(piece=6, tile=6)), clip)
    assert bool(torch.isfinite(tiled).all())


def test_spots_are_painted_inside_the_mask_only(clip: ClipModel) -> None:
    recipe = small_recipe(scenes=(*parse_story("red", region="spot"),), canvas=Canvas(width=96, height=96))
    mask = torch.zeros(1, 1, 96, 96)
    mask[:, :, 64:, 64:] = 1
    wanted = targets([Perceptor(clip)], recipe)
    painter = small_painter(recipe, clip, Materials(wanted, mask=mask))
    before = painter._codes.detach().clone()
    painter._optimiser.zero_grad()
    picture = painter._easel.picture(painter._codes)
    leaf = picture.detach().requires_grad_()
    painter._looked_at(leaf)
    assert leaf.grad is not None
    assert float(leaf.grad[:, :, :60].abs().sum()) == 0 < float(leaf.grad[:, :, 66:, 66:].abs().sum())
    assert torch.equal(painter._codes.detach(), before)


def test_tastes_have_their_way(clip: ClipModel) -> None:
    def after(taste: Taste) -> torch.Tensor:
        return painted(small_recipe(steps=20, taste=taste), clip)

    plain = after(Taste())
    symmetric = after(Taste(symmetry=100.0))
    assert float((symmetric - symmetric.flip(2)).abs().mean()) < float((plain - plain.flip(2)).abs().mean())
    red = after(Taste(palette=((1.0, 0.0, 0.0),), palette_weight=50.0))
    assert float(red[0].mean() - red[2].mean()) > float(plain[0].mean() - plain[2].mean())
    smooth = after(Taste(smoothness=50.0))
    assert float(smooth.diff(dim=2).abs().mean()) < float(plain.diff(dim=2).abs().mean())


def test_rates_drop_and_a_settled_picture_ends_early(clip: ClipModel) -> None:
    recipe = small_recipe(course=Course(steps=100, learning_rate=1e-6, early_stop=4, drops=(0.02,)))
    painter = small_painter(recipe, clip)
    rates = [painter._optimiser.param_groups[0]["lr"] for _ in painter.steps()]
    assert painter.done < 100
    assert rates[2] == pytest.approx(rates[1] / 10)


def test_two_models_judge_together(clip: ClipModel) -> None:
    from generate.easel import Easel
    from generate.sampler import Painter
    from tests.generate.small_networks import small_vqgan

    recipe = small_recipe(steps=2, sight=Sight(perceptors=("tiny", "tiny"), cutouts=4))
    both = [Perceptor(clip), Perceptor(clip)]
    easel = Easel.set_up(small_vqgan(), device="cpu", precision="fp32")
    painter = Painter(recipe, easel, both, Materials(targets(both, recipe)))
    losses = [step.loss for step in painter.steps()]
    assert len(losses) == 2
    assert 0 < losses[0] < 5


def test_memory_stays_flat_over_500_steps(clip: ClipModel) -> None:
    process = psutil.Process()
    painter = small_painter(small_recipe(steps=500, sight=Sight(cutouts=2)), clip)
    sizes = {}
    for step in painter.steps():
        if step.number in (100, 500):
            sizes[step.number] = process.memory_info().rss
    assert sizes[500] - sizes[100] < 8_000_000


def test_half_precision_points_the_same_way(
    tmp_path_factory: pytest.TempPathFactory, clip: ClipModel
) -> None:
    from tests.generate.small_networks import small_clip

    def gradient(model: ClipModel, precision: str) -> torch.Tensor:
        means = Means(piece=16, precision=precision)  # type: ignore[arg-type]
        painter = small_painter(small_recipe(sight=Sight(cutouts=16), means=means), model)
        painter._optimiser.step = lambda *_: None  # type: ignore[method-assign,assignment]
        painter._paint()
        assert painter._codes.grad is not None
        return painter._codes.grad.flatten()

    half = small_clip(tmp_path_factory.mktemp("half"), "bf16")
    exact, rough = gradient(clip, "fp32"), gradient(half, "bf16")
    assert float(torch.nn.functional.cosine_similarity(exact, rough, dim=0)) > 0.95
