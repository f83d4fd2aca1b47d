"""A deterministic stand-in for an encoder: no weights, no torch, but colours really can be searched."""

from __future__ import annotations

import hashlib
import re
import threading
import time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library.errors import OutOfMemory
from library.records import ModelStamp

F32 = NDArray[np.float32]

SIDE_PX = 32
GRID = 8
# sRGB, 0 to 1. Grey is the origin of the colour space used here and therefore only a bias.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.9, 0.1, 0.1),
    "green": (0.1, 0.7, 0.1),
    "blue": (0.1, 0.1, 0.9),
    "yellow": (0.95, 0.9, 0.1),
    "orange": (1.0, 0.55, 0.0),
    "purple": (0.5, 0.1, 0.6),
    "pink": (1.0, 0.6, 0.75),
    "brown": (0.45, 0.27, 0.1),
    "black": (0.0, 0.0, 0.0),
    "white": (1.0, 1.0, 1.0),
    "grey": (0.5, 0.5, 0.5),
    "gray": (0.5, 0.5, 0.5),
}
_LAYOUT_WEIGHT = 0.5  # how much the arrangement counts beside the mean colour
_WORD_WEIGHT = 0.05  # how much an unknown word moves a text


class FakeEncoder:
    """An `Encoder` whose vector is a picture's mean colour and 8 x 8 layout, turned by a seeded rotation.

    Two fakes with different `seed` or `name` are different models. `embedded` counts the pictures.
    `delay_s` is slept per batch; a batch of more than `max_batch` pictures raises OutOfMemory.
    """

    def __init__(
        self,
        *,
        name: str = "fake",
        dim: int = 64,
        seed: int = 0,
        delay_s: float = 0.0,
        max_batch: int | None = None,
        min_side_px: int = 2 * SIDE_PX,
    ) -> None:
        assert dim >= 8, "three colours, a bias, and some layout"
        random = np.random.default_rng(seed)
        layout = random.standard_normal((GRID * GRID * 3, dim - 4)) / (GRID * np.sqrt(3))
        self._layout = layout.astype(np.float32)
        self._turn = np.linalg.qr(random.standard_normal((dim, dim)))[0].astype(np.float32)
        digest = hashlib.sha256(f"{name} {dim} {seed}".encode()).hexdigest()
        pixels = f"size={SIDE_PX}x{SIDE_PX} fake"
        self.stamp = ModelStamp(name=name, weights_sha256=digest, dim=dim, preprocessing=pixels)
        self.logit_scale = 20.0
        self.logit_bias: float | None = None
        self.min_side_px = min_side_px
        self.delay_s = delay_s
        self.max_batch = max_batch
        self.embedded = 0
        self.closed = False
        self._lock = threading.Lock()

    def prepare(self, image: Image.Image) -> F32:
        """RGB picture -> (3, 32, 32) float32, 0 to 1."""
        small = image.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
        return np.ascontiguousarray(np.asarray(small, np.float32).transpose(2, 0, 1) / 255)

    def encode_images(self, batch: F32) -> F32:
        """(N, 3, 32, 32) float32, 0 to 1 -> (N, D) float32, L2 norm 1. OutOfMemory above `max_batch`."""
        if self.delay_s:
            time.sleep(self.delay_s)
        if self.max_batch is not None and len(batch) > self.max_batch:
            raise OutOfMemory(f"{len(batch)} photos at once do not fit into memory")
        with self._lock:
            self.embedded += len(batch)
        step = SIDE_PX // GRID
        cells = batch.reshape(len(batch), 3, GRID, step, GRID, step).mean(axis=(3, 5))  # (N, 3, 8, 8)
        mean = cells.mean(axis=(2, 3))  # (N, 3)
        layout = (cells - mean[:, :, None, None]).reshape(len(batch), -1) @ self._layout
        return self._finish(mean, _LAYOUT_WEIGHT * layout)

    def encode_texts(self, texts: list[str]) -> F32:
        """N texts -> (N, D) float32, L2 norm 1: the mean of the colours named, a trace of other words."""
        means = np.full((len(texts), 3), 0.5, np.float32)
        traces = np.zeros((len(texts), self.stamp.dim - 4), np.float32)
        for row, text in enumerate(texts):
            words = re.findall(r"\w+", text.lower())
            named = [COLOURS[word] for word in words if word in COLOURS]
            if named:
                means[row] = np.mean(named, axis=0)
            for word in (word for word in words if word not in COLOURS):
                traces[row] += _WORD_WEIGHT * self._word(word)
        return self._finish(means, traces)

    def close(self) -> None:
        """Only remembers that it was called."""
        self.closed = True

    def _word(self, word: str) -> F32:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        vector = np.random.default_rng(seed).standard_normal(self.stamp.dim - 4).astype(np.float32)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)

    def _finish(self, mean: F32, rest: F32) -> F32:
        bias = np.full((len(mean), 1), 0.1, np.float32)  # grey has a direction too
        vectors = np.concatenate([mean - 0.5, bias, rest], axis=1).astype(np.float32) @ self._turn
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
