"""A folder that is away is remembered as away until it is back, however often it is looked at."""

from __future__ import annotations

from pathlib import Path

from library.catalog import reading
from library.store import Store
from tests.libraries import index, paint

COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "brown", "black", "white")


def is_offline(library: Path) -> bool:
    store = Store.open(library)
    try:
        with store.catalog.reading() as c:
            return bool(reading.root_rows(c)[0].offline)
    finally:
        store.close()


def test_a_second_look_at_an_absent_folder_does_not_clear_it(tmp_path: Path) -> None:
    library, photos = tmp_path / "library", paint(tmp_path / "photos", {f"{c}.png": c for c in COLOURS})
    index(library, photos)
    assert not is_offline(library)
    photos.rename(tmp_path / "away")
    for _ in range(2):
        assert index(library, photos).offline_roots == [str(photos)]
        assert is_offline(library)
    (tmp_path / "away").rename(photos)
    assert index(library, photos).returned == len(COLOURS)
    assert not is_offline(library)


def test_most_of_a_folder_gone_counts_as_away_until_it_returns(tmp_path: Path) -> None:
    names = {f"{c}{i}.png": c for c in COLOURS for i in range(2)}
    library, photos = tmp_path / "library", paint(tmp_path / "photos", names)
    index(library, photos)
    for name in sorted(names)[:12]:
        (photos / name).rename(tmp_path / name)
    for _ in range(2):
        index(library, photos)
        assert is_offline(library)
    for name in sorted(names)[:12]:
        (tmp_path / name).rename(photos / name)
    index(library, photos)
    assert not is_offline(library)
