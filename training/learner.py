"""One step of contrastive training after the other: losses, optimiser, averages, and all of its state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from library.clip import ClipModel
from library.errors import ModelError, OutOfMemory
from training import gradcache
from training.average import MovingAverage, between, put, snapshot
from training.data import Captions
from training.features import Batch
from training.losses import clip_loss, cosine_distance, relation_distance, siglip_loss
from training.options import ClipOptions, usual_lr
from training.towers import Towers

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_MAX_GRADIENT = 1.0
_MAX_LOG_SCALE = math.log(100)  # as in CLIP
_BETAS = (0.9, 0.98)  # Radford et al. 2021, table 19


@dataclass(frozen=True, slots=True)
class Teacher:
    """A frozen model that the trained one's texts stay near; `is_start`: what training started from."""

    clip: ClipModel
    is_start: bool

    def vectors(self, tokens: Tensor, texts: list[str]) -> Tensor:
        """(N, E) float32, L2 norm 1; `tokens` are the student's, which are the start's own."""
        import torch
        from torch.nn import functional as F

        own = tokens if self.is_start else self.clip.tokenizer(texts).to(self.clip.device)
        with torch.no_grad():
            module: Any = self.clip.module
            return F.normalize(module.encode_text(own).float(), dim=-1)


class Learner:
    """A model and everything that changes with each step."""

    def __init__(self, towers: Towers, options: ClipOptions, teacher: Teacher | None = None) -> None:
        self.towers = towers
        self._options = options
        self._teacher = teacher if options.near and towers.trains_text else None
        self._start = snapshot(towers.tensors)
        self.lr = options.lr or usual_lr(sum(value.numel() for value in towers.tensors.values()))
        self._optimiser = make_optimiser(towers.tensors, lr=self.lr, weight_decay=options.weight_decay)
        self._average = MovingAverage(towers.tensors, options.average) if options.average else None
        self.is_whole = True  # False while the weights are between two steps

    def learn(self, batch: Batch, captions: Captions, *, total_steps: int) -> float | None:
        """One step; returns the loss, None for a batch in which fewer than two pictures could be read.

        Raises ModelError when the loss is no number, and OutOfMemory.
        """
        import torch

        if len(batch.draw.photos) < 2:
            return None
        draw, device = batch.draw, self.towers.clip.device
        torch.manual_seed(self._options.seed * 1_000_003 + draw.step)  # dropout draws from here
        texts = [captions.texts[row] for row in draw.captions]
        tokens = self.towers.clip.tokenizer(texts).to(device)
        positives = torch.from_numpy(captions.positives(draw)).to(device)
        wanted = self._teacher.vectors(tokens, texts) if self._teacher else None
        self.towers.set_training(True)
        self._optimiser.zero_grad()
        try:
            loss = gradcache.backward(
                [self.towers.image_vectors, self.towers.text_vectors],
                [batch.images.to(device), tokens],
                lambda vectors: self._loss(vectors, positives, wanted),
                piece=self._options.piece,
            )
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory("one step did not fit into memory", hint="Give a smaller --piece.") from error
        if not math.isfinite(loss):
            raise ModelError(
                f"the loss of step {draw.step + 1} is no number", hint="Train with a lower --lr."
            )
        self._update(draw.step, total_steps)
        return loss

    def rate(self, step: int, total_steps: int) -> float:
        """The learning rate of a step: up in a line, then down along a cosine to zero."""
        warmup = max(1, round(self._options.warmup * total_steps))
        if step < warmup:
            return self.lr * (step + 1) / warmup
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total_steps - warmup)))

    def finish(self) -> None:
        """Puts the averages into the model: over the steps, then with what it was before."""
        end = self._average.values if self._average else snapshot(self.towers.tensors)
        put(self.towers.tensors, between(self._start, end, self._options.keep))

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors, numbers and texts."""
        average = self._average
        return {
            "tensors": snapshot(self.towers.tensors),
            "optimiser": self._optimiser.state_dict(),
            "average": average.values if average else {},
            "average_steps": average.steps if average else 0,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        put(self.towers.tensors, state["tensors"])
        self._optimiser.load_state_dict(state["optimiser"])
        if self._average is not None:
            device = self.towers.clip.device
            self._average.values = {name: value.to(device) for name, value in state["average"].items()}
            self._average.steps = state["average_steps"]

    def _loss(self, vectors: Sequence[Tensor], positives: Tensor, wanted: Tensor | None) -> Tensor:
        images, texts = vectors
        if self._options.loss == "siglip":
            bias = self.towers.module.logit_bias
            loss = siglip_loss(images, texts, self.towers.scale(), bias, positives)
        else:
            loss = clip_loss(images, texts, self.towers.scale(), positives)
        if wanted is None or self._teacher is None:
            return loss
        distance = cosine_distance if self._teacher.is_start else relation_distance
        return loss + self._options.near * distance(texts, wanted)

    def _update(self, step: int, total_steps: int) -> None:
        import torch

        torch.nn.utils.clip_grad_norm_(self.towers.tensors.values(), _MAX_GRADIENT)
        for group in self._optimiser.param_groups:
            group["lr"] = self.rate(step, total_steps)
        self.is_whole = False
        self._optimiser.step()
        with torch.no_grad():
            self.towers.module.logit_scale.clamp_(max=_MAX_LOG_SCALE)
        if self._average is not None:
            self._average.update(self.towers.tensors)
        self.is_whole = True


def make_optimiser(
    tensors: Mapping[str, nn.Parameter], *, lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW; gains, biases, embeddings and the scale do not decay, as in CLIP."""
    import torch

    def decays(name: str, value: nn.Parameter) -> bool:
        return value.ndim >= 2 and "embedding" not in name and "pos_embed" not in name

    groups = [
        {"params": [v for n, v in tensors.items() if decays(n, v)], "weight_decay": weight_decay},
        {"params": [v for n, v in tensors.items() if not decays(n, v)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, betas=_BETAS, eps=1e-6)
