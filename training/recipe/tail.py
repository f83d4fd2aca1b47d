"""Step 6, left out unless `tail_epochs` says otherwise: the trunk's upper blocks learn, too.

They start from what the lower blocks made of each view, and end as an average of what they were and what they became.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.average import Tensors, between, put, snapshot
from training.groups import depthwise_in_float32
from training.losses import clip_loss
from training.recipe.features import Features, Half, halves, make_trunk
from training.recipe.head import HeadParts, Sentences, measure_head
from training.recipe.loop import Course, Trainee, one_cycle, train
from training.recipe.names import Names, any_phrase, names_loss, soft_loss
from training.recipe.pairs import Held, Pairs
from training.recipe.settings import RecipeSettings
from training.recipe.texttower import mixed_precision
from training.recipe.workshop import Workshop, key_of

_BATCH = 64  # when nothing learns


class Tail(nn.Module):
    """The upper blocks: (N, C, H, W) -> features (N, F) float32. Batch norms keep their statistics."""

    def __init__(self, trunk: Tensors, settings: RecipeSettings) -> None:
        super().__init__()
        module = make_trunk(trunk, settings)
        self.upper = halves(module, settings.tail_from_block)[1].to(memory_format=torch.channels_last).eval()
        depthwise_in_float32(self.upper)
        self._names = {id(value): name for name, value in module.named_parameters()}

    def forward(self, middle: Tensor) -> Tensor:
        """Under mixed precision, where that pays."""
        with mixed_precision():
            found: Tensor = self.upper(middle).mean((2, 3)).float()
        return found

    def tensors(self) -> dict[str, nn.Parameter]:
        """The parameters by their names in the trunk."""
        return {self._names[id(value)]: value for value in self.upper.parameters()}


class Middles:
    """What goes into the upper blocks, of photos of several shards, from the files."""

    def __init__(self, places: list[tuple[str, int]], features: Mapping[str, Features]) -> None:
        self._files: dict[str, list[Half]] = {
            name: [np.load(file, mmap_mode="r") for file in features[name].middle] for name, _ in places
        }
        self._places = places

    def of(self, photos: Tensor, views: Tensor) -> Tensor:
        """(batch, C, H, W) float32, channels last in memory."""
        rows = [
            self._files[name][view][row]
            for (name, row), view in zip(
                (self._places[photo] for photo in photos.tolist()), views.tolist(), strict=True
            )
        ]
        return torch.from_numpy(np.stack(rows).astype(np.float32)).permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class Whole:
    """All that learns in this step, and what it learns from."""

    tail: Tail
    parts: HeadParts
    pairs: Pairs
    sentences: Sentences
    names: Names
    held: Held
    held_middle: Tensor  # (N, C, H, W) float32

    def tensors(self) -> dict[str, nn.Parameter]:
        """By name."""
        return {**{f"tail.{k}": v for k, v in self.tail.tensors().items()}, **self.parts.tensors()}


def train_tail(
    whole: Whole, course_key: str, middles: Middles, workshop: Workshop, settings: RecipeSettings
) -> Tensors:
    """Trains, averages with the start, and leaves head and tail so; returns the tail's weights by the trunk's names."""
    start = snapshot(whole.tensors())
    batch = whole.pairs.batch(settings.tail_batch)
    steps = whole.pairs.steps(settings.tail_epochs, batch)
    trainee = _trainee(whole, middles, settings, steps, batch)
    end = train(trainee, Course("tail", course_key, steps, settings.seed + 1), workshop)
    put(whole.tensors(), between(start, end, 1 - settings.tail_share))
    return snapshot(whole.tail.tensors())


def tuned_features(tail: Tail, key: str, name: str, features: Features, workshop: Workshop) -> Features:
    """A shard's features by the trained blocks; `key` is that of their weights."""

    def make() -> dict[str, Any]:
        views = [np.load(file, mmap_mode="r") for file in features.middle]
        told = workshop.teller(f"new features of {name}", sum(map(len, views)))
        pooled = []
        for number, view in enumerate(views):
            pooled.append(_pooled(tail, view))
            told(sum(map(len, views[: number + 1])))
        return {"pooled": torch.stack(pooled)}

    kept = workshop.kept(f"tuned-{name}", key_of(key, [str(file) for file in features.middle]), make)
    return Features(kept["pooled"], features.bad, features.middle)


def _pooled(tail: Tail, view: Half) -> Tensor:
    with torch.no_grad():
        parts = [
            tail(torch.from_numpy(view[start : start + _BATCH].astype(np.float32)).permute(0, 3, 1, 2)).half()
            for start in range(0, len(view), _BATCH)
        ]
    return torch.cat(parts)


def _trainee(whole: Whole, middles: Middles, settings: RecipeSettings, steps: int, batch: int) -> Trainee:
    parts = whole.parts
    heads = [*parts.head.parameters(), *parts.sentences.parameters()]
    optimiser = torch.optim.AdamW(
        [
            {
                "params": list(whole.tail.tensors().values()),
                "lr": settings.tail_lr,
                "weight_decay": settings.tail_weight_decay,
            },
            {"params": heads, "lr": settings.tail_head_lr, "weight_decay": settings.head_weight_decay},
            {"params": [parts.log_scale], "lr": settings.tail_head_lr, "weight_decay": 0.0},
        ]
    )
    return Trainee(
        tensors=whole.tensors(),
        optimiser=optimiser,
        schedule=one_cycle(optimiser, steps=steps, warmup=settings.tail_warmup),
        loss=lambda step: _loss(whole, middles, settings, batch),
        measure=lambda: _measure(whole),
        scale=parts.log_scale,
        most_log_scale=settings.head_most_log_scale,
    )


def _loss(whole: Whole, middles: Middles, settings: RecipeSettings, batch: int) -> dict[str, Tensor]:
    parts, sentences, names = whole.parts, whole.sentences, whole.names
    parts.head.train()
    photos, views = whole.pairs.draw(batch)
    frozen = whole.pairs.features[views, photos].float()
    vectors = parts.head(whole.tail(middles.of(photos, views)))
    scale = parts.log_scale.exp()
    # Two captions of each photo: the picture's side of a step is what takes time.
    texts = [parts.sentences(sentences.vectors[sentences.table.pick(photos)]) for _ in range(2)]
    near = (clip_loss(vectors, texts[0], scale) + clip_loss(vectors, texts[1], scale)) / 2
    soft = soft_loss(scale * vectors @ parts.sentences(any_phrase(names.phrases)).T, names.opinion(frozen))
    classes = names_loss(names, parts.head, parts.sentences, scale, frozen)
    total = near + settings.tail_soft * soft + settings.tail_names * classes
    return {"loss": near, "soft": soft, "names": classes, "total": total}


def _measure(whole: Whole) -> dict[str, object]:
    with torch.no_grad():
        features = torch.cat([whole.tail(part) for part in torch.split(whole.held_middle, _BATCH)])
    return measure_head(whole.parts, whole.sentences, whole.names, whole.held, features)
