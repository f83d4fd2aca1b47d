"""The sentences that tags are asked with, embedded before the library's lock is taken: for a minute, nobody waits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from library.prompts import TextEncoder
from library.records import ModelStamp
from library.store import Store
from library.vocabulary import Vocabulary
from search.tag import PromptSet, embed_prompts
from search.tagger import lacking_prompts

log = logging.getLogger(__name__)

STEP_TAGS = 32  # about two seconds of work on two cores
SAVE_TAGS = 128  # taking the lock costs a little, too


@dataclass
class PromptsAhead:
    """Embeds what a library lacks of a vocabulary for one model, some tags a step.

    `encoder` is asked for only when something is lacking. The lock is taken for the moments of writing.
    """

    open_reader: Callable[[], AbstractContextManager[Store]]
    open_writer: Callable[[], AbstractContextManager[Store]]
    stamp: ModelStamp
    encoder: Callable[[], TextEncoder]
    vocabulary: Vocabulary
    _lacking: dict[bytes, PromptSet] | None = None
    _made: dict[bytes, NDArray[np.float32]] = field(default_factory=dict)
    _done: int = 0

    def step(self) -> bool:
        """Embed some; returns whether more are lacking. Raises LibraryError and ModelError; call it again then."""
        lacking = self._look()
        part = list(lacking)[:STEP_TAGS]
        if part:
            vectors = embed_prompts(self.encoder(), [lacking[digest] for digest in part])
            for digest, vector in zip(part, vectors, strict=True):
                self._made[digest] = vector
                del lacking[digest]
            self._done += len(part)
        if self._made and (not lacking or len(self._made) >= SAVE_TAGS):
            self._save()
        return bool(lacking)

    def all(
        self,
        progress: Callable[[int, int | None], None] = lambda done, total: None,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Embed everything that is lacking; what is done is kept when it is stopped. Raises as `step` does."""
        total = len(self._look())
        try:
            while self._look() and not is_stopping():
                self.step()
                progress(self._done, total)
        finally:
            if self._made:
                self._save()

    def _look(self) -> dict[bytes, PromptSet]:
        if self._lacking is None:
            with self.open_reader() as store:
                self._lacking = lacking_prompts(store, self.stamp, self.vocabulary)
            if self._lacking:
                log.info("reading the words of %d tags; the library remembers them", len(self._lacking))
        return self._lacking

    def _save(self) -> None:
        with self.open_writer() as store:
            model_id = store.use_model(self.stamp)
            store.remember_tag_vectors(model_id, list(self._made), np.stack(list(self._made.values())))
        self._made.clear()
