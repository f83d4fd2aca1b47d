"""Step 5: the image head on frozen features, against the teacher's sentences."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.losses import clip_loss
from training.recipe.loop import Trainee, one_cycle
from training.recipe.names import Names, accuracies, names_loss, plain
from training.recipe.pairs import Held, Pairs, Table, measured
from training.recipe.settings import RecipeSettings


class ImageHead(nn.Module):
    """Features (N, F) -> vectors (N, D) with L2 norm 1: timm's mlp, which the model has, and a dropout before it."""

    def __init__(self, features: int, settings: RecipeSettings) -> None:
        super().__init__()
        width = settings.text_embed_dim
        self.before = nn.Dropout(settings.head_input_dropout)
        self.fc1 = nn.Linear(features, 2 * width)
        self.between = nn.Dropout(settings.head_dropout)
        self.fc2 = nn.Linear(2 * width, width, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) float32 -> (N, D) float32."""
        hidden = F.gelu(self.fc1(self.before(features)))
        return F.normalize(self.fc2(self.between(hidden)), dim=-1)


class SentenceMap(nn.Module):
    """The teacher's vectors, turned a little towards what pictures can show: (N, D) -> (N, D), L2 norm 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.turn = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.turn.weight)

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, D) float32 -> (N, D) float32."""
        return F.normalize(self.turn(vectors), dim=-1)


@dataclass(frozen=True, slots=True)
class HeadParts:
    """What learns in this step."""

    head: ImageHead
    sentences: SentenceMap
    log_scale: nn.Parameter

    def tensors(self) -> dict[str, nn.Parameter]:
        """By name."""
        parts = {"head": self.head, "sentences": self.sentences}
        named = {
            f"{name}.{key}": value for name, part in parts.items() for key, value in part.named_parameters()
        }
        return {**named, "log_scale": self.log_scale}


@dataclass(frozen=True, slots=True)
class Sentences:
    """The captions of each photo as rows of the teacher's vectors (M, D), and those of the held-out captions."""

    table: Table
    vectors: Tensor
    held: Tensor


def make_parts(features: int, settings: RecipeSettings) -> HeadParts:
    """New ones, from the seed."""
    torch.manual_seed(settings.seed)
    log_scale = nn.Parameter(torch.tensor(settings.head_log_scale))
    return HeadParts(ImageHead(features, settings), SentenceMap(settings.text_embed_dim), log_scale)


def make_trainee(
    parts: HeadParts, pairs: Pairs, sentences: Sentences, names: Names, held: Held, settings: RecipeSettings
) -> Trainee:
    """The head, ready to learn."""
    weights = [*parts.head.parameters(), *parts.sentences.parameters()]
    optimiser = torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": settings.head_weight_decay},
            {"params": [parts.log_scale], "weight_decay": 0.0},
        ],
        lr=settings.head_lr,
    )
    batch = pairs.batch(settings.head_batch)
    steps = pairs.steps(settings.head_epochs, batch)

    def loss(step: int) -> dict[str, Tensor]:
        parts.head.train()
        photos, views = pairs.draw(batch)
        features = pairs.features[views, photos].float()
        vectors = sentences.vectors[sentences.table.pick(photos)]
        mixed, blended = mix(features, vectors, settings.head_mix)
        scale = parts.log_scale.exp()
        near = clip_loss(parts.head(mixed), parts.sentences(blended), scale)
        classes = names_loss(names, parts.head, parts.sentences, scale, features)
        return {"loss": near, "names": classes, "total": near + settings.head_names * classes}

    return Trainee(
        tensors=parts.tensors(),
        optimiser=optimiser,
        schedule=one_cycle(optimiser, steps=steps, warmup=settings.head_warmup),
        loss=loss,
        measure=lambda: _measure(parts, sentences, names, held),
        scale=parts.log_scale,
        most_log_scale=settings.head_most_log_scale,
    )


def mix(features: Tensor, vectors: Tensor, most: float) -> tuple[Tensor, Tensor]:
    """Each pair with up to `most` of another one: features (N, F) and vectors (N, D) or (N, captions, D), these with
    L2 norm 1 again.

    Source: Zhang et al. 2018, "mixup", here of features and sentences alike.
    """
    if not most:
        return features, vectors
    share = torch.rand(len(features), 1) * most
    other = torch.randperm(len(features))
    of_vectors = share.reshape(-1, *[1] * (vectors.ndim - 1))
    blended = F.normalize(torch.lerp(vectors, vectors[other], of_vectors), dim=-1)
    return torch.lerp(features, features[other], share), blended


@torch.no_grad()
def _measure(parts: HeadParts, sentences: Sentences, names: Names, held: Held) -> dict[str, object]:
    """Recall of the held-out photos by the teacher's sentences, and zero-shot accuracy."""
    parts.head.eval()
    texts = {"captions": parts.sentences(sentences.held)}
    classifier = parts.sentences(plain(names.phrases))
    labels = parts.sentences(names.label_phrases[:, 0])
    found = accuracies(names, parts.head, classifier, labels)
    return {**measured(parts.head(held.features), texts, held), **found}
