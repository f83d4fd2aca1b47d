"""Steps of training, each drawn from the seed and its number alone, so that a run goes on as if never interrupted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from library.errors import ModelError
from training import checkpoint
from training.average import Tensors, put, snapshot
from training.journal import Journal
from training.recipe.workshop import Workshop
from training.run import Progress

_CHECKPOINT_S = 120.0  # what a kill can cost
_MEASUREMENTS = 8  # in a run, evenly spread, the last step's among them
_STRIDE = 1_000_003  # between two seeds' numbers


@dataclass(frozen=True, slots=True)
class Trainee:
    """What learns. `loss` gives the losses of a step by name, the one to follow under "loss"."""

    tensors: Mapping[str, nn.Parameter]
    optimiser: Optimizer
    schedule: LRScheduler
    loss: Callable[[int], dict[str, Tensor]]
    measure: Callable[[], Mapping[str, Any]]
    clipped: Sequence[nn.Parameter] = ()  # whose gradients are kept to a norm of 1 together
    scale: nn.Parameter | None = None
    most_log_scale: float = math.log(100)


@dataclass(frozen=True, slots=True)
class Course:
    """How long, from which seed, and under which name and key it is kept."""

    name: str
    key: str
    steps: int
    seed: int


def train(trainee: Trainee, course: Course, workshop: Workshop) -> Tensors:
    """Trains, or takes the result of having done so; returns the tensors, which `trainee` has then, too.

    Raises ModelError when a loss is no number, and DiskFull.
    """

    def make() -> dict[str, Any]:
        _Run(trainee, course, workshop).run()
        return {"tensors": snapshot(trainee.tensors)}

    found: Tensors = workshop.kept(course.name, course.key, make)["tensors"]
    workshop.file(course.name, course.key, "part.pt").unlink(missing_ok=True)
    put(trainee.tensors, found)
    return found


def finished(trainee_tensors: Mapping[str, nn.Parameter], course: Course, workshop: Workshop) -> bool:
    """Whether it has been trained before; then the tensors are those of its end."""
    file = workshop.file(course.name, course.key)
    if file.exists():
        put(trainee_tensors, checkpoint.load(file)["tensors"])
    return file.exists()


def journal_of(course: Course, workshop: Workshop) -> Journal:
    """The log of its steps and measurements."""
    return Journal(workshop.file(course.name, course.key, "jsonl"))


class _Run:
    def __init__(self, trainee: Trainee, course: Course, workshop: Workshop) -> None:
        self._trainee = trainee
        self._course = course
        self._workshop = workshop
        self._file = workshop.file(course.name, course.key, "part.pt")
        self._journal = journal_of(course, workshop)
        self._step = 0
        self._is_whole = True

    def run(self) -> None:
        """All steps that are left."""
        if self._file.exists():
            self._restore()
        else:
            self._journal.begin(name=self._course.name, steps=self._course.steps)
        saved = time.monotonic()
        try:
            while self._step < self._course.steps:
                self._learn()
                if time.monotonic() - saved > _CHECKPOINT_S:
                    self._save()
                    saved = time.monotonic()
        except BaseException:
            if self._is_whole:
                self._save()
            raise

    def _learn(self) -> None:
        trainee, course = self._trainee, self._course
        torch.manual_seed(course.seed * _STRIDE + self._step)
        losses = trainee.loss(self._step)
        total = losses.get("total", losses["loss"])
        if not math.isfinite(float(total.detach())):
            raise ModelError(f"the loss of step {self._step + 1} of {course.name} is no number")
        trainee.optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        if trainee.clipped:
            nn.utils.clip_grad_norm_(trainee.clipped, 1.0)
        self._is_whole = False
        trainee.optimiser.step()
        trainee.schedule.step()
        if trainee.scale is not None:
            with torch.no_grad():
                trainee.scale.clamp_(max=trainee.most_log_scale)
        self._step += 1
        self._is_whole = True
        self._log({name: float(value.detach()) for name, value in losses.items()})

    def _log(self, losses: Mapping[str, float]) -> None:
        course = self._course
        self._journal.write("step", step=self._step, **losses)
        if self._step % max(1, course.steps // _MEASUREMENTS) == 0 or self._step == course.steps:
            measured = self._trainee.measure()
            self._journal.write("measured", step=self._step, **measured)
        self._workshop.told(Progress(course.name, self._step, course.steps, losses["loss"]))

    def _save(self) -> None:
        trainee = self._trainee
        state = {
            "step": self._step,
            "tensors": snapshot(trainee.tensors),
            "optimiser": trainee.optimiser.state_dict(),
            "schedule": trainee.schedule.state_dict(),
        }
        checkpoint.save(self._file, state)

    def _restore(self) -> None:
        state = checkpoint.load(self._file)
        put(self._trainee.tensors, state["tensors"])
        self._trainee.optimiser.load_state_dict(state["optimiser"])
        self._trainee.schedule.load_state_dict(state["schedule"])
        self._step = state["step"]
        self._journal.cut(self._step)


def along_cosine(optimiser: Optimizer, *, steps: int, warmup: int, floor: float) -> LRScheduler:
    """The rate rises in a line, then falls along a cosine to `floor` of its height."""

    def share(step: int) -> float:
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))
        return min(1.0, (step + 1) / max(1, warmup)) * (fall + floor)

    return LambdaLR(optimiser, share)


def one_cycle(optimiser: Optimizer, *, steps: int, warmup: float) -> LRScheduler:
    """Rate up and momentum down along cosines in the first part, then the other way round (Smith & Topin 2018)."""
    highest = [group["lr"] for group in optimiser.param_groups]
    return OneCycleLR(optimiser, highest, total_steps=steps, pct_start=warmup)
