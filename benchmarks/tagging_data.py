"""Photos with captions for tagging: their vectors, made once and kept beside the system's temporary files."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.captions import truth
from benchmarks.shards import DEVELOPMENT, Photo, held_out
from library.encoder import Encoder, load_encoder
from library.models import Registry
from library.vocabulary import Vocabulary
from search.tag import embed_prompts, prompts_of
from training.splits import is_held_out

CAPTIONS = "text/flickr30k_train_en.txt.gz"  # one a line, of no photo of the development split
BATCH = 64
F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Album:
    """Vectors (n, D) of photos, L2 norm 1, and what is known about each: its captions."""

    vectors: F32
    captions: list[list[str]]

    def truth(self, vocabulary: Vocabulary) -> NDArray[np.bool_]:
        """(photos, tags): which tags the captions name."""
        return truth(self.captions, vocabulary.tags)


def command_line(about: str | None) -> argparse.ArgumentParser:
    """What every benchmark on these photos is told."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="builtin")
    return parser


def model_for(name: str) -> Encoder:
    """The encoder of a model in the registry."""
    return load_encoder(Registry(Path(tempfile.gettempdir())).resolve(name))


def load_album(data: Path, encoder: Encoder, *, shard: str = DEVELOPMENT, development: bool) -> Album | None:
    """The held-out photos of a shard, or all others; None when they are not here."""
    file = data / shard
    if not file.is_file():
        return None
    vectors, captions = _kept(
        f"{encoder.stamp} {shard} {file.stat().st_size} {development}",
        lambda: _embedded(encoder, held_out(file) if development else others(file)),
    )
    return Album(vectors, json.loads(captions))


def tag_vectors(encoder: Encoder, vocabulary: Vocabulary) -> F32:
    """(L, D): what `search.tag.embed_prompts` gives for the vocabulary."""
    sets = [prompts_of(tag) for tag in vocabulary.tags]
    digest = hashlib.sha256(b"".join(each.digest for each in sets)).hexdigest()
    return _kept(f"{encoder.stamp} {digest}", lambda: (embed_prompts(encoder, sets), ""))[0]


def lone_captions(data: Path) -> list[str]:
    """Captions of photos that are not here; none when the file is not here."""
    file = data / CAPTIONS
    return gzip.decompress(file.read_bytes()).decode().splitlines() if file.is_file() else []


def _kept(what: str, make: Callable[[], tuple[F32, str]]) -> tuple[F32, str]:
    """Vectors and a text, made once for exactly these weights and this file."""
    file = Path(tempfile.gettempdir(), f"oko-tagging-{hashlib.sha256(what.encode()).hexdigest()[:16]}.npz")
    if not file.is_file():
        vectors, text = make()
        np.savez(file, vectors=vectors, text=text)
    with np.load(file) as stored:
        return stored["vectors"], str(stored["text"])


def _embedded(encoder: Encoder, photos: Sequence[Photo]) -> tuple[F32, str]:
    parts = [
        encoder.encode_images(np.stack([encoder.prepare(photo.image) for photo in photos[at : at + BATCH]]))
        for at in range(0, len(photos), BATCH)
    ]
    return np.concatenate(parts), json.dumps([photo.captions for photo in photos])


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
