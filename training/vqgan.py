"""Training of a VQGAN on pictures without captions: a run from the first step to the saved network.

A run's folder becomes the network's:

    FOLDER/vqgan_config.json, vqgan.safetensors    at the end
    FOLDER/reconstructions.png                     pictures that were held back, and what became of them
    FOLDER/training/log.jsonl                      every step and measurement
    FOLDER/training/step-NNNNNN.png                the same sheet as it went
    FOLDER/training/checkpoint.pt                  while it runs; deleted at the end

Source: Esser, Rombach, Ommer 2021, "Taming Transformers for High-Resolution Image Synthesis", section 3.1.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generate.load import VQGAN_CONFIG_FILE, VQGAN_WEIGHTS_FILE, to_json
from generate.vqgan import VQGAN
from library.errors import ModelError, UsageError
from library.weights import write_atomically
from training import checkpoint
from training.crops import CropOrder, Crops
from training.photos import Problem, Split
from training.run import Progress, Run, checkpoint_file
from training.vqgan_learner import VQGANLearner
from training.vqgan_losses import Features
from training.vqgan_options import VQGANOptions
from training.vqgan_reconstruction import HeldOut, Reconstructed

_GLANCE, _ALL = 48, 1_000_000  # pictures that are measured on as it goes, and at the end
SHEET_FILE = "reconstructions.png"


@dataclass(frozen=True, slots=True)
class TrainedVQGAN:
    """What came of a run; `measured` is None when nothing was held back."""

    folder: Path
    measured: Reconstructed | None
    photos: int
    steps: int
    problems: list[Problem]


class VQGANRun(Run[VQGANLearner, Crops]):
    """One run. Make it and `run()`; after an interruption make an equal one and `run(resume=True)`."""

    def __init__(
        self,
        model: VQGAN,
        features: Features | None,
        split: Split,
        options: VQGANOptions,
        folder: Path,
        *,
        told: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        """`model` is on its device and changed in place. Raises UsageError: options, or no pictures."""
        options.check(model.config)
        if not split.training:
            raise UsageError("there is no picture to learn from")
        self._options = options
        self._split = split
        self._told = told
        self._model = model
        self._start = _digest(model)
        super().__init__(VQGANLearner(model, features, options), folder)
        self._features = features.names if features else []
        self._order = CropOrder(split.training, batch=options.batch, crop=options.crop, seed=options.seed)
        self._held_out: HeldOut | None = None

    def run(self, *, resume: bool = False) -> TrainedVQGAN:
        """Trains, measures as it goes, and saves the network; its folder is complete when this returns.

        With `resume` it goes on from the last checkpoint, if there is one. Any exception, Ctrl-C too, leaves a
        checkpoint behind. Raises UsageError, ModelError, OutOfMemory, WeightsInvalid (checkpoint), DiskFull.
        """
        if self._split.held_back:
            held_out = HeldOut(self._split.held_back, self._options.measure_px)
            self._note(held_out.problems)
            self._held_out = held_out if len(held_out) else None
        if resume and checkpoint_file(self.folder).exists():
            self._resume()
        else:
            self._begin_log(
                network=self._model.config.as_json(),
                features=self._features,
                held_back=len(self._held_out) if self._held_out else 0,
                is_bf16=self._learner.use_bf16,
            )
        self._train()
        self._learner.finish()
        measured = self._measure(self.folder / SHEET_FILE, most=_ALL)
        save_vqgan(self._model, self.folder, measured=measured, steps=self._step)
        self.journal.write("end", step=self._step, problems=len(self._problems))
        checkpoint_file(self.folder).unlink(missing_ok=True)
        photos = len(self._split.training)
        return TrainedVQGAN(self.folder, measured, photos, self._step, list(self._problems.values()))

    def _identity(self) -> dict[str, Any]:
        names = "\n".join(repr(photo.source) for photo in self._split.training)
        return {
            **self._options.as_json(),
            "model": self._start,
            "pictures": hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest(),
        }

    def _batches(self) -> Iterator[Crops]:
        return self._order.batches(iter(range(self._step, self._options.steps)))

    def _take_step(self, batch: Crops) -> None:
        losses = self._learner.learn(batch)
        self._step += 1
        facts = dataclasses.asdict(losses) if losses else {"loss": None}
        self.journal.write("step", step=self._step, lr=self._learner.rate(self._step - 1), **facts)
        self._told(Progress("train", self._step, self._options.steps, losses.loss if losses else None))
        if self._step % self._options.measure_every == 0 and self._step < self._options.steps:
            with self._learner.averaged():
                self._measure(self._work / f"step-{self._step:06}.png", most=_GLANCE)

    def _measure(self, sheet: Path, *, most: int) -> Reconstructed | None:
        if self._held_out is None:
            return None
        measured = self._held_out.measure(self._model, most=most)
        self.journal.write("measured", step=self._step, **measured.as_json())
        title = f"Step {self._step:,}: PSNR {measured.psnr_db:.1f} dB, perplexity {measured.perplexity:,.0f}"
        self._held_out.write_sheet(self._model, sheet, title=title)
        return measured


def save_vqgan(model: VQGAN, folder: Path, *, measured: Reconstructed | None = None, steps: int = 0) -> Path:
    """Writes a network into `folder` in float16, the weights last; returns the folder.

    Raises ModelError when a weight is not a finite float16, and DiskFull.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {}
    for name, value in model.state_dict().items():
        half = value.detach().to("cpu", torch.float16).contiguous(memory_format=torch.contiguous_format)
        if not torch.isfinite(half).all():
            raise ModelError(
                f"the weights {name} have become too large or are no numbers", hint="Train with a lower --lr."
            )
        tensors[name] = half
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"steps": steps, "held_out": measured.as_json() if measured else None}
    write_atomically(folder / VQGAN_CONFIG_FILE, to_json(model.config, trained=facts))
    with checkpoint.replacing(folder / VQGAN_WEIGHTS_FILE) as temporary:
        save_file(tensors, temporary)
    return folder


def _digest(model: VQGAN) -> str:
    """What the weights are before the first step, as a hash."""
    digest = hashlib.sha256(repr(model.config).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
