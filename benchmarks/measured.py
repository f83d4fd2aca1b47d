"""What the models are measured on, loaded and drawn once for all of them, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders import Contender
from benchmarks.shards import DEVELOPMENT, Photo, held_out, translations
from training.altered import blanks
from training.drawn import Drawing
from training.rendered import Page, pages

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of one model: `value` in the unit, over `count` queries or pictures."""

    group: str
    name: str
    value: float
    count: int
    unit: str = "%"
    chance: float | None = None  # what guessing would give, in the unit
    less_is_better: bool = False


class World:
    """The held-out pictures and the drawn ones; each shard may be absent."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.photos = held_out(data / DEVELOPMENT)
        # (row of the photo, caption)
        self.captions = [(row, text) for row, photo in enumerate(self.photos) for text in photo.captions]

    @cached_property
    def by_language(self) -> dict[str, list[tuple[int, str]]]:
        """Language -> (row of the photo, caption)."""
        rows = {photo.key: row for row, photo in enumerate(self.photos)}
        found = translations(self.data, set(rows))
        return {name: [(rows[key], text) for key, text in pairs] for name, pairs in found.items()}

    def shard(self, name: str) -> list[Photo]:
        """The held-out pictures of another shard."""
        return held_out(self.data / f"{name}.tar")

    @cached_property
    def coco(self) -> list[Photo]:
        """Everyday scenes, many of them indoors."""
        return self.shard("coco_human")

    @cached_property
    def pages(self) -> list[Page]:
        """Drawn documents and screenshots."""
        return pages()


class View:
    """The world as one model sees it; what several probes need is embedded once."""

    def __init__(self, world: World, contender: Contender) -> None:
        self.world = world
        self.contender = contender

    @cached_property
    def photos(self) -> F32:
        """(N, D): the development photos."""
        return self.contender.images(photo.image for photo in self.world.photos)

    @cached_property
    def coco(self) -> F32:
        """(N, D): the held-out COCO photos."""
        return self.contender.images(photo.image for photo in self.world.coco)

    @cached_property
    def pages(self) -> F32:
        """(N, D): the drawn pages."""
        return self.contender.images(page.image for page in self.world.pages)

    @cached_property
    def blanks(self) -> F32:
        """(N, D): black, white and noise."""
        return self.contender.images(blanks().values())

    def texts(self, texts: Sequence[str]) -> F32:
        """(N, D) of the texts."""
        return self.contender.texts(texts)

    def choices_right(self, drawings: Sequence[Drawing]) -> float:
        """The share of drawings that are nearer to their text than to any wrong one."""
        vectors = self.contender.images(drawing.image for drawing in drawings)
        right = 0
        for vector, drawing in zip(vectors, drawings, strict=True):
            scores = self.texts([drawing.text, *drawing.wrong]) @ vector
            right += bool(scores[0] > scores[1:].max())
        return right / len(drawings)
