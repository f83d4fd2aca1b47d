"""One step of a VQGAN's training after the other: both networks' losses, their optimisers, and all of the state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from generate.vqgan import VQGAN, Quantized
from library.devices import cpu_has_fast_bf16
from library.errors import ModelError, OutOfMemory
from training.average import MovingAverage, put, snapshot
from training.crops import Crops
from training.groups import without_autocast
from training.vqgan_codebook import CodebookKeeper
from training.vqgan_losses import Discriminator, Features, adaptive_weight, hinge_loss
from training.vqgan_options import VQGANOptions

_BETAS = (0.5, 0.9)  # as in the authors' program
_MAX_GRADIENT = 1.0
_LEAST_RATE = 0.02  # of the full rate, at the end
_CODEBOOK = "quantize.embedding.weight"
_LAST_TEMPERATURE = 1 / 16  # of a Gumbel quantiser, reached half-way. Ramesh et al. 2021, appendix A.2


@dataclass(frozen=True, slots=True)
class Losses:
    """One step in numbers; `fooling`, `judging` and `weight` are 0 until the discriminator takes part."""

    loss: float  # likeness and codebook, which stay comparable when the discriminator joins
    pixels: float
    features: float
    codebook: float
    perplexity: float
    fooling: float = 0.0
    judging: float = 0.0
    weight: float = 0.0
    restarted: int = 0


class VQGANLearner:
    """Both networks and everything that changes with each step."""

    def __init__(self, model: VQGAN, features: Features | None, options: VQGANOptions) -> None:
        """`model` on its device, and changed in place; `features` None leaves the perceptual loss out."""
        self.model = model
        self._features = features
        self._options = options
        self._device = next(model.parameters()).device
        model.requires_grad_(True).to(memory_format=torch.channels_last)
        torch.manual_seed(options.seed)
        _norms_in_float32(model)
        self.discriminator = Discriminator(options.discriminator_ch, options.discriminator_layers)
        self.discriminator.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.tensors = dict(model.named_parameters())
        self._optimiser = torch.optim.Adam(self.tensors.values(), lr=options.lr, betas=_BETAS)
        self._other = torch.optim.Adam(self.discriminator.parameters(), lr=options.lr, betas=_BETAS)
        self._average = MovingAverage(self.tensors, options.average) if options.average else None
        self.keeper = CodebookKeeper(model) if model.config.quantizer == "vq" else None
        self.use_bf16 = _bf16_pays(self._device, options.precision)
        self.is_whole = True  # False while the weights are between two steps

    def learn(self, crops: Crops) -> Losses | None:
        """One step; None for a batch of which nothing could be read.

        Raises ModelError when the loss is no number, and OutOfMemory.
        """
        if not len(crops.images):
            return None
        try:
            return self._learn(crops)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(
                "one step did not fit into memory", hint="Give a smaller --batch or --crop."
            ) from error

    def _learn(self, crops: Crops) -> Losses:
        step = crops.step
        torch.manual_seed(self._options.seed * 1_000_003 + step)  # dropout and Gumbel's noise draw from here
        random = torch.Generator().manual_seed(self._options.seed * 1_000_003 + step)
        images = crops.images.to(self._device, memory_format=torch.channels_last)  # (N, 3, S, S)
        self.model.train()
        self._cool(step)
        z, made, quantized = self._through(images, step)
        losses = self._backward(images, made, quantized, step)
        if not math.isfinite(losses.loss):
            raise ModelError(f"the loss of step {step + 1} is no number", hint="Train with a lower --lr.")
        self.is_whole = False
        self._update(self._optimiser, step)
        if self._is_judged(step):
            judging = self._judge(images, made.detach(), step)
            losses = replace(losses, judging=judging)
        if self._average is not None:
            self._average.update(self.tensors)
        if self.keeper is not None:
            self.keeper.note(z, quantized.indices, random)
            losses = replace(losses, restarted=self._tend_codebook(step, random))
        self.is_whole = True
        return losses

    def rate(self, step: int) -> float:
        """The learning rate of a step: up in a line, then down along a cosine to little."""
        warmup, total = self._options.warmup, self._options.steps
        if step < warmup:
            return self._options.lr * (step + 1) / warmup
        share = (step - warmup) / max(1, total - warmup)
        return self._options.lr * (_LEAST_RATE + (1 - _LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * share)))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The model has its averaged weights while the `with` block lasts."""
        if self._average is None:
            yield
            return
        kept = snapshot(self.tensors)
        put(self.tensors, self._average.values)
        try:
            yield
        finally:
            put(self.tensors, kept)

    def finish(self) -> None:
        """Leaves the averaged weights in the model."""
        if self._average is not None:
            put(self.tensors, self._average.values)

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors, numbers and texts."""
        average = self._average
        return {
            "tensors": snapshot(self.tensors),
            "optimiser": self._optimiser.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "other_optimiser": self._other.state_dict(),
            "average": average.values if average else {},
            "average_steps": average.steps if average else 0,
            "codebook": self.keeper.state() if self.keeper else {},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        put(self.tensors, state["tensors"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.discriminator.load_state_dict(state["discriminator"])
        self._other.load_state_dict(state["other_optimiser"])
        if self._average is not None:
            self._average.values = {name: value.to(self._device) for name, value in state["average"].items()}
            self._average.steps = state["average_steps"]
        if self.keeper is not None:
            self.keeper.restore(state["codebook"])

    def _through(self, images: Tensor, step: int) -> tuple[Tensor, Tensor, Quantized]:
        """What the encoder says (N, D, h, w), what comes out (N, 3, S, S) float32, and the codes between."""
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.use_bf16):
            z = self.model.encode(images)
            quantized: Quantized = self.model.quantize(z)
            codes = quantized.codes
            if self._is_unquantised(step):
                codes = torch.nn.functional.normalize(z.float(), dim=1) if self.model.config.l2_norm else z
            made = self.model.decode(codes)
        return z, made.float(), quantized

    def _is_unquantised(self, step: int) -> bool:
        return self.keeper is not None and step < self._options.unquantised

    def _backward(self, images: Tensor, made: Tensor, quantized: Quantized, step: int) -> Losses:
        """The gradients of equation 6 in the model.

        Those at the picture are made once for each part, so that the adaptive weight costs one layer and not a
        second way through the networks that judge.
        """
        options = self._options
        pixels = (images - made).abs().mean()
        features = self._distance(images, made)
        (slope,) = torch.autograd.grad(pixels + options.perceptual * features, made)
        fooling, weight = made.new_zeros(()), made.new_zeros(())
        if self._is_judged(step):
            fooling, other = self._fool(made)
            last = cast(Any, self.model.decoder).conv_out.weight
            (likeness_at,) = torch.autograd.grad(made, last, slope, retain_graph=True)
            (fooling_at,) = torch.autograd.grad(made, last, other, retain_graph=True)
            weight = options.adversarial * adaptive_weight(likeness_at.float(), fooling_at.float())
            slope = slope + weight * other
        self._optimiser.zero_grad(set_to_none=True)
        roots, slopes = [made], [slope]
        if not self._is_unquantised(step):
            roots, slopes = (
                [made, options.codebook * quantized.loss],
                [slope, torch.ones_like(quantized.loss)],
            )
        torch.autograd.backward(roots, slopes)
        total = pixels + options.perceptual * features
        if not self._is_unquantised(step):
            total = total + options.codebook * quantized.loss
        return Losses(
            loss=float(total.detach()),
            pixels=float(pixels.detach()),
            features=float(features.detach()),
            codebook=float(quantized.loss.detach()),
            perplexity=float(quantized.perplexity),
            fooling=float(fooling.detach()),
            weight=float(weight),
        )

    def _distance(self, images: Tensor, made: Tensor) -> Tensor:
        if self._features is None:
            return made.new_zeros(())
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.use_bf16):
            return self._features.distance(images, made).float()

    def _is_judged(self, step: int) -> bool:
        options = self._options
        return options.adversarial > 0 and step >= options.adversarial_from * options.steps

    def _fool(self, made: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of not fooling the discriminator, and its gradient at the picture."""
        self.discriminator.requires_grad_(False)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.use_bf16):
            fooling = -self.discriminator(made).float().mean()
        (slope,) = torch.autograd.grad(fooling, made)
        self.discriminator.requires_grad_(True)
        return fooling, slope

    def _judge(self, images: Tensor, made: Tensor, step: int) -> float:
        """One step of the discriminator; its loss."""
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.use_bf16):
            loss = hinge_loss(self.discriminator(images).float(), self.discriminator(made).float())
        self._other.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._update(self._other, step)
        return float(loss.detach())

    def _update(self, optimiser: torch.optim.Optimizer, step: int) -> None:
        for group in optimiser.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], _MAX_GRADIENT)
            group["lr"] = self.rate(step)
        optimiser.step()

    def _cool(self, step: int) -> None:
        if self.model.config.quantizer == "gumbel":
            share = min(1.0, 2 * step / self._options.steps)
            cast(Any, self.model.quantize).temperature = _LAST_TEMPERATURE**share

    def _tend_codebook(self, step: int, random: torch.Generator) -> int:
        """Gives the codebook its start, or new places to codes out of use; returns how many codes moved."""
        assert self.keeper is not None, "asked before"
        options, done = self._options, step + 1
        entries = len(self.keeper.shares)
        if done == options.unquantised:
            self._place(torch.arange(entries), self.keeper.start_codes(random))
            return entries
        is_time = done > options.unquantised and done % options.restart_every == 0
        if not is_time or done > options.restart_until * options.steps:
            return 0
        rows, places = self.keeper.revive(random)
        self._place(rows, places)
        return len(rows)

    def _place(self, rows: Tensor, places: Tensor) -> None:
        """Moves codes, in the averages too, and forgets their momentum."""
        assert self.keeper is not None, "there is a codebook to move"
        parameter = self.keeper.parameter
        moments = self._optimiser.state[parameter]
        rows, places = rows.to(self._device), places.to(self._device)
        with torch.no_grad():
            parameter[rows] = places
            for name in ("exp_avg", "exp_avg_sq"):
                if name in moments:
                    moments[name][rows] = 0
            if self._average is not None:
                self._average.values[_CODEBOOK][rows] = places


def _norms_in_float32(model: torch.nn.Module) -> None:
    """Keeps group norms out of autocast, in place: their bfloat16 backward is slow on processors."""
    for part in model.modules():
        if isinstance(part, torch.nn.GroupNorm):
            part.forward = without_autocast(part.forward)  # type: ignore[method-assign, assignment]


def _bf16_pays(device: torch.device, precision: str) -> bool:
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and cpu_has_fast_bf16()
