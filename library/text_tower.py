"""CLIP's text tower in numpy: tokens -> vectors with nothing to load but the weights that are used.

For a query of a few words torch takes seconds to be imported, and an inference engine a third of a second to read its
graph and arrange weights that are then used once. Here the weights stay where they are, mapped into memory, and only
as many places are computed as the text has tokens. ViT-B-32, "a dog", two cores, measured while others worked too:

    onnxruntime, exported graph of 77 places      import 0.03 s, session 0.34-0.83 s, query 0.03-0.09 s
    numpy, weights mapped, 5 places, one thread   import 0, opening 0.002 s, query 0.05-0.07 s, the next 0.03 s
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.tensorfile import TensorFile

F32 = NDArray[np.float32]

ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu")
POOLS = ("argmax", "eos", "last", "first")
PROJECTIONS = ("matrix", "linear", "none")
# Tokens at once: what lies between the layers stays in the processor's cache. 360 texts of ViT-B-32 on two busy cores:
# 64 tokens 1.6 s, 128 1.5 s, 256 1.5 to 2.0 s, 512 1.7 s, 1,024 2.3 s, 4,096 5.5 s.
_STEP_TOKENS = 128
_MOST_THREADS = 8
# BLAS would wake a thread for each core and let it spin: where other programs are at work, 5 tokens take 0.25 to 0.6 s
# so instead of 0.03 to 0.07 s, and 60 texts 16 s instead of 1.1 s. Several steps run beside each other instead.
_blas = threading.Lock()  # the number of BLAS's threads belongs to the whole process


@dataclass(frozen=True, slots=True)
class TowerShape:
    """What the weights do not say of a tower."""

    prefix: str  # of the tensors' names: "text." where the text tower is a module of its own
    layers: int
    heads: int
    activation: str  # one of ACTIVATIONS
    pool: str  # one of POOLS: which place's vector is the text's
    eos_id: int  # the end token where `pool` is "eos"
    is_causal: bool  # no place sees a later one
    projection: str  # one of PROJECTIONS
    eps: float  # of the layer norms

    def __post_init__(self) -> None:
        known = self.activation in ACTIVATIONS and self.pool in POOLS and self.projection in PROJECTIONS
        if not known or self.layers < 1 or self.heads < 1:
            raise ValueError(f"no text tower is like this: {self}")


# The tensors of a layer, in the order in which `_run` takes them.
_LAYER = (
    *("ln_1.weight", "ln_1.bias", "attn.in_proj_weight", "attn.in_proj_bias"),
    *("attn.out_proj.weight", "attn.out_proj.bias", "ln_2.weight", "ln_2.bias"),
    *("mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"),
)


class TextTower:
    """The transformer of Radford et al. 2021, section 2.4. Any thread may use it."""

    def __init__(self, tensors: TensorFile, shape: TowerShape) -> None:
        """Raises ValueError when a tensor is missing."""
        self._tensors = tensors
        self._shape = shape
        self._places = self._get("positional_embedding")  # (L, W)
        self._layers = [
            [self._get(f"transformer.resblocks.{number}.{name}") for name in _LAYER]
            for number in range(shape.layers)
        ]
        self._last_norm = self._get("ln_final.weight"), self._get("ln_final.bias")
        self._projection = self._project_by()

    def __call__(self, tokens: NDArray[np.int64]) -> F32:
        """(N, L) int64, L at most the context length -> (N, D) float32, not normalised.

        Raises ValueError for a token that is not in the vocabulary.
        """
        ends = self._ends(tokens)
        needed = ends + 1 if self._is_cut_at_the_end else np.full(len(tokens), tokens.shape[1])
        steps = [*_steps(np.argsort(needed, kind="stable"), needed)]
        vectors = np.zeros((len(tokens), self._projection[0].shape[1]), np.float32)

        def run(step: tuple[NDArray[np.int64], int]) -> None:
            rows, length = step
            vectors[rows] = self._run(tokens[rows, :length], ends[rows])

        with _one_thread_each():
            if len(steps) == 1:
                run(steps[0])
            else:
                with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
                    list(pool.map(run, steps))
        return vectors

    @property
    def _is_cut_at_the_end(self) -> bool:
        """Whether what comes after the end of a text changes nothing, so that it need not be computed."""
        return self._shape.is_causal and self._shape.pool in ("argmax", "eos")

    def _ends(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which place's vector is the text's: (N, L) -> (N,)."""
        if self._shape.pool == "argmax":  # the end of a text has the highest token of all
            return np.asarray(tokens.argmax(axis=1), np.int64)
        if self._shape.pool == "eos":
            return np.asarray((tokens == self._shape.eos_id).argmax(axis=1), np.int64)
        return np.full(len(tokens), 0 if self._shape.pool == "first" else tokens.shape[1] - 1)

    def _run(self, tokens: NDArray[np.int64], ends: NDArray[np.int64]) -> F32:
        n, length = tokens.shape
        name = f"{self._shape.prefix}token_embedding.weight"
        x = self._tensors.rows(name, tokens) + self._places[:length]  # (N, L, W)
        x = x.reshape(n * length, -1)  # one product instead of N: numpy would not join them
        mask = np.triu(np.full((length, length), -np.inf, np.float32), 1) if self._shape.is_causal else None
        for layer in self._layers:
            norm, bias, into, into_bias, out, out_bias, norm_2, bias_2, up, up_bias, down, down_bias = layer
            projected = (self._norm(x, norm, bias) @ into.T + into_bias).reshape(n, length, -1)
            x = x + self._attention(projected, mask).reshape(x.shape) @ out.T + out_bias  # (N L, W)
            wide = self._activation(self._norm(x, norm_2, bias_2) @ up.T + up_bias)  # (N L, 4 W)
            x = x + wide @ down.T + down_bias
        pooled = self._norm(x[np.arange(n) * length + ends], *self._last_norm)  # (N, W)
        matrix, offset = self._projection
        return np.asarray(pooled @ matrix + offset, np.float32)  # (N, D)

    def _attention(self, projected: F32, mask: F32 | None) -> F32:
        """(N, L, 3 W): queries, keys, values -> (N, L, W). Vaswani et al. 2017, equation 1."""
        n, length, triple = projected.shape
        heads, width = self._shape.heads, triple // 3
        parts = projected.reshape(n, length, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)
        queries, keys, values = parts  # (N, H, L, W / H)
        scores = (queries * np.float32((width // heads) ** -0.5)) @ keys.swapaxes(-1, -2)  # (N, H, L, L)
        if mask is not None:
            scores = scores + mask
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        return np.asarray((scores @ values).transpose(0, 2, 1, 3).reshape(n, length, width), np.float32)

    def _norm(self, x: F32, weight: F32, bias: F32) -> F32:
        """Ba et al. 2016, equation 4, over the last axis."""
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return np.asarray(
            centred / np.sqrt(variance + np.float32(self._shape.eps)) * weight + bias, np.float32
        )

    def _activation(self, x: F32) -> F32:
        """Hendrycks and Gimpel 2016, section 2: exact, their tanh approximation, or their sigmoid one."""
        if self._shape.activation == "quick_gelu":
            return np.asarray(x / (1 + np.exp(np.float32(-1.702) * x)), np.float32)
        if self._shape.activation == "gelu_tanh":
            inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
            return np.asarray(np.float32(0.5) * x * (1 + np.tanh(inner)), np.float32)
        return np.asarray(np.float32(0.5) * x * (1 + _erf(x * np.float32(math.sqrt(0.5)))), np.float32)

    def _project_by(self) -> tuple[F32, F32]:
        """The matrix (W, D) and the offset (D,) at the end."""
        width = self._places.shape[1]
        if self._shape.projection == "linear":
            return self._get("text_projection.weight").T, self._get("text_projection.bias")
        matrix = np.eye(width, dtype=np.float32)
        if self._shape.projection == "matrix":
            matrix = self._get("text_projection")
        return matrix, np.zeros(matrix.shape[1], np.float32)

    def _get(self, name: str) -> F32:
        return self._tensors.get(f"{self._shape.prefix}{name}")


def _steps(order: NDArray[np.int64], needed: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], int]]:
    """The rows in order, shortest text first, in groups, each with how many places its longest text needs."""
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * int(needed[order[end]]) <= _STEP_TOKENS:
            end += 1
        yield order[start:end], int(needed[order[end - 1]])
        start = end


def _erf(x: F32) -> F32:
    """The error function within 5e-7. Abramowitz and Stegun 1964, formula 7.1.26."""
    size = np.abs(x)
    t = 1 / (1 + np.float32(0.3275911) * size)
    rest = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        rest = (rest + np.float32(factor)) * t
    return np.asarray(np.copysign(1 - rest * np.exp(-size * size), x), np.float32)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """One BLAS thread for each of ours."""
    with _blas, _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> Any:
    """What counts threads; to find the libraries takes 2 ms, a third of a query to the built-in model."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
