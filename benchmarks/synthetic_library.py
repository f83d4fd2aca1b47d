"""A real library of any number of photos that never were, written straight into the catalog."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from benchmarks.synthetic import World
from library.catalog import Connection, reading, writing
from library.records import ModelStamp
from library.schema import embedding, file, photo
from library.store import Store

ROWS = 20_000  # a transaction, and what one seed of the generator makes
FIRST, YEARS = datetime(2000, 1, 1), 25
DAYS = 365.25 * YEARS


def fill(folder: Path, world: World, stamp: ModelStamp, photos: int) -> None:
    """Bring the library to that many photos, indexed in the order of time; does nothing if it has them."""
    with Store.open_writer(folder, purpose="benchmark", timeout_s=5, create=True) as store:
        with store.catalog.reading() as c:
            there = reading.photo_count(c)
        root = store.add_root(folder / "photos")
        model_id = store.use_model(stamp)
        for start in range(there, photos, ROWS):
            ids = range(start + 1, min(start + ROWS, photos) + 1)
            with store.catalog.writing() as c:
                _add(c, world, (root.id, model_id), ids, photos)
            print(f"\r{ids[-1]:,} of {photos:,} photos", end="", file=sys.stderr, flush=True)
        store.set_default_model(stamp.name)


def date_of(key: int, photos: int) -> datetime:
    """When a photo was taken: evenly over the years."""
    return FIRST + timedelta(days=DAYS * (key - 1) / photos)


def since(share: float) -> str:
    """The date after which that share of the photos was taken, as the query language has it."""
    return (FIRST + timedelta(days=DAYS * (1 - share))).strftime("%Y-%m-%d")


def _add(c: Connection, world: World, owner: tuple[int, int], ids: range, photos: int) -> None:
    root_id, model_id = owner
    vectors = world.photos(len(ids), seed=ids[0]).astype("<f2")
    revision = writing.next_revision(c)
    days = [date_of(key, photos) for key in ids]
    size = {"size_bytes": 3_000_000, "added_at": "2026-01-01", "width": 4000, "height": 3000}
    facts = {**size, "format": "JPEG", "orientation": 1, "camera_model": "Fixed"}
    rows = [
        {
            **facts,
            "id": key,
            "content_sha256": key.to_bytes(32, "big"),
            "taken_at": day.isoformat(timespec="seconds"),
            "dated_at": day.isoformat(timespec="seconds"),
            "perceptual_hash": (key * 0x9E3779B97F4A7C15) % 2**64 - 2**63,
        }
        for key, day in zip(ids, days, strict=True)
    ]
    c.execute(insert(photo), rows)
    stamp = {
        "root_id": root_id,
        "size_bytes": 3_000_000,
        "mtime_ns": 0,
        "companions": b"",
        "state": "indexed",
    }
    paths = [f"{day:%Y/%m}/{key:07}.jpg".encode() for key, day in zip(ids, days, strict=True)]
    c.execute(
        insert(file),
        [
            {**stamp, "path": path, "photo_id": key, "inode": key}
            for key, path in zip(ids, paths, strict=True)
        ],
    )
    kept = {"model_id": model_id, "revision": revision}
    c.execute(
        insert(embedding),
        [{**kept, "photo_id": key, "vector": row.tobytes()} for key, row in zip(ids, vectors, strict=True)],
    )
