"""Contrastive training of any CLIP on a person's own pictures: a run from the first step to the saved model.

A run's folder becomes the model:

    FOLDER/open_clip_config.json, open_clip_model.safetensors, ...    at the end
    FOLDER/training/log.jsonl                                         every step and measurement
    FOLDER/training/checkpoint.pt, *.npy                              while it runs; deleted at the end
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library.clip import ClipModel
from library.errors import UsageError
from training.data import Captions, Order
from training.examination import Examination, Measured
from training.export import save_model
from training.features import Batch, FeatureInputs, Inputs, PixelInputs, computed_features
from training.learner import Learner, Teacher
from training.options import ClipOptions
from training.photos import Photo, Problem, Split
from training.run import Progress, Run, checkpoint_file
from training.towers import make_towers


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a run: the model's folder, the held-back photos before and after, and what was passed over."""

    folder: Path
    before: Measured | None
    after: Measured | None
    photos: int
    steps: int
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of a run: `told` of its progress, `looked` of each measurement ("before", "epoch", "after") while
    the model is that of the moment, so that it can be asked something."""

    told: Callable[[Progress], None] = lambda progress: None
    looked: Callable[[str, Examination], None] = lambda when, examination: None


class ClipRun(Run[Learner, Batch]):
    """One run. Make it and `run()`; after an interruption make an equal one and `run(resume=True)`."""

    def __init__(
        self,
        clip: ClipModel,
        split: Split,
        options: ClipOptions,
        folder: Path,
        *,
        teacher: Teacher | None = None,
        listeners: Listeners | None = None,
    ) -> None:
        """`clip` is in float32 and changed in place. Raises UsageError: options, or too few photos."""
        options.check()
        self._options = options
        self._split = split
        self._listeners = listeners or Listeners()
        self.towers = make_towers(
            clip, lock=options.lock, unfreeze=options.unfreeze, loss=options.loss, precision=options.precision
        )
        super().__init__(Learner(self.towers, options, teacher), folder)
        self.examination: Examination | None = None

    def run(self, *, resume: bool = False) -> Trained:
        """Trains, measures before and after, and saves the model; its folder is complete when this returns.

        With `resume` it goes on from the last checkpoint, if there is one. Any exception, Ctrl-C too, leaves a
        checkpoint behind. Raises UsageError, ModelError, OutOfMemory, WeightsInvalid (checkpoint), DiskFull.
        """
        photos = self._prepare()
        is_going_on = resume and checkpoint_file(self.folder).exists()
        if not is_going_on:
            self._begin()
        before = self._measure("before", log=not is_going_on)
        if is_going_on:
            self._resume()
        self._train()
        self._learner.finish()
        after = self._measure("after")
        save_model(self.towers.clip, self.folder)
        self.journal.write("end", step=self._step, problems=len(self._problems))
        for file in (checkpoint_file(self.folder), *self._work.glob("*.npy"), *self._work.glob("*.json")):
            file.unlink(missing_ok=True)
        return Trained(self.folder, before, after, len(photos), self._step, list(self._problems.values()))

    def _prepare(self) -> Sequence[Photo]:
        """Reads the pictures as far as frozen layers allow; returns those that can be read."""
        training, held_back = self._split.training, self._split.held_back
        if held_back:
            labels = [photo.label for photo in training if photo.label]
            told = self._teller("held-back", len(held_back))
            self.examination = Examination(self.towers, held_back, self._work, labels=labels, told=told)
            self._note(self.examination.problems)
            if not self.examination.photos:
                self.examination = None
        photos, self._inputs = self._make_inputs(training)
        if len(photos) < 2:
            raise UsageError(
                f"{len(photos)} pictures can be read: too few to train on", hint="Give more, with captions."
            )
        self._captions = Captions(photos)
        options = self._options
        self._order = Order(
            self._captions, len(photos), batch=options.batch, views=options.views, seed=options.seed
        )
        self.total_steps = options.steps or options.epochs * self._order.steps_per_epoch
        return photos

    def _make_inputs(self, training: Sequence[Photo]) -> tuple[Sequence[Photo], Inputs]:
        options = self._options
        if not self.towers.frozen or not options.cached:
            return training, PixelInputs(self.towers, training, seed=options.seed)
        told = self._teller("features", len(training))
        file = self._work / "features.npy"
        kept = computed_features(
            self.towers, training, file, views=options.views, seed=options.seed, told=told
        )
        self._note(kept.problems)
        return [training[row] for row in kept.rows], FeatureInputs(kept.values)

    def _begin(self) -> None:
        self._begin_log(
            model_name=self.towers.clip.stamp.name,
            held_back=len(self.examination.photos) if self.examination else 0,
            usual_lr=self._learner.lr,
            frozen=[group.name for group in self.towers.frozen],
            trained=[group.name for group in self.towers.trained],
        )

    def _identity(self) -> dict[str, Any]:
        return {
            **self._options.as_json(),
            "model": self.towers.clip.stamp.weights_sha256,
            "texts": self._captions.digest,
            "total_steps": self.total_steps,
        }

    def _batches(self) -> Iterator[Batch]:
        return self._inputs.batches(self._order.draw(step) for step in range(self._step, self.total_steps))

    def _take_step(self, batch: Batch) -> None:
        loss = self._learner.learn(batch, self._captions, total_steps=self.total_steps)
        self._step += 1
        self._log_step(loss)

    def _log_step(self, loss: float | None) -> None:
        rate = self._learner.rate(self._step - 1, self.total_steps)
        scale = float(self.towers.scale().detach())
        self.journal.write("step", step=self._step, loss=loss, lr=rate, logit_scale=scale)
        if self._step % self._order.steps_per_epoch == 0 and self._step < self.total_steps:
            self._measure("epoch")
        self._listeners.told(Progress("train", self._step, self.total_steps, loss))

    def _measure(self, when: str, *, log: bool = True) -> Measured | None:
        if self.examination is None:
            return None
        measured = self.examination.measure()
        if log:
            self.journal.write("measured", step=self._step, when=when, **measured.as_json())
        self._listeners.looked(when, self.examination)
        return measured

    def _teller(self, phase: str, total: int) -> Callable[[int], None]:
        return lambda done: self._listeners.told(Progress(phase, done, total))
