"""Layers that were replaced for speed say what they said, and send back the gradient they sent back."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate import perceptors
from generate.backward import quicken
from generate.perceptors import Perceptor
from library.clip import load_clip
from library.presets import BUILTIN


class Tower(nn.Module):
    """What CLIP's vision transformers are made of: patches, then attention."""

    def __init__(self, **patches: int | str) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, **patches)  # type: ignore[arg-type]
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pictures (N, 3, H, W) -> (N, 64)."""
        places = self.patches(x).flatten(2).transpose(1, 2)
        seen, _ = self.attention(places, places, places, need_weights=False, attn_mask=mask)
        return torch.as_tensor(seen + places).mean(1)


def there_and_back(module: nn.Module, pictures: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    given = pictures.clone().requires_grad_()
    vectors = module(given).float()
    (slope,) = torch.autograd.grad((vectors * wanted).sum(), given)
    return vectors.detach(), slope


def likeness(a: Tensor, b: Tensor) -> float:
    """The least cosine of the rows."""
    return float(F.cosine_similarity(a.float().flatten(1), b.float().flatten(1)).min())


@pytest.mark.parametrize(
    "patches",
    [
        {"kernel_size": 16, "stride": 16, "bias": False},
        {"kernel_size": 16, "stride": 16, "padding": "valid"},
        {"kernel_size": 16, "stride": 8},
        {"kernel_size": 16, "stride": 16, "padding": 4},
    ],
)
def test_a_vision_transformer_says_the_same(patches: dict[str, int | str]) -> None:
    torch.manual_seed(0)
    plain = Tower(**patches)
    pictures, wanted = torch.rand(3, 3, 70, 100), torch.randn(3, 64)
    exact = there_and_back(plain, pictures, wanted)
    quick = copy.deepcopy(plain)
    quicken(quick)
    for ours, theirs in zip(there_and_back(quick, pictures, wanted), exact, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    quick.bfloat16()
    for ours, theirs in zip(there_and_back(quick, pictures.bfloat16(), wanted), exact, strict=True):
        assert likeness(ours, theirs) > 0.999


def test_what_is_replaced() -> None:
    tower = Tower(kernel_size=16, stride=16)
    quicken(tower)
    assert "forward" in vars(tower.patches)
    assert "forward" in vars(tower.attention)
    overlapping = Tower(kernel_size=16, stride=8)
    quicken(overlapping)
    assert "forward" not in vars(overlapping.patches)


def test_a_mask_holds_and_many_places_stay_with_the_fused_kernel() -> None:
    torch.manual_seed(0)
    plain = Tower(kernel_size=8, stride=8)
    quick = copy.deepcopy(plain)
    quicken(quick)
    mask = torch.full((16, 16), float("-inf")).triu(1)
    pictures = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(quick(pictures, mask), plain(pictures, mask))
    assert quick.attention(*[torch.rand(1, 301, 64)] * 3, need_weights=False)[1] is None


def test_the_built_in_model_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen() -> tuple[Tensor, Tensor, set[torch.dtype]]:
        perceptor = Perceptor(load_clip(BUILTIN, device="cpu", precision="bf16", inference=True))
        given = cutouts.clone().requires_grad_()
        vectors = perceptor.see(given)
        (slope,) = torch.autograd.grad((vectors * wanted).sum(), given)
        convolutions = [part for part in perceptor.clip.module.modules() if isinstance(part, nn.Conv2d)]
        formats = {part.weight.dtype for part in convolutions if part.groups > 1 and max(part.stride) > 1}
        return vectors.detach(), slope, formats

    torch.manual_seed(0)
    cutouts = F.interpolate(torch.rand(2, 3, 40, 40), size=(260, 260), mode="bicubic").clamp(0, 1)
    wanted = F.normalize(torch.randn(2, 384), dim=1)
    quick, quick_slope, quick_formats = seen()
    monkeypatch.setattr(perceptors, "quicken", lambda module: None)
    plain, slope, formats = seen()
    assert (quick_formats, formats) == ({torch.float32}, {torch.bfloat16})
    assert likeness(plain, quick) > 0.9999
    assert likeness(slope, quick_slope) > 0.999
