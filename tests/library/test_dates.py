"""The order of a whole library by date, read from the index as one text."""

from __future__ import annotations

import random
from pathlib import Path

from sqlalchemy import insert

from library.catalog import Catalog, dates, open_catalog
from library.schema import photo


def catalog_of(folder: Path, days: dict[int, str | None]) -> Catalog:
    catalog = open_catalog(folder, create=True)
    rows = [
        {
            "id": key,
            "content_sha256": key.to_bytes(32, "big"),
            "width": 1,
            "height": 1,
            "format": "JPEG",
            "size_bytes": 1,
            "added_at": "",
            "orientation": 1,
            "perceptual_hash": 0,
            "dated_at": day,
        }
        for key, day in days.items()
    ]
    with catalog.writing() as c:
        c.execute(insert(photo), rows)
    return catalog


def test_newest_and_oldest_first(tmp_path: Path) -> None:
    drawn = random.Random(0)
    moments = [None, *(f"2020-01-{day:02}T00:00:00" for day in range(1, 20))]
    days = {key: drawn.choice(moments) for key in drawn.sample(range(1, 10_000), 3_000)}
    catalog = catalog_of(tmp_path, days)
    with catalog.reading() as c:
        newest, oldest = (dates.in_order(c, newest=order).tolist() for order in (True, False))
    dated = sorted((key for key in days if days[key]), key=lambda key: (str(days[key]), key))
    undated = sorted(key for key in days if not days[key])
    assert newest == [*reversed(dated), *reversed(undated)]
    assert oldest == [*dated, *undated]
    catalog.close()


def test_an_empty_library(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, {1: None})
    with catalog.writing() as c:
        c.execute(photo.delete())
        assert dates.in_order(c, newest=True).tolist() == []
        assert dates.in_order(c, newest=False).tolist() == []
    catalog.close()
