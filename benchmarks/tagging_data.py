"""Photos with captions for tagging: their vectors, made once and kept beside the system's temporary files."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.shards import DEVELOPMENT, Photo, held_out
from library.encoder import Encoder, load_encoder
from library.models import Registry
from training.splits import is_held_out

BATCH = 64


@dataclass(frozen=True)
class Album:
    """Vectors (n, D) of photos, L2 norm 1, their captions, and the model."""

    vectors: NDArray[np.float32]
    captions: list[list[str]]
    encoder: Encoder


def load_album(data: Path, model: str, *, development: bool) -> Album | None:
    """The development split, or the photos that are not in it; None when they are not here."""
    shard = data / DEVELOPMENT
    if not shard.is_file():
        return None
    encoder = load_encoder(Registry(Path(tempfile.gettempdir())).resolve(model))
    kept = kept_file(encoder, shard, development=development)
    if kept.is_file():
        with np.load(kept) as stored:
            return Album(stored["vectors"], json.loads(str(stored["captions"])), encoder)
    photos = held_out(shard) if development else others(shard)
    parts = []
    for start in range(0, len(photos), BATCH):
        pixels = np.stack([encoder.prepare(photo.image) for photo in photos[start : start + BATCH]])
        parts.append(encoder.encode_images(pixels))
    album = Album(np.concatenate(parts), [photo.captions for photo in photos], encoder)
    np.savez(kept, vectors=album.vectors, captions=json.dumps(album.captions))
    return album


def kept_file(encoder: Encoder, shard: Path, *, development: bool) -> Path:
    """Where the vectors of a model are kept: of exactly these weights and this file."""
    what = f"{encoder.stamp} {shard.stat().st_size} {development}"
    return Path(tempfile.gettempdir(), f"oko-tags-{hashlib.sha256(what.encode()).hexdigest()[:16]}.npz")


def others(shard: Path) -> list[Photo]:
    """The photos of a shard that are not held out, in the order of their keys."""
    parts: dict[str, dict[str, bytes]] = {}
    with tarfile.open(shard) as tar:
        for member in tar:
            key, _, suffix = member.name.rpartition(".")
            content = None if is_held_out(key) else tar.extractfile(member)
            if content is not None:
                parts.setdefault(key, {})["facts" if suffix == "json" else "picture"] = content.read()
    return [Photo(key, each["picture"], json.loads(each["facts"])) for key, each in sorted(parts.items())]
