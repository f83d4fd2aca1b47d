"""Vectors and queries of a library that never was: one generator for both, as `benchmarks.million` needs them.

Pictures are clustered (a burst or an outing shows few things), share a mean direction, as CLIP's do, and lie in the
order of time. Queries are texts: another mean direction (the modality gap of Liang et al., "Mind the Gap" (2022)), one
or two things in the middle of their clusters, and much that no picture has. So no query lies among the pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.records import ModelStamp

F32 = NDArray[np.float32]
EVENT = 100  # photos
THINGS_AN_EVENT = 4
THINGS = 3_000


class World:
    """What can be seen: `things` directions in a space of `dim` numbers, of decaying variance as real spectra have."""

    def __init__(self, dim: int, *, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.dim = dim
        turn = np.linalg.qr(random.standard_normal((dim, dim)))[0].astype(np.float32)
        self.pictures, own = turn[0], turn[1]
        self.texts = np.asarray(0.25 * self.pictures + 0.97 * own, np.float32)
        spectrum = np.zeros(dim, np.float32)
        spectrum[2:] = np.arange(1, dim - 1) ** -0.4
        self._turn, self._spectrum = turn, spectrum / np.linalg.norm(spectrum)
        self.things = self._spread(random, THINGS)  # (THINGS, D), each of about length 1
        self._popularity = np.arange(1, THINGS + 1) ** -0.7
        self._popularity /= self._popularity.sum()

    def _spread(self, random: np.random.Generator, count: int) -> F32:
        rows = random.standard_normal((count, self.dim), dtype=np.float32) * self._spectrum
        return np.asarray(rows @ self._turn, np.float32)

    def photos(self, count: int, *, seed: int) -> F32:
        """`count` pictures (n, D) float32, L2 norm 1, in the order of time."""
        random = np.random.default_rng((1, seed))
        events = -(-count // EVENT)
        seen = random.choice(THINGS, (events, THINGS_AN_EVENT), p=self._popularity)
        shown = seen[np.arange(count) // EVENT, random.integers(0, THINGS_AN_EVENT, count)]
        occasion = self._spread(random, events)[np.arange(count) // EVENT]
        rows = 0.70 * self.pictures + 0.50 * self.things[shown] + 0.25 * occasion
        return _unit(rows + 0.45 * self._spread(random, count))

    def queries(self, count: int, *, seed: int) -> F32:
        """`count` texts (n, D) float32, L2 norm 1."""
        random = np.random.default_rng((2, seed))
        asked = random.choice(THINGS, (count, 2), p=self._popularity)
        second = (random.random((count, 1)) < 0.5).astype(np.float32)
        things = self.things[asked[:, 0]] + second * self.things[asked[:, 1]]
        beside = random.standard_normal((count, self.dim), dtype=np.float32) / np.sqrt(self.dim)
        return _unit(0.75 * self.texts + 0.45 * things + 0.20 * self._spread(random, count) + 0.35 * beside)


class WorldEncoder:
    """The text side of a model of that world: every text is one query, always the same."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stamp = ModelStamp("synthetic", "0" * 64, world.dim, "none")
        self.logit_scale = 100.0
        self.logit_bias: float | None = None

    def encode_texts(self, texts: Sequence[str]) -> F32:
        """N texts -> (N, D) float32, L2 norm 1."""
        return np.concatenate([self.world.queries(1, seed=_number(text)) for text in texts])

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _number(text: str) -> int:
    return int.from_bytes(text.encode()[-7:].rjust(7, b"\0"), "big") + len(text)


def _unit(rows: F32) -> F32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
