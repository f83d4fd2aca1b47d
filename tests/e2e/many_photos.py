"""A library of very many photos that were never on disk: for the page's grid and whatever else must not care."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library.fakes import FakeEncoder
from library.records import FileStamp, ImageFacts, NewPhoto
from library.store import Store

SHAPES = ((4000, 3000), (3000, 4000), (6000, 4000), (4000, 6000), (3000, 3000), (5000, 2100))
BATCH = 5_000
DAYS = 28


def fill(folder: Path, encoder: FakeEncoder, count: int) -> None:
    """Make the library: `count` photos of random vectors and six shapes, ten a day, newest last."""
    rng = np.random.default_rng(0)
    thumbnails = [_thumbnail(number, shape) for number, shape in enumerate(SHAPES)]
    with Store.open_writer(folder, purpose="test", timeout_s=5, create=True) as store:
        root, model_id = store.add_root(folder.parent / "nowhere"), store.use_model(encoder.stamp)
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            vectors = rng.standard_normal((size, encoder.stamp.dim)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            hashes = rng.integers(-(2**63), 2**63, size)
            batch = [_photo(start + n, vectors[n], int(hashes[n]), thumbnails) for n in range(size)]
            store.add(root.id, model_id, batch)
        store.set_default_model(encoder.stamp.name)


def _photo(
    number: int, vector: NDArray[np.float32], perceptual_hash: int, thumbnails: list[bytes]
) -> NewPhoto:
    which = number * 7 % 6 if number % 4 else number % 6
    day = number // 10
    year, month = 2000 + day // (12 * DAYS), day // DAYS % 12 + 1
    facts = ImageFacts(
        *SHAPES[which],
        format="JPEG",
        taken_at=f"{year}-{month:02}-{day % DAYS + 1:02}T12:00:{number % 10:02}",
    )
    return NewPhoto(
        stamp=FileStamp(f"{number // 500:03}/{number:06}.jpg".encode(), 3_000_000, number, number),
        content_sha256=hashlib.sha256(number.to_bytes(8)).digest(),
        facts=facts,
        perceptual_hash=perceptual_hash,
        thumbnail=thumbnails[which],
        embedding=vector,
    )


def _thumbnail(number: int, shape: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    colour = ((40 * number) % 256, (90 + 60 * number) % 256, (200 - 30 * number) % 256)
    Image.new("RGB", (shape[0] // 100, shape[1] // 100), colour).save(out, "WEBP")
    return out.getvalue()
