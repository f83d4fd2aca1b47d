"""Gradients in pieces are the gradients of the whole batch."""

from __future__ import annotations

from typing import Any

import pytest

from training import gradcache
from training.losses import clip_loss

torch = pytest.importorskip("torch")


def tower(seed: int, drop: float) -> Any:
    torch.manual_seed(seed)
    layers = (torch.nn.Linear(8, 16), torch.nn.Dropout(drop), torch.nn.GELU(), torch.nn.Linear(16, 4))
    return torch.nn.Sequential(*layers)


def gradients(
    piece: int, *, rows: int = 10, drop: float = 0.0, freeze: bool = False
) -> tuple[float, list[Any]]:
    towers = [tower(1, drop), tower(2, 0.0)]
    towers[1].requires_grad_(not freeze)
    scale = torch.nn.Parameter(torch.tensor(3.0))
    inputs = [torch.randn(rows, 8, generator=torch.Generator().manual_seed(n)) for n in (3, 4)]
    encoders = [lambda x, t=t: torch.nn.functional.normalize(t(x), dim=1) for t in towers]
    torch.manual_seed(5)
    loss = gradcache.backward(encoders, inputs, lambda v: clip_loss(v[0], v[1], scale), piece=piece)
    parameters = [*towers[0].parameters(), *towers[1].parameters(), scale]
    return loss, [parameter.grad for parameter in parameters]


@pytest.mark.parametrize("piece", [1, 3, 5, 9])
def test_pieces_give_the_whole_gradient(piece: int) -> None:
    wanted_loss, wanted = gradients(10)
    loss, found = gradients(piece)
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, wanted, strict=True))


def test_a_frozen_tower_gets_none() -> None:
    _, found = gradients(3, freeze=True)
    assert found[0] is not None
    assert found[4:8] == [None] * 4
    assert found[8] is not None


def test_dropout_draws_the_same_in_both_passes() -> None:
    """Else the gradient would belong to other vectors than the loss; one piece of all rows is the reference."""
    loss, found = gradients(9, drop=0.5, rows=10)
    torch.manual_seed(5)
    again, same = gradients(9, drop=0.5, rows=10)
    assert loss == again
    assert all(torch.equal(a, b) for a, b in zip(found, same, strict=True))
    # The numerical derivative of the loss with these very dropouts, along the gradient itself.
    towers = [tower(1, 0.5), tower(2, 0.0)]
    inputs = [torch.randn(10, 8, generator=torch.Generator().manual_seed(n)) for n in (3, 4)]

    def value(step: float) -> float:
        for parameter, gradient, start in zip(
            towers[0].parameters(), found, tower(1, 0.5).parameters(), strict=False
        ):
            parameter.data = start.data + step * gradient
        torch.manual_seed(5)
        with torch.no_grad():
            made = [
                torch.cat([torch.nn.functional.normalize(t(part), dim=1) for part in x.split(9)])
                for t, x in zip(towers, inputs, strict=True)
            ]
            return float(clip_loss(made[0].double(), made[1].double(), torch.tensor(3.0)))

    slope = (value(1e-2) - value(-1e-2)) / 2e-2
    assert slope == pytest.approx(sum(float((g**2).sum()) for g in found[:4]), rel=0.03)
