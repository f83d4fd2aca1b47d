"""How well a model in training answers on photos that were held back: recall both ways, and labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.prompts import text_classifier
from training.data import Captions
from training.evaluate import recall_at, zero_shot_accuracy
from training.features import computed_features
from training.photos import Photo, Problem
from training.towers import Towers

F32 = NDArray[np.float32]
_BATCH = 128
_LEAST_LABELLED = 10  # fewer photos with a label say nothing about zero-shot accuracy


@dataclass(frozen=True, slots=True)
class Measured:
    """Shares from 0 to 1; recall by k. `zero_shot` is None where too few photos have a label."""

    photos: int
    captions: int
    text_to_image: dict[int, float]
    image_to_text: dict[int, float]
    zero_shot: float | None = None
    labels: int = 0

    @property
    def mean_recall(self) -> float:
        """The six recalls averaged: one number to compare by."""
        values = [*self.text_to_image.values(), *self.image_to_text.values()]
        return sum(values) / len(values)

    def as_json(self) -> dict[str, Any]:
        """A plain object; JSON turns the ks into texts, a missing zero_shot into null."""
        return dataclasses.asdict(self)


class Examination:
    """The held-back photos, made ready once: what the frozen layers make of them lies in a file."""

    def __init__(
        self,
        towers: Towers,
        photos: Sequence[Photo],
        folder: Path,
        *,
        labels: Sequence[str] = (),
        told: Callable[[int], None] = lambda done: None,
    ) -> None:
        kept = computed_features(towers, photos, folder / "held-back.npy", views=1, seed=0, told=told)
        self.problems: list[Problem] = kept.problems
        self.photos = [photos[row] for row in kept.rows]
        self._towers = towers
        self._values = kept.values
        self._captions = Captions(self.photos)
        self._texts, self._photos_of, self._texts_of = _unique(self._captions, len(self.photos))
        labelled = [photo.label for photo in self.photos if photo.label]
        self._labels = sorted({*labels, *labelled}) if len(labelled) >= _LEAST_LABELLED else []

    def measure(self) -> Measured:
        """Recall at 1, 5 and 10 both ways, and zero-shot accuracy where labels are known."""
        images, texts = self.image_vectors(), self.encode_texts(self._texts)
        return Measured(
            photos=len(images),
            captions=len(texts),
            text_to_image=recall_at(texts, images, self._photos_of),
            image_to_text=recall_at(images, texts, self._texts_of),
            zero_shot=self._zero_shot(images),
            labels=len(self._labels),
        )

    def image_vectors(self) -> F32:
        """(N, D) float32, L2 norm 1, of the photos in their order."""
        import torch

        self._towers.set_training(False)
        parts = [np.zeros((0, self._towers.clip.stamp.dim), np.float32)]
        with torch.no_grad():
            for start in range(0, self._values.shape[1], _BATCH):
                values = torch.from_numpy(self._values[0, start : start + _BATCH].astype(np.float32))
                parts.append(self._towers.image_vectors(values.to(self._towers.clip.device)).cpu().numpy())
        return np.concatenate(parts)

    def encode_texts(self, texts: list[str]) -> F32:
        """N texts -> (N, D) float32, L2 norm 1."""
        import torch

        clip = self._towers.clip
        self._towers.set_training(False)
        parts = [np.zeros((0, clip.stamp.dim), np.float32)]
        with torch.no_grad():
            for start in range(0, len(texts), _BATCH):
                tokens = clip.tokenizer(texts[start : start + _BATCH]).to(clip.device)
                parts.append(self._towers.text_vectors(tokens).cpu().numpy())
        return np.concatenate(parts)

    def example_queries(self, count: int) -> list[str]:
        """Captions of held-back photos, each of another photo, spread over them: the same in every run."""
        rows = np.linspace(0, len(self.photos) - 1, min(count, len(self.photos))).round().astype(int)
        return list(dict.fromkeys(self.photos[row].captions[0] for row in rows))

    def right_photos(self, query: str) -> set[int]:
        """The photos that have the query as a caption."""
        return {row for row, photo in enumerate(self.photos) if query in photo.captions}

    def _zero_shot(self, images: F32) -> float | None:
        if len(self._labels) < 2:
            return None
        rows = [row for row, photo in enumerate(self.photos) if photo.label]
        right = [self._labels.index(self.photos[row].label) for row in rows]
        return zero_shot_accuracy(images[rows], text_classifier(self, self._labels), right, (1,))[1]


def _unique(captions: Captions, photos: int) -> tuple[list[str], list[list[int]], list[list[int]]]:
    """Captions that say different things, for each the photos it describes, and for each photo its captions."""
    texts: list[str] = []
    photos_of: list[list[int]] = []
    texts_of: list[list[int]] = []
    place: dict[int, int] = {}
    for photo in range(photos):
        mine: list[int] = []
        for row in captions.of(photo):
            at = place.setdefault(int(captions.meaning[row]), len(texts))
            if at == len(texts):
                texts.append(captions.texts[row])
                photos_of.append([])
            if at not in mine:
                mine.append(at)
                photos_of[at].append(photo)
        texts_of.append(mine)
    return texts, photos_of, texts_of
