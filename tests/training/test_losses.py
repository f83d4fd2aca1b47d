"""The losses against their plain definitions, written out as loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from training.losses import clip_loss, cosine_distance, relation_distance, siglip_loss

torch = pytest.importorskip("torch")


def vectors(rows: int, seed: int, dim: int = 6) -> Any:
    values = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=1)


def softmax(row: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(np.exp(row - row.max()) / np.exp(row - row.max()).sum())


def test_clip_loss_is_the_symmetric_cross_entropy() -> None:
    images, texts = vectors(5, 1), vectors(5, 2)
    logits = 7.0 * (images @ texts.T).numpy()
    each = [-math.log(softmax(logits[i])[i]) - math.log(softmax(logits[:, i])[i]) for i in range(5)]
    assert float(clip_loss(images, texts, torch.tensor(7.0))) == pytest.approx(sum(each) / 10)


def test_one_positive_each_is_the_plain_loss() -> None:
    images, texts, eye = vectors(5, 1), vectors(5, 2), torch.eye(5, dtype=torch.bool)
    scale, bias = torch.tensor(7.0), torch.tensor(-2.0)
    assert torch.allclose(clip_loss(images, texts, scale), clip_loss(images, texts, scale, eye))
    assert torch.allclose(
        siglip_loss(images, texts, scale, bias), siglip_loss(images, texts, scale, bias, eye)
    )


def test_shared_captions_are_no_negatives() -> None:
    """Two pictures of one thing and one text: the best there is costs ln 2 for choosing between equals, not more."""
    images = torch.eye(4, dtype=torch.float64)[[0, 0, 1, 2]]
    texts = images.clone()
    positives = (images @ images.T) > 0.5
    best = (math.log(2) + math.log(2)) / 4
    scale = torch.tensor(100.0)
    assert float(clip_loss(images, texts, scale, positives)) == pytest.approx(best, abs=1e-6)
    bias = torch.tensor(-50.0)
    assert float(siglip_loss(images, texts, scale, bias, positives)) == pytest.approx(0, abs=1e-6)
    assert float(siglip_loss(images, texts, scale, bias)) > 20


def test_siglip_loss_pair_by_pair() -> None:
    images, texts = vectors(4, 3), vectors(4, 4)
    logits = 5.0 * (images @ texts.T).numpy() - 3.0
    total = sum(
        math.log1p(math.exp(-logits[i, j] if i == j else logits[i, j])) for i in range(4) for j in range(4)
    )
    found = siglip_loss(images, texts, torch.tensor(5.0), torch.tensor(-3.0))
    assert float(found) == pytest.approx(total / 4)


def test_distances_are_zero_for_what_is_the_same() -> None:
    one, other = vectors(6, 5), vectors(6, 6)
    turn = torch.linalg.qr(
        torch.randn(6, 6, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    )[0]
    assert float(cosine_distance(one, one)) == pytest.approx(0, abs=1e-9)
    assert float(cosine_distance(one, -one)) == pytest.approx(2)
    assert float(relation_distance(one, one @ turn)) == pytest.approx(0, abs=1e-9)
    assert float(relation_distance(one, other)) > 0.1
    assert float(relation_distance(one, vectors(6, 6, dim=3))) > 0.1
