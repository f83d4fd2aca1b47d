"""The quick group norm against torch's."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from generate.norms import FrozenGroupNorm, freeze_norms


def made() -> nn.GroupNorm:
    torch.manual_seed(0)
    norm = nn.GroupNorm(4, 16, eps=1e-6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm.requires_grad_(False)


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format], ids=["last", "first"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 8e-3)])
def test_same_there_and_back(dtype: torch.dtype, tolerance: float, order: torch.memory_format) -> None:
    norm = made()
    x = torch.randn(2, 16, 12, 10) * 2 + 1
    grad = torch.randn(2, 16, 12, 10)
    exact = x.clone().requires_grad_()
    wanted = norm(exact)
    wanted.backward(grad)
    given = x.to(dtype).contiguous(memory_format=order).requires_grad_()
    found = FrozenGroupNorm(copy.deepcopy(norm).to(dtype))(given)
    found.backward(grad.to(dtype).contiguous(memory_format=order))
    assert given.grad is not None
    assert exact.grad is not None
    for own, real in ((found.detach(), wanted.detach()), (given.grad, exact.grad)):
        assert float((own.float() - real).norm() / real.norm()) < tolerance
    assert given.grad.is_contiguous(memory_format=order)


def test_every_norm_of_a_network_is_replaced_and_names_stay() -> None:
    module = nn.Sequential(nn.Conv2d(4, 16, 1), nn.Sequential(made()), made())
    names = list(module.state_dict())
    freeze_norms(module)
    assert list(module.state_dict()) == names
    assert not any(isinstance(part, nn.GroupNorm) for part in module.modules())
