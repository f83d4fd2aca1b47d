"""The parts of a VQGAN's training against plain references: codebook, losses, recipes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from generate.vqgan import VQGAN
from library.errors import UsageError
from library.presets import ModelSpec
from tests.training import shapes
from tests.training.test_vqgan import NETWORK, OPTIONS
from training.crops import Crops
from training.vqgan_codebook import CodebookKeeper
from training.vqgan_learner import VQGANLearner
from training.vqgan_losses import Discriminator, Features, adaptive_weight, hinge_loss
from training.vqgan_options import RECIPES, recipe_of, with_changes


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_codebook_starts_from_groups_of_what_was_said() -> None:
    model = VQGAN(dataclasses.replace(NETWORK, n_embed=4, l2_norm=False))
    keeper = CodebookKeeper(model)
    centres = 10 * torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    z = (centres.repeat(64, 1) + 0.1 * torch.randn(256, 4, generator=random())).T.reshape(1, 4, 16, 16)
    keeper.note(z, torch.zeros(1, 16, 16, dtype=torch.int64), random())
    codes = keeper.start_codes(random(3))
    nearest = torch.cdist(codes, centres).argmin(1)
    assert float(torch.cdist(codes, centres).min(1).values.max()) < 8  # each is a mean of sound vectors
    assert len(nearest.unique()) >= 3
    assert torch.equal(keeper.start_codes(random(3)), codes)


def test_codes_out_of_use_get_a_new_place() -> None:
    model = VQGAN(dataclasses.replace(NETWORK, n_embed=4))
    keeper = CodebookKeeper(model)
    rows, _ = keeper.revive(random())
    assert len(rows) == 0
    z = torch.randn(1, 4, 8, 8, generator=random())
    used = torch.tensor([0, 2]).repeat(32).reshape(1, 8, 8)
    for step in range(400):
        keeper.note(z, used, random(step))
    rows, places = keeper.revive(random())
    assert rows.tolist() == [1, 3]
    torch.testing.assert_close(places.norm(dim=1), torch.ones(2))
    said = torch.nn.functional.normalize(z, dim=1).movedim(1, 3).reshape(-1, 4)
    assert float(torch.cdist(places, said).min(1).values.max()) < 1e-3
    assert len(keeper.revive(random())[0]) == 0  # they have a while to come into use


def test_moved_codes_lose_their_momentum() -> None:
    torch.manual_seed(0)
    learner = VQGANLearner(VQGAN(NETWORK), None, dataclasses.replace(OPTIONS, unquantised=0, steps=100))
    for step in range(3):
        learner.learn(Crops(step, torch.rand(2, 3, 16, 16, generator=random(step)) * 2 - 1))
    assert learner.keeper is not None
    moments = learner._optimiser.state[learner.keeper.parameter]
    used = torch.nonzero(moments["exp_avg"].abs().sum(1)).flatten()[:1]
    learner._place(used, torch.full((1, 4), 0.5))
    assert float(moments["exp_avg"][used].abs().sum()) == 0
    assert torch.equal(learner.keeper.parameter[used].detach(), torch.full((1, 4), 0.5))


def test_hinge_loss() -> None:
    loss = hinge_loss(torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0]))
    assert float(loss) == pytest.approx(((0 + 0.5 + 2) / 3 + (0 + 1) / 2) / 2)


def test_adaptive_weight() -> None:
    assert float(adaptive_weight(torch.tensor([3.0, 4.0]), torch.tensor([0.5, 0.0]))) == pytest.approx(
        10, rel=1e-3
    )
    assert float(adaptive_weight(torch.ones(3), torch.zeros(3))) == 1e4


def test_gradients_are_those_of_the_sum_of_the_losses() -> None:
    """The shared way back gives what equation 6 gives when it is differentiated as it stands."""
    torch.manual_seed(0)
    options = dataclasses.replace(OPTIONS, unquantised=0, adversarial_from=0.0)
    model = VQGAN(dataclasses.replace(NETWORK, dropout=0.0))
    learner = VQGANLearner(model, None, options)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    _, made, quantized = learner._through(images, 0)
    losses = learner._backward(images, made, quantized, 0)
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    made, quantized = model(images)
    likeness = (images - made).abs().mean()
    fooling = -learner.discriminator(made).mean()
    last: Any = model.decoder.conv_out
    slopes = [torch.autograd.grad(part, last.weight, retain_graph=True)[0] for part in (likeness, fooling)]
    weight = 0.8 * adaptive_weight(*slopes)
    (likeness + weight * fooling + quantized.loss).backward()
    assert losses.weight == pytest.approx(float(weight), rel=1e-4)
    for name, value in model.named_parameters():
        assert value.grad is not None
        torch.testing.assert_close(found[name], value.grad, atol=1e-5, rtol=1e-3)


def test_the_discriminator_judges_patches() -> None:
    judged = Discriminator(8, 3)(torch.zeros(2, 3, 256, 256))
    assert judged.shape == (2, 1, 30, 30)  # as in the paper: 70 x 70 pixels each
    # Names as in the authors' checkpoints.
    assert "main.11.bias" in Discriminator(8, 3).state_dict()


def test_features_tell_near_from_far(tiny: ModelSpec) -> None:
    features = Features(shapes.loaded(tiny), crop=16)
    images = torch.rand(2, 3, 16, 16, generator=random()) * 2 - 1
    near, far = images + 0.01, -images
    assert float(features.distance(images, images)) == pytest.approx(0, abs=1e-6)
    assert float(features.distance(images, near)) < float(features.distance(images, far))
    made = near.clone().requires_grad_(True)
    features.distance(images, made).backward()
    assert made.grad is not None
    assert float(made.grad.abs().sum()) > 0


def test_recipes_can_be_built_and_changed() -> None:
    for recipe in RECIPES.values():
        recipe.network.check()
        recipe.options.check(recipe.network)
    changed = with_changes(recipe_of("small"), ["n_embed=64", "lr=0.5", "ch_mult=1,2", "l2_norm=false"])
    assert (changed.network.n_embed, changed.network.ch_mult, changed.network.l2_norm) == (64, (1, 2), False)
    assert changed.options.lr == 0.5
    for wrong in ("colour=red", "n_embed=many", "ch=31"):
        with pytest.raises(UsageError):
            with_changes(recipe_of("small"), [wrong])
    with pytest.raises(UsageError, match="no recipe 'large'"):
        recipe_of("large")


def test_the_built_in_network_is_small() -> None:
    with torch.device("meta"):
        model = VQGAN(RECIPES["builtin"].network)
    assert sum(value.numel() * 2 for value in model.parameters()) < 12_000_000
