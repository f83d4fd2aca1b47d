"""The losses of contrastive training. Vectors are (N, D) float32 tensors with L2 norm 1, on any device.

`positives` (N, N) bool says which text describes which picture: row i, column j is True when text j is a
caption of picture i. The diagonal is True; where two photos share a caption, more is. Without that, a model
would be punished for seeing that two pictures fit one text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def clip_loss(images: Tensor, texts: Tensor, scale: Tensor, positives: Tensor | None = None) -> Tensor:
    """CLIP's symmetric cross-entropy, a scalar; `scale` is the factor itself, out of its logarithm.

    With several positives the target is spread evenly over them. Source: Radford et al. 2021, figure 3;
    for the targets Khosla et al. 2020, equation 2.
    """
    import torch
    from torch.nn import functional as F

    logits = scale * images @ texts.T  # (N, N)
    if positives is None:
        own = torch.arange(len(images), device=images.device)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    target = positives.to(logits.dtype)
    by_image = target / target.sum(1, keepdim=True)
    by_text = target.T / target.T.sum(1, keepdim=True)
    return (F.cross_entropy(logits, by_image) + F.cross_entropy(logits.T, by_text)) / 2


def siglip_loss(
    images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor, positives: Tensor | None = None
) -> Tensor:
    """SigLIP's pairwise sigmoid loss, a scalar: each pair alone is right or wrong.

    Source: Zhai et al. 2023, algorithm 1.
    """
    import torch
    from torch.nn import functional as F

    logits = scale * images @ texts.T + bias  # (N, N)
    if positives is None:
        positives = torch.eye(len(images), dtype=torch.bool, device=images.device)
    sign = 2 * positives.to(logits.dtype) - 1
    return -F.logsigmoid(sign * logits).sum() / len(images)


def cosine_distance(vectors: Tensor, targets: Tensor) -> Tensor:
    """1 - cosine, averaged over the rows, a scalar from 0 to 2: distillation inside one space. Both (N, D)."""
    return 1 - (vectors * targets).sum(1).mean()


def relation_distance(vectors: Tensor, targets: Tensor, *, scale: float = 20.0) -> Tensor:
    """How differently two models relate the same N texts to each other, a scalar >= 0; (N, D) and (N, E).

    The divergence from the teacher's in-batch softmax over the other texts to the student's, so their spaces
    may differ in size and direction. `scale` 20 is that of sentence models (an inverse temperature of 0.05).
    Source: Park et al. 2019, "Relational Knowledge Distillation", in the softmax form of Fang et al. 2021 (SEED).
    """
    import torch
    from torch.nn import functional as F

    own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    student = (scale * vectors @ vectors.T).masked_fill(own, -1e4)
    teacher = (scale * targets @ targets.T).masked_fill(own, -1e4)
    return F.kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True)
