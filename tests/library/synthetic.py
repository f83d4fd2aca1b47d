"""A catalog of any number of photos that never were, with facts of every kind, filled in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sqlalchemy import insert

from library.catalog import Catalog, writing
from library.schema import favourite, file, photo, tag

CAMERAS = (("Canon", "EOS R5"), ("NIKON CORPORATION", "NIKON D750"), ("Google", "Pixel 7"), (None, None))
SHAPES = ((4000, 3000), (3000, 4000), (6000, 4000), (1000, 1000), (8000, 2000))
TAGS_A_PHOTO = 7
CHUNK = 20_000


def fill(catalog: Catalog, count: int, *, seed: int = 0) -> None:
    """Photos 1 to `count`: a tenth without tags, without date in EXIF, or without a place; 1 % favourites."""
    random = np.random.default_rng(seed)
    hashes = random.integers(-(2**63), 2**63 - 1, count, dtype=np.int64)
    with catalog.writing() as c:
        root = writing.ensure_root(c, Path("/photos"))
    for start in range(1, count + 1, CHUNK):
        ids = range(start, min(start + CHUNK, count + 1))
        with catalog.writing() as c:
            c.execute(insert(photo), [_photo(n, int(hashes[n - 1]), random) for n in ids])
            c.execute(insert(file), [_file(n, root) for n in ids])
            tags = [(n, f"t{(n * 31 + 17 * k) % 1000}") for n in ids if n % 10 for k in range(TAGS_A_PHOTO)]
            c.execute(insert(tag), [{"photo_id": n, "name": name, "state": "suggested"} for n, name in tags])
            c.execute(insert(favourite), [{"photo_id": n, "is_favourite": 1} for n in ids if n % 100 == 0])


def _photo(n: int, perceptual_hash: int, random: np.random.Generator) -> dict[str, object]:
    maker, model = CAMERAS[n % len(CAMERAS)]
    width, height = SHAPES[n % len(SHAPES)]
    date = f"20{n % 25:02}-{n % 12 + 1:02}-{n % 28 + 1:02}T12:00:00"
    has_place = n % 10 != 3
    return {
        "id": n,
        "content_sha256": n.to_bytes(32, "big"),
        "size_bytes": 1_000_000 + n,
        "added_at": "2026",
        "width": width,
        "height": height,
        "format": "PNG" if n % 20 == 0 else "JPEG",
        "orientation": 1,
        "taken_at": date if n % 10 else None,
        "camera_make": maker,
        "camera_model": model,
        "lens": "50mm f/1.8" if n % 3 else None,
        "latitude": float(random.uniform(-60, 70)) if has_place else None,
        "longitude": float(random.uniform(-180, 180)) if has_place else None,
        "perceptual_hash": perceptual_hash,
        "dated_at": date,
    }


def _file(n: int, root: int) -> dict[str, object]:
    return {
        "root_id": root,
        "path": b"f%d/IMG_%d.jpg" % (n % 300, n),
        "photo_id": n,
        "size_bytes": 1_000_000 + n,
        "mtime_ns": n * 10**9,
        "inode": n,
        "companions": b"",
        "state": "missing" if n % 50 == 0 else "indexed",
    }
