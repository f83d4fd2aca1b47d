"""library.packed: a packed tower gives what the plain one gives, and is left alone where packing does not help."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

from library import packed  # noqa: E402
from library.packed import PackedLinear, pack  # noqa: E402

FP32_TOLERANCE = 1e-5
BF16_COSINE = 0.999
# What trained attention does and fresh weights do not: it looks at few places.
SHARPER = 3.0


def tower(**changes: Any) -> Any:
    """open_clip's own vision transformer, small, with random weights."""
    torch.manual_seed(3)
    size = {"image_size": 64, "patch_size": 16, "width": 128, "layers": 3, "heads": 2, "output_dim": 64}
    made = open_clip.transformer.VisionTransformer(**{**size, "mlp_ratio": 4.0, **changes}).eval()
    for block in made.transformer.resblocks:
        block.attn.in_proj_weight.data[:256] *= SHARPER
        torch.nn.init.normal_(block.attn.in_proj_bias, std=0.1)
    return made.requires_grad_(False)


def pictures(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def worthwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packing wherever it is possible, whether or not it is faster on this machine."""
    try:
        PackedLinear(torch.ones(64, 64), None)(torch.ones(1, 64))
    except (RuntimeError, AttributeError, NotImplementedError):
        pytest.skip("this torch has no packed layers")
    monkeypatch.setattr(packed, "_is_worth_it", lambda dtype: True)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pool_type": "avg"},
        {"final_ln_after_pool": True},
        {"ls_init_value": 0.5},
        {"attentional_pool": True, "attn_pooler_heads": 2},
        {"act_layer": open_clip.transformer.QuickGELU},
        {"no_ln_pre": True, "layers": 2},
    ],
)
@pytest.mark.usefixtures("worthwhile")
def test_a_packed_tower_is_the_tower(changes: dict[str, Any]) -> None:
    plain, fast = tower(**changes), tower(**changes)
    assert pack(fast)
    with torch.inference_mode():
        expected, found = plain(pictures()), fast(pictures())
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= FP32_TOLERANCE * float(expected.abs().max())


@pytest.mark.usefixtures("worthwhile")
def test_bfloat16_packed_is_as_near_as_plain() -> None:
    exact = tower()
    plain = copy.deepcopy(exact).bfloat16()
    fast = copy.deepcopy(plain)
    assert pack(fast)
    with torch.inference_mode():
        expected = exact(pictures(8))
        found = [part(pictures(8).bfloat16()).float() for part in (plain, fast)]
    near = [float(torch.cosine_similarity(each, expected).min()) for each in found]
    assert near[1] >= BF16_COSINE
    assert 1 - near[1] <= 2 * (1 - near[0]) + 1e-4


@pytest.mark.usefixtures("worthwhile")
def test_a_tower_that_gives_its_tokens_keeps_them() -> None:
    plain, fast = tower(output_tokens=True), tower(output_tokens=True)
    assert pack(fast)
    with torch.inference_mode():
        for expected, found in zip(plain(pictures()), fast(pictures()), strict=True):
            assert float((found - expected).abs().max()) <= FP32_TOLERANCE * float(expected.abs().max())


@pytest.mark.usefixtures("worthwhile")
def test_other_transformers_have_their_linear_layers_packed() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(5)
    plain = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0).eval().requires_grad_(False)
    fast = copy.deepcopy(plain)
    assert pack(fast)
    assert any(isinstance(part, PackedLinear) for part in fast.modules())
    with torch.inference_mode():
        expected = plain(pictures())
        assert float((fast(pictures()) - expected).abs().max()) <= FP32_TOLERANCE * float(
            expected.abs().max()
        )


@pytest.mark.usefixtures("worthwhile")
def test_convolutional_towers_are_left_alone() -> None:
    convolutions = torch.nn.Sequential(
        torch.nn.Conv2d(3, 128, 3), torch.nn.Flatten(), torch.nn.Linear(128, 64)
    )
    assert not pack(convolutions)
    assert type(convolutions[2]) is torch.nn.Linear


def test_a_torch_without_packed_layers_keeps_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(packed, "PackedLinear", refuse)
    plain = tower()
    assert not pack(plain)
    assert type(plain.transformer.resblocks[0].mlp.c_fc) is torch.nn.Linear


@pytest.mark.parametrize(("packed_s", "worth_it"), [(0.5, True), (0.95, False), (2.0, False)])
@pytest.mark.usefixtures("worthwhile")
def test_packing_has_to_pay(monkeypatch: pytest.MonkeyPatch, packed_s: float, worth_it: bool) -> None:
    monkeypatch.undo()
    times = iter((1.0, packed_s))
    monkeypatch.setattr(packed, "_fastest_s", lambda call: next(times))
    assert pack(tower()) is worth_it


def test_double_precision_is_left_alone() -> None:
    assert not pack(tower().double())
