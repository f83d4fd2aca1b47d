"""What every run has: a folder, a log, what it passed over, and a checkpoint from which it goes on."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from library.errors import UsageError
from training import checkpoint
from training.journal import Journal
from training.photos import Problem

CHECKPOINT_S = 120.0  # what a kill can cost
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: `done` of `total` in the phase held-back, features or train; `loss` while it trains."""

    phase: str
    done: int
    total: int
    loss: float | None = None


class _Learner(Protocol):
    is_whole: bool

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class _Batch(Protocol):
    @property
    def problems(self) -> tuple[Problem, ...]: ...


L = TypeVar("L", bound=_Learner)
B = TypeVar("B", bound=_Batch)


class Run(ABC, Generic[L, B]):
    """A learner and its steps, in FOLDER/training."""

    def __init__(self, learner: L, folder: Path) -> None:
        self.folder = folder
        self._work = folder / "training"
        self.journal = Journal(self._work / "log.jsonl")
        self._learner = learner
        self._step = 0
        self._problems: dict[str, Problem] = {}

    @abstractmethod
    def _identity(self) -> dict[str, Any]:
        """What has to be the same for a run to go on."""

    @abstractmethod
    def _batches(self) -> Iterator[B]:
        """What the steps that are left learn from."""

    @abstractmethod
    def _take_step(self, batch: B) -> None:
        """Learns from a batch, counts the step, logs it and tells of it."""

    def _begin_log(self, **facts: Any) -> None:
        self.journal.begin(**self._identity(), **facts)
        for problem in self._problems.values():
            self.journal.write("problem", name=problem.name, reason=problem.reason)

    def _resume(self) -> None:
        state = checkpoint.load(checkpoint_file(self.folder))
        was, now = state.get("identity", {}), self._identity()
        changed = sorted(key for key in now if was.get(key) != now[key])
        if state.get("format") != _FORMAT or changed:
            raise UsageError(
                f"the unfinished run in {self.folder} differs in {', '.join(changed) or 'its format'}",
                hint="Resume with the same data and options, or begin another run under another name.",
            )
        self._learner.restore(state)
        self._step = state["step"]
        self.journal.cut(self._step)

    def _save_checkpoint(self) -> None:
        state = {"format": _FORMAT, "identity": self._identity(), "step": self._step, **self._learner.state()}
        checkpoint.save(checkpoint_file(self.folder), state)

    def _train(self) -> None:
        saved = time.monotonic()
        try:
            for batch in self._batches():
                self._note(batch.problems, log=True)
                self._take_step(batch)
                if time.monotonic() - saved > CHECKPOINT_S:
                    self._save_checkpoint()
                    saved = time.monotonic()
        except BaseException:
            if self._learner.is_whole:  # else the last checkpoint is the newest sound state
                self._save_checkpoint()
            raise
        self._save_checkpoint()  # what follows can be interrupted, too

    def _note(self, problems: Iterable[Problem], *, log: bool = False) -> None:
        for problem in problems:
            if problem.name not in self._problems and log:
                self.journal.write("problem", step=self._step, name=problem.name, reason=problem.reason)
            self._problems[problem.name] = problem


def checkpoint_file(folder: Path) -> Path:
    """Where the state of an unfinished run of a model's folder is."""
    return folder / "training" / "checkpoint.pt"
