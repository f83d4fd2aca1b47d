"""Step 7, left out unless `tail_steps` says otherwise: the trunk's upper blocks learn, too.

They start from what the lower blocks made of each view, and end as an average of what they were and what they became.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.average import Tensors, between, put, snapshot
from training.groups import depthwise_in_float32
from training.recipe.features import Features, Half, halves, make_trunk
from training.recipe.head import ImageHead, mix
from training.recipe.loop import Course, Trainee, one_cycle, train
from training.recipe.names import Names, accuracies, any_phrase, names_loss, plain, soft_loss
from training.recipe.pairs import Held, Pairs, Table, measured
from training.recipe.settings import RecipeSettings
from training.recipe.texttower import mixed_precision
from training.recipe.workshop import Workshop

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
    """What learns in this step, and what it learns from: texts as the finished text tower gives them, which stays."""

    tail: Tail
    head: ImageHead
    log_scale: nn.Parameter
    pairs: Pairs
    choices: Table  # the captions of each photo as rows of `captions`
    captions: Tensor  # (M, D), L2 norm 1
    names: Names  # with the tower's phrases
    held: Held
    held_texts: dict[str, Tensor]
    held_middle: Tensor  # (N, C, H, W) float32

    def tensors(self) -> dict[str, nn.Parameter]:
        """By name."""
        tail = {f"tail.{name}": value for name, value in self.tail.tensors().items()}
        head = {f"head.{name}": value for name, value in self.head.named_parameters()}
        return {**tail, **head, "log_scale": self.log_scale}


def train_tail(
    whole: Whole, middles: Middles, course: Course, workshop: Workshop, settings: RecipeSettings
) -> Tensors:
    """Trains, averages with the start, and leaves head and tail so; returns the tail's weights by the trunk's names."""
    start = snapshot(whole.tensors())
    end = train(_trainee(whole, middles, settings), course, workshop)
    put(whole.tensors(), between(start, end, 1 - settings.tail_share))
    return snapshot(whole.tail.tensors())


def _trainee(whole: Whole, middles: Middles, settings: RecipeSettings) -> Trainee:
    optimiser = torch.optim.AdamW(
        [
            {
                "params": list(whole.tail.tensors().values()),
                "lr": settings.tail_lr,
                "weight_decay": settings.tail_weight_decay,
            },
            {
                "params": list(whole.head.parameters()),
                "lr": settings.tail_head_lr,
                "weight_decay": settings.tail_head_weight_decay,
            },
            {"params": [whole.log_scale], "lr": settings.tail_head_lr, "weight_decay": 0.0},
        ]
    )
    batch = whole.pairs.batch(settings.tail_batch)
    return Trainee(
        tensors=whole.tensors(),
        optimiser=optimiser,
        schedule=one_cycle(optimiser, steps=settings.tail_steps, warmup=settings.tail_warmup),
        loss=lambda step: _loss(whole, middles, settings, batch),
        measure=lambda: _measure(whole),
        scale=whole.log_scale,
        most_log_scale=settings.head_most_log_scale,
    )


def _loss(whole: Whole, middles: Middles, settings: RecipeSettings, batch: int) -> dict[str, Tensor]:
    head, names = whole.head, whole.names
    head.train()
    photos, views = whole.pairs.draw(batch)
    frozen = whole.pairs.features[views, photos].float()
    features = whole.tail(middles.of(photos, views))
    # Two captions of each photo: the picture's side of a step is what takes time.
    texts = torch.stack([whole.captions[whole.choices.pick(photos)] for _ in range(2)], 1)
    mixed, blended = mix(features, texts, settings.tail_mix)
    scale = whole.log_scale.exp()
    near = _two_captions_loss(head(mixed), blended, scale)
    logits = scale * head(features) @ any_phrase(names.phrases).T
    soft = soft_loss(logits, names.opinion(frozen))
    classes = names_loss(names, head, lambda vectors: vectors, scale, frozen)
    total = near + settings.tail_soft * soft + settings.tail_names * classes
    return {"loss": near, "soft": soft, "names": classes, "total": total}


def _two_captions_loss(vectors: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Of (N, D) pictures and (N, 2, D) captions: each caption's picture, and each picture's first and second one."""
    own = torch.arange(len(vectors))
    first, second = (scale * vectors @ texts[:, number].T for number in range(2))
    backward = F.cross_entropy(torch.cat([first.T, second.T]), torch.cat([own, own]))
    return (F.cross_entropy(first, own) + F.cross_entropy(second, own) + backward) / 3


@torch.no_grad()
def _measure(whole: Whole) -> dict[str, object]:
    whole.head.eval()
    features = torch.cat([whole.tail(part) for part in torch.split(whole.held_middle, _BATCH)])
    names = whole.names
    found = accuracies(names, whole.head, plain(names.phrases), names.label_phrases[:, 0])
    return {**measured(whole.head(features), whole.held_texts, whole.held), **found}
