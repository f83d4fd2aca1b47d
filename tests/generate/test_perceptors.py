"""What CLIP sees while painting, and the gradient that comes back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from generate import perceptors
from generate.perceptors import Perceptor
from library.clip import load_clip
from library.presets import BUILTIN


def seen(cutouts: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, set[torch.dtype]]:
    """The vectors, the gradient of their product with `wanted`, and the formats of depthwise layers with a stride."""
    perceptor = Perceptor(load_clip(BUILTIN, device="cpu", precision="bf16", inference=True))
    given = cutouts.clone().requires_grad_()
    vectors = perceptor.see(given)
    (slope,) = torch.autograd.grad((vectors * wanted).sum(), given)
    convolutions = [part for part in perceptor.clip.module.modules() if isinstance(part, torch.nn.Conv2d)]
    formats = {part.weight.dtype for part in convolutions if part.groups > 1 and max(part.stride) > 1}
    return vectors.detach(), slope, formats


def test_layers_in_float32_for_speed_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    cutouts = F.interpolate(torch.rand(2, 3, 40, 40), size=(260, 260), mode="bicubic").clamp(0, 1)
    wanted = F.normalize(torch.randn(2, 384), dim=1)
    quick, quick_slope, quick_formats = seen(cutouts, wanted)
    monkeypatch.setattr(perceptors, "_strides_in_float32", lambda module: None)
    plain, slope, formats = seen(cutouts, wanted)
    assert (quick_formats, formats) == ({torch.float32}, {torch.bfloat16})
    assert float(F.cosine_similarity(plain, quick).min()) > 0.9999
    assert float(F.cosine_similarity(slope.flatten(1), quick_slope.flatten(1)).min()) > 0.999
