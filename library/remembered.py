"""Texts that are asked of a model in every library, embedded once on a machine and kept in its cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from library.encoder import Encoder
from library.records import ModelStamp

log = logging.getLogger(__name__)

F32 = NDArray[np.float32]

FORMAT = 1
_DIGEST_BYTES = hashlib.sha256().digest_size
_MOST_APART = 1e-3  # of a kept vector's L2 norm from 1


class Remembered:
    """A model whose answers are kept, whole: the same texts again cost reading a file."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def encode_texts(self, texts: list[str]) -> F32:
        """N texts -> (N, D) float32, L2 norm 1. Raises what the encoder raises."""
        stamp = self._encoder.stamp
        path = kept_path(stamp, texts)
        kept = _read(path, len(texts), stamp.dim)
        if kept is not None:
            return kept
        vectors = self._encoder.encode_texts(texts)
        _write(path, vectors)
        return vectors


def kept_path(stamp: ModelStamp, texts: list[str]) -> Path:
    """Where the vectors of these texts lie, or would lie."""
    key = hashlib.sha256(json.dumps([FORMAT, asdict(stamp), texts]).encode()).hexdigest()
    return platformdirs.user_cache_path("oko", appauthor=False) / "text-vectors" / key[:32]


def _read(path: Path, count: int, dim: int) -> F32 | None:
    """What is kept, if it is whole: a digest, then (count, dim) float32."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, values = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(values).digest() != digest or len(values) != 4 * count * dim:
        log.debug("%s is damaged, and made again", path)
        return None
    vectors = np.frombuffer(values, "<f4").reshape(count, dim)
    is_sound = bool((np.abs(np.linalg.norm(vectors, axis=1) - 1) <= _MOST_APART).all())
    return np.array(vectors, np.float32) if is_sound else None


def _write(path: Path, vectors: F32) -> None:
    """Atomically, readable by the owner alone. Best effort: a folder that cannot be written costs time only."""
    values = vectors.astype("<f4").tobytes()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(values).digest() + values)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as e:
        log.debug("vectors of texts are not kept: %s", e)
