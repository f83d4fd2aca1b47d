"""Step 3: the text tower learns to give the teacher's vectors, in four languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from library.clip import ClipModel
from training.evaluate import recall_at
from training.losses import cosine_distance
from training.recipe.corpus import Corpus
from training.recipe.loop import Trainee, along_cosine
from training.recipe.material import LANGUAGES, Material
from training.recipe.settings import RecipeSettings
from training.recipe.texttower import (
    encode_texts,
    lengths_of,
    mixed_precision,
    run_tower,
    text_tensors,
    tokens_of,
)

_BETAS = (0.9, 0.98)
_DRAW = 7  # a kind of random numbers of its own, beside the loop's
_PIECE = 50_000  # texts whose tokens are counted at once


@dataclass(frozen=True, slots=True)
class Lesson:
    """All texts of all groups one after the other."""

    tokens: Tensor  # (N, context) int16
    lengths: Tensor  # (N,)
    targets: Tensor  # (N, D) float16, L2 norm 1
    starts: Tensor  # (groups,) first row
    counts: Tensor  # (groups,)
    shares: Tensor  # (groups,) how often each is drawn

    def rows(self, number: int, *, batch: int, together: int, seed: int) -> list[Tensor]:
        """The `number`-th `together` batches: texts drawn by their groups' shares, sorted by length."""
        random = torch.Generator().manual_seed((seed * 1_000_003 + number) * 8 + _DRAW)
        count = batch * together
        group = torch.multinomial(self.shares, count, replacement=True, generator=random)
        within = (torch.rand(count, generator=random) * self.counts[group]).long()
        chosen = self.starts[group] + within
        pieces = torch.split(chosen[self.lengths[chosen].argsort(stable=True)], batch)
        return [pieces[place] for place in torch.randperm(together, generator=random).tolist()]


def make_lesson(clip: ClipModel, corpus: Corpus, settings: RecipeSettings) -> Lesson:
    """Groups without a text are left out."""
    shares = [(name, share) for name, share in settings.text_shares if corpus[name].texts]
    tokens = [tokens_of(clip, corpus[name].texts) for name, _ in shares]
    counts = torch.tensor([len(part) for part in tokens])
    together = torch.cat(tokens)
    return Lesson(
        tokens=together,
        lengths=lengths_of(together),
        targets=torch.cat([corpus[name].vectors for name, _ in shares]),
        starts=counts.cumsum(0) - counts,
        counts=counts,
        shares=torch.tensor([share for _, share in shares]),
    )


def start_embeddings(module: Any, lesson: Lesson, *, std: float) -> None:
    """Each token's first vector: the mean of the targets of the texts it stands in, in its main directions.

    Short texts count for more, since a word says more of them. Tokens that no text has stay random.
    """
    weight = module.token_embedding.weight  # (vocabulary, width)
    mean = lesson.targets.float().mean(0)
    total = torch.zeros(len(weight), len(mean))
    seen = torch.zeros(len(weight))
    for start in range(0, len(lesson.tokens), _PIECE):
        rows = slice(start, start + _PIECE)
        lengths = lesson.lengths[rows]
        is_text = torch.arange(lesson.tokens.shape[1]) < lengths[:, None]  # (rows, context)
        tokens = lesson.tokens[rows][is_text].long()
        owner = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        share = 1 / lengths[owner].float()
        total.index_add_(0, tokens, (lesson.targets[rows].float() - mean)[owner] * share[:, None])
        seen.index_add_(0, tokens, share)
    average = F.normalize(total / seen.clamp(min=1e-3)[:, None], dim=-1)
    directions = torch.linalg.svd(average, full_matrices=False).Vh[: weight.shape[1]]
    found = average @ directions.T
    with torch.no_grad():
        weight[seen > 0, : found.shape[1]] = (found / found.std() * std)[seen > 0]


def make_trainee(
    clip: ClipModel, lesson: Lesson, corpus: Corpus, material: Material, settings: RecipeSettings
) -> Trainee:
    """The text tower, ready to learn."""
    tensors = text_tensors(clip)
    optimiser = text_optimiser(tensors, lr=settings.text_lr, weight_decay=settings.text_weight_decay)
    steps, warmup = settings.text_steps, settings.text_warmup
    return Trainee(
        tensors=tensors,
        optimiser=optimiser,
        schedule=along_cosine(optimiser, steps=steps, warmup=warmup, floor=0.005),
        loss=lambda step: _loss(clip.module, lesson, settings, step),
        measure=lambda: _measure(clip, corpus, material),
        clipped=list(tensors.values()),
    )


def text_optimiser(
    tensors: Mapping[str, nn.Parameter], *, lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW; embeddings, projection, gains and biases do not decay."""

    def decays(name: str) -> bool:
        return tensors[name].ndim > 1 and "embedding" not in name and name != "text_projection"

    groups = [
        {"params": [v for n, v in tensors.items() if decays(n)], "weight_decay": weight_decay},
        {"params": [v for n, v in tensors.items() if not decays(n)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=_BETAS)


def _loss(module: Any, lesson: Lesson, settings: RecipeSettings, step: int) -> dict[str, Tensor]:
    number, place = divmod(step, settings.text_together)
    drawn = lesson.rows(
        number, batch=settings.text_batch, together=settings.text_together, seed=settings.seed
    )
    rows = drawn[place]
    targets = lesson.targets[rows].float()
    with mixed_precision():
        found = run_tower(module, lesson.tokens[rows])
    vectors = F.normalize(found.float(), dim=-1)
    near = cosine_distance(vectors, targets)
    relation = _relation(vectors, targets, settings.text_relation_scale)
    return {
        "loss": near,
        "relation": relation,
        "total": settings.text_cosine * near + settings.text_relation * relation,
    }


def _relation(vectors: Tensor, targets: Tensor, scale: float) -> Tensor:
    """The divergence from how the teacher's texts see each other to how the student's see the teacher's.

    Both (N, D), L2 norm 1; a scalar. As `losses.relation_distance`, but inside one space, so that each
    text's own target is among the answers. Source: Fang et al. 2021 (SEED).
    """
    student = (scale * vectors @ targets.T).log_softmax(1)
    teacher = (scale * targets @ targets.T).softmax(1)
    return F.kl_div(student, teacher, reduction="batchmean")


def _measure(clip: ClipModel, corpus: Corpus, material: Material) -> dict[str, Any]:
    """For each language: the mean cosine to the teacher's English vector, and how often that one is the nearest."""
    targets = corpus["development"].vectors.float()
    found = {}
    for name in LANGUAGES:
        vectors = encode_texts(clip, [line[name] for line in material.development])
        nearest = recall_at(vectors.numpy(), targets.numpy(), range(len(targets)), (1,))[1]
        found[name] = {"cosine": float((vectors * targets).sum(1).mean()), "nearest": nearest}
    return {"languages": found}
