"""The network against plain references: attention, quantiser, gradients, and shapes."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from generate.vqgan import (
    VQGAN,
    AttnBlock,
    Quantized,
    VectorQuantizer,
    VQGANConfig,
    nearest_indices,
    perplexity,
    straight_through,
)
from tests.generate.networks import TINY, made, pictures

GUMBEL = dataclasses.replace(TINY, quantizer="gumbel", embed_dim=8, kl_weight=0.1)
UNIT = dataclasses.replace(TINY, l2_norm=True)
PATCHES = dataclasses.replace(TINY, patch=2, ch_mult=(2,))


@pytest.mark.parametrize("config", [TINY, GUMBEL, UNIT, PATCHES], ids=["vq", "gumbel", "unit", "patches"])
def test_shapes(config: VQGANConfig) -> None:
    model, images = made(config), pictures(2, 24)
    z = model.encode(images)
    quantized: Quantized = model.quantize(z)
    assert model.factor == 2
    assert z.shape == quantized.codes.shape == (2, config.embed_dim, 12, 12)
    assert quantized.indices.shape == (2, 12, 12)
    assert quantized.indices.dtype == torch.int64
    assert quantized.loss.shape == quantized.perplexity.shape == ()
    assert model.codebook.shape == (config.n_embed, config.embed_dim)
    torch.testing.assert_close(model.codes_of(quantized.indices), quantized.codes, atol=1e-5, rtol=0)
    assert model.decode(quantized.codes).shape == images.shape
    again, same = model(images)
    assert torch.equal(again, model.decode(same.codes))
    assert torch.equal(same.indices, quantized.indices)


def test_pictures_of_other_sides() -> None:
    model = made()
    assert model(pictures(1, 22))[0].shape == (1, 3, 22, 22)
    with pytest.raises(ValueError, match="21 x 21 pixels are no multiples of 2"):
        model.encode(pictures(1, 21))


def plain_attention(block: AttnBlock, x: Tensor) -> Tensor:
    """Section 4 of "Attention is all you need", with every product written out."""
    n, c, h, w = x.shape
    normed = block.norm(x)
    q, k, v = (layer(normed).reshape(n, c, h * w) for layer in (block.q, block.k, block.v))
    scores = torch.einsum("nci,ncj->nij", q, k) / math.sqrt(c)
    seen = torch.einsum("nij,ncj->nci", scores.softmax(2), v).reshape(n, c, h, w)
    return x + torch.as_tensor(block.proj_out(seen))


def test_attention_is_the_plain_one() -> None:
    torch.manual_seed(0)
    block, x = AttnBlock(TINY, 16), torch.randn(2, 16, 5, 7)
    torch.testing.assert_close(block(x), plain_attention(block, x), atol=1e-6, rtol=1e-5)


def test_the_nearest_code_is_the_nearest() -> None:
    torch.manual_seed(0)
    z, codebook = torch.randn(2, 6, 3, 4), torch.randn(16, 6)
    found = nearest_indices(z, codebook)
    for n, y, x in ((0, 0, 0), (1, 2, 3), (0, 1, 2)):
        distances = [(z[n, :, y, x] - code).norm() for code in codebook]
        assert int(found[n, y, x]) == int(torch.stack(distances).argmin())
    entries = codebook[found].movedim(3, 1)
    assert torch.equal(nearest_indices(entries, codebook), found)


def test_gradients_go_straight_through() -> None:
    model = made()
    z = torch.randn(1, 6, 4, 4, requires_grad=True)
    weights = torch.randn(1, 6, 4, 4)
    (model.quantize(z).codes * weights).sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, weights)
    z.grad = None
    (model.nearest(z) * weights).sum().backward()
    torch.testing.assert_close(z.grad, weights)
    torch.testing.assert_close(model.nearest(z), model.quantize(z).codes)
    assert torch.equal(straight_through(z, z + 1).detach(), (z + 1).detach())


@pytest.mark.parametrize("legacy", [True, False])
def test_which_term_of_the_loss_beta_weighs(legacy: bool) -> None:
    quantizer = VectorQuantizer(dataclasses.replace(TINY, legacy=legacy, beta=0.25))
    z = torch.randn(1, 6, 2, 2, requires_grad=True)
    codes = torch.randn(1, 6, 2, 2, requires_grad=True)
    loss = quantizer.loss(z, codes)
    torch.testing.assert_close(loss, 1.25 * F.mse_loss(z, codes))
    loss.backward()
    towards_code, towards_z = z.grad, codes.grad
    assert towards_code is not None
    assert towards_z is not None
    # As the released weights were trained, the codes follow with beta; in the paper the encoder commits with it.
    ratio = float(towards_z.norm() / towards_code.norm())
    assert ratio == pytest.approx(0.25 if legacy else 4.0)


def test_codes_of_length_one() -> None:
    model = made(UNIT)
    torch.testing.assert_close(model.codebook.norm(dim=1), torch.ones(16))
    z = 7 * torch.randn(1, 6, 3, 3)
    torch.testing.assert_close(model.quantize(z).codes.norm(dim=1), torch.ones(1, 3, 3))
    assert torch.equal(model.quantize(z).indices, model.quantize(100 * z).indices)


def test_gumbel_draws_while_it_learns_only() -> None:
    model, images = made(GUMBEL), pictures()
    z = model.encode(images).detach()
    assert torch.equal(model.quantize(z).indices, model.quantize(z).indices)
    model.train()
    torch.manual_seed(0)
    first = model.quantize(z)
    second = model.quantize(z)
    assert not torch.equal(first.indices, second.indices)
    torch.testing.assert_close(model.codes_of(first.indices), first.codes, atol=1e-5, rtol=0)


def test_gumbel_gradients_reach_the_scores() -> None:
    model = made(GUMBEL)
    z = model.encode(pictures())
    model.quantize(z).codes.square().sum().backward()
    assert float(dict(model.named_parameters())["quantize.proj.weight"].grad.abs().sum()) > 0
    # An even choice of codes has no divergence from one.
    even = torch.zeros(1, 8, 2, 2)
    with torch.no_grad():
        model.quantize.proj.weight.zero_()
        model.quantize.proj.bias.zero_()
    assert float(model.quantize(even).loss.detach()) == pytest.approx(0, abs=1e-5)


def test_perplexity() -> None:
    assert float(perplexity(torch.arange(8), 32)) == pytest.approx(8, rel=1e-3)
    assert float(perplexity(torch.zeros(5, dtype=torch.int64), 32)) == pytest.approx(1, rel=1e-3)


def test_less_memory_gives_the_same() -> None:
    model, images = made(), pictures()

    def gradient() -> Tensor:
        model.zero_grad()
        (model(images)[0] - images).abs().mean().backward()
        found = dict(model.named_parameters())["decoder.up.1.block.0.conv1.weight"].grad
        assert found is not None
        return found.clone()

    plain = gradient()
    model.saves_memory = True
    assert torch.equal(gradient(), plain)


def test_halves_are_near() -> None:
    model, images = made(), pictures()
    with torch.no_grad():
        z = model.encode(images)
        wanted = model.decode(z)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model.decode(z)
    assert float((found.float() - wanted).abs().max()) < 0.05


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"in_channels": 183, "out_ch": 183}, "not for RGB"),
        ({"double_z": True}, "without a codebook"),
        ({"ch": 10}, "no multiples of 4"),
        ({"n_embed": 0}, "n_embed is 0"),
        ({"ch_mult": ()}, "ch_mult"),
        ({"quantizer": "gumbel"}, "z_channels equal to embed_dim"),
        ({"quantizer": "ema"}, "not vq or gumbel"),
    ],
)
def test_what_cannot_be_built(change: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        VQGAN(dataclasses.replace(TINY, **change))


def test_configurations_survive_json() -> None:
    assert VQGANConfig.from_json(UNIT.as_json()) == UNIT
    with pytest.raises(TypeError):
        VQGANConfig.from_json({"chh": 3})
