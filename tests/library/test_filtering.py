"""Filters in SQL: what each lets through, against a plain reading of the same facts."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from library import geography
from library.catalog import Catalog, favourites, filtering, open_catalog, reading, writing
from library.catalog.batch import write_batch
from library.filetimes import local_time
from library.records import (
    Bounds,
    FileStamp,
    ImageFacts,
    ModelStamp,
    Near,
    NewPhoto,
    Orientation,
    PhotoFilter,
)
from library.schema import file

ROOT, OTHER = Path("/home/eva/Pictures"), Path("/media/Karta")
DAY_NS = 86_400 * 10**9
NOON_2020 = int(datetime(2020, 6, 15, 12).timestamp()) * 10**9


def photo(
    path: str, seed: int, *, mtime_ns: int = NOON_2020, size_bytes: int = 100, **facts: Any
) -> NewPhoto:
    about = {"width": 4000, "height": 3000, "format": "JPEG", **facts}
    stamp = FileStamp(os.fsencode(path), size_bytes, mtime_ns, seed)
    unit = np.eye(4, dtype=np.float32)[seed % 4]
    return NewPhoto(stamp, seed.to_bytes(32, "big"), ImageFacts(**about), seed, b"webp", unit)


@dataclasses.dataclass
class Library:
    """A catalog with two roots; photos are told apart by their names."""

    catalog: Catalog

    def __post_init__(self) -> None:
        with self.catalog.writing() as c:
            self.roots = {path: writing.ensure_root(c, path) for path in (ROOT, OTHER)}
            self.model = writing.ensure_model(c, ModelStamp("m", "0", 4, "none"))

    def write(self, *photos: NewPhoto, root: Path = ROOT) -> None:
        with self.catalog.writing() as c:
            write_batch(c, self.roots[root], self.model, photos)

    def names(self, wanted: PhotoFilter) -> set[str]:
        """The photos that pass, by the first letter of the name of their first file."""
        with self.catalog.reading() as c:
            ids = filtering.matching_photo_ids(c, wanted)
            assert ids.dtype == np.int64
            assert (np.diff(ids) > 0).all()
            files = reading.photo_files(c, ids.tolist())
            first = {
                key: min(each[1].content_sha256[-1] for each in [(0, row)])
                for key, row in reading.photo_rows(c, ids.tolist()).items()
            }
        assert set(files) == set(first)
        return {chr(ord("a") + seed) for seed in first.values()}

    def ids(self) -> dict[str, int]:
        with self.catalog.reading() as c:
            rows = reading.photo_rows(c, reading.all_photo_ids(c))
        return {chr(ord("a") + row.content_sha256[-1]): key for key, row in rows.items()}


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(open_catalog(tmp_path, create=True))
    yield library
    library.catalog.close()


def test_names_of_folders(library: Library) -> None:
    library.write(
        photo("Čechy 2023/jaro/a.jpg", 0),
        photo("trips/Alps/b.jpg", 1),
        photo("alps.jpg", 2),
        photo("100%_sure/d.jpg", 3),
        photo("100xysure/e.jpg", 4),
        photo("Alpsee/f.jpg", 5),
        photo("NA\N{LATIN CAPITAL LETTER I WITH DIAERESIS}VE/g.jpg", 6),
        photo("nai\N{COMBINING DIAERESIS}ve/h.jpg", 7),
    )
    library.write(photo("DCIM/i.jpg", 8), root=OTHER)

    def inside(*folders: str) -> set[str]:
        return library.names(PhotoFilter(folders=tuple(map(Path, folders))))

    assert inside("čechy 2023") == inside("Čechy 2023") == inside("ČECHY 2023/JARO") == set("a")
    assert inside("alps") == set("b")
    assert inside("Trips/alps") == inside("trips") == set("b")
    assert inside("100%_sure") == set("d")
    assert inside("naïve") == inside("NAÏVE") == set("gh")
    assert inside("pictures/TRIPS") == set("b"), "the end of the root's path and the beginning of the file's"
    assert inside("eva/pictures/trips/alps") == set("b")
    assert inside("pictures") == inside("eva") == set("abcdefgh")
    assert inside("karta/dcim", "trips") == set("bi")
    assert inside("/media") == inside("karta") == set("i")
    assert inside("nowhere") == inside("/nowhere") == inside("pictures/alps") == set()


def test_folders_left_out_are_asked_of_the_same_file(library: Library) -> None:
    """A copy elsewhere keeps a photo in; what lies in a folder but not in its subfolder is one file, not two."""
    library.write(photo("new/a.jpg", 0), photo("new/raw/b.jpg", 1), photo("new/c.jpg", 2), photo("d.jpg", 3))
    library.write(photo("backup/a.jpg", 0), photo("backup/b.jpg", 1), photo("backup/e.jpg", 4), root=OTHER)
    with (
        library.catalog.writing() as c
    ):  # none of these lies on this disk, so that the first ones were taken for moved
        c.execute(update(file).values(state="indexed"))
    backup, new, raw = (PhotoFilter(folders=(Path(name),)) for name in ("backup", "new", "new/raw"))
    assert library.names(PhotoFilter(excluded=(backup,))) == set("abcd")
    assert library.names(PhotoFilter(excluded=(backup, new))) == set("d")
    assert library.names(new & PhotoFilter(excluded=(raw,))) == set("ac")
    assert library.names(new & raw) == set("b")
    assert library.names(PhotoFilter(any_of=(raw, PhotoFilter(folders=(OTHER,))))) == set("abe")


def test_shapes_and_sizes(library: Library) -> None:
    library.write(
        photo("a", 0, width=6000, height=4000, size_bytes=5_000_000),
        photo("b", 1, width=3000, height=4000, size_bytes=500_000),
        photo("c", 2, width=1000, height=1000, format="PNG"),
        photo("d", 3, width=1000, height=1015, format="MPO"),
        photo("e", 4, width=8000, height=2000, lens="EF 50mm", camera_make="Canon", camera_model="5D"),
    )

    def passing(**fields: Any) -> set[str]:
        return library.names(PhotoFilter(**fields))

    assert passing(megapixels=Bounds(low=12)) == set("abe")
    assert passing(megapixels=Bounds(low=12, low_excluded=True)) == set("ae")
    assert passing(megapixels=Bounds(1, 1)) == set("c")
    assert passing(size_bytes=Bounds(high=500_000, high_excluded=True)) == set("cde")
    assert passing(ratio=Bounds(low=1.5)) == set("ae")
    assert passing(ratio=Bounds(low=1.5, low_excluded=True)) == set("e")
    assert passing(ratio=Bounds(high=0.76)) == set("b")
    assert passing(orientation=Orientation.PORTRAIT) == set("b")
    assert passing(orientation=Orientation.LANDSCAPE) == set("ae")
    assert passing(orientation=Orientation.SQUARE) == set("cd")
    assert passing(orientation=Orientation.PANORAMA) == set("e")
    assert passing(formats=("JPEG", "MPO")) == set("abde")
    assert passing(lens="50MM") == passing(camera="canon 5d") == set("e")
    assert passing(excluded=(PhotoFilter(lens="50mm"),)) == set("abcd"), "no lens is not that lens"
    assert passing(excluded=(PhotoFilter(camera="canon"), PhotoFilter(formats=("PNG",)))) == set("abd")
    assert passing(any_of=(PhotoFilter(formats=("PNG",)), PhotoFilter(lens="50"))) == set("ce")
    assert passing(excluded=(PhotoFilter(),)) == set()
    assert passing(also=(PhotoFilter(formats=("PNG",)), PhotoFilter(formats=("MPO",)))) == set()


def test_what_people_said(library: Library) -> None:
    library.write(*(photo(name, seed) for seed, name in enumerate("abcd")))
    ids = library.ids()
    states = {"a": ("dog", "confirmed"), "b": ("dog", "suggested"), "c": ("dog", "rejected")}
    with library.catalog.writing() as c:
        rows = [
            {"photo_id": ids[name], "name": tag, "state": state, "score": None, "decided_at": None}
            for name, (tag, state) in states.items()
        ]
        writing.set_decisions(c, rows)
        stars = [
            {"photo_id": ids[name], "is_favourite": star, "decided_at": None}
            for name, star in (("a", 1), ("c", 0))
        ]
        favourites.set_favourites(c, stars)
    assert library.names(PhotoFilter(tags=("dog",))) == set("ab")
    assert library.names(PhotoFilter(untagged=True)) == set("cd")
    assert library.names(PhotoFilter(favourite=True)) == set("a")
    assert library.names(PhotoFilter(favourite=False)) == set("bcd")
    assert library.names(
        PhotoFilter(excluded=(PhotoFilter(tags=("dog",)), PhotoFilter(favourite=True)))
    ) == set("cd")
    with library.catalog.reading() as c:
        rows_of = reading.photo_rows(c, list(ids.values()))
        assert {name: rows_of[key].favourite for name, key in ids.items()} == {"a": 1, "b": 0, "c": 0, "d": 0}


# Dates


def test_a_photo_without_a_date_takes_that_of_its_oldest_file(library: Library) -> None:
    library.write(
        photo("a", 0, taken_at="2023-07-14T18:03:22+02:00"),
        photo("b", 1),
        photo("copy of b", 1, mtime_ns=NOON_2020 - 400 * DAY_NS),
    )
    ids = library.ids()

    def dates() -> dict[str, Any]:
        with library.catalog.reading() as c:
            rows = reading.photo_rows(c, list(ids.values()))
        return {name: (rows[key].dated_at, rows[key].taken_from) for name, key in ids.items()}

    early = local_time(NOON_2020 - 400 * DAY_NS)
    assert early is not None
    assert dates() == {"a": ("2023-07-14T18:03:22+02:00", "exif"), "b": (early, "file")}
    assert library.names(PhotoFilter(taken_before="2020-01")) == set("b")
    with library.catalog.writing() as c:
        (copy,) = reading.rows_at(c, library.roots[ROOT], [b"copy of b"])
        writing.delete_files(c, [copy.id])
    assert dates()["b"] == (local_time(NOON_2020), "file")
    assert library.names(PhotoFilter(taken_after="2020-06-15", taken_before="2020-06-15")) == set("b")
    assert library.names(PhotoFilter(excluded=(PhotoFilter(taken_after="2021"),))) == set("b")


def test_times_that_no_clock_shows_are_no_dates() -> None:
    assert local_time(None) is None
    assert local_time(10**30) is None
    assert local_time(NOON_2020) == "2020-06-15T12:00:00"


# Places


def reference_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The angle between two unit vectors, which knows no poles and no antimeridian."""

    def vector(place: tuple[float, float]) -> np.ndarray:
        latitude, longitude = map(math.radians, place)
        return np.array(
            [
                math.cos(latitude) * math.cos(longitude),
                math.cos(latitude) * math.sin(longitude),
                math.sin(latitude),
            ]
        )

    one, two = vector(a), vector(b)
    return geography.EARTH_RADIUS_KM * math.atan2(float(np.linalg.norm(np.cross(one, two))), float(one @ two))


PLACES = {
    "Brno": (49.1951, 16.6068),
    "Prague": (50.0755, 14.4378),
    "Fiji": (-17.7134, 178.0650),
    "Samoa": (-13.7590, -172.1046),
    "north": (89.9, 10.0),
    "pole": (90.0, 0.0),
    "behind": (89.9, -170.0),
    "antipode": (-49.1951, -163.3932),
}


def test_known_distances() -> None:
    assert geography.distance_km(*PLACES["Brno"], *PLACES["Prague"]) == pytest.approx(184.8, abs=1)
    assert geography.distance_km(*PLACES["Fiji"], *PLACES["Samoa"]) == pytest.approx(1145, rel=0.01)
    assert geography.distance_km(*PLACES["north"], *PLACES["behind"]) == pytest.approx(22.2, abs=0.1)
    half = math.pi * geography.EARTH_RADIUS_KM
    assert geography.distance_km(*PLACES["Brno"], *PLACES["antipode"]) == pytest.approx(half)
    for a, b in itertools.product(PLACES.values(), repeat=2):
        assert geography.distance_km(*a, *b) == pytest.approx(reference_km(a, b), abs=1e-3)


places = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(places, places, st.floats(0.001, 30_000))
def test_the_box_holds_the_circle(
    centre: tuple[float, float], place: tuple[float, float], radius_km: float
) -> None:
    (south, north), ranges = geography.box(*centre, radius_km)
    assert -90 <= south <= north <= 90
    assert all(-180 <= west <= east <= 180 for west, east in ranges)
    if geography.distance_km(*centre, *place) <= radius_km:
        assert south <= place[0] <= north
        assert any(west <= place[1] <= east for west, east in ranges)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    library = Library(open_catalog(tmp_path_factory.mktemp("world"), create=True))
    library.write(
        *(photo(n, seed, latitude=p[0], longitude=p[1]) for seed, (n, p) in enumerate(PLACES.items())),
        photo("nowhere", len(PLACES)),
    )
    yield library
    library.catalog.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.one_of(places, st.sampled_from(sorted(PLACES.values()))), st.floats(0.001, 25_000))
def test_near_is_the_great_circle_distance(
    world: Library, centre: tuple[float, float], radius_km: float
) -> None:
    distances = {chr(ord("a") + n): reference_km(centre, place) for n, place in enumerate(PLACES.values())}
    found = world.names(PhotoFilter(near=Near(*centre, radius_km)))
    assert {name for name, km in distances.items() if km < radius_km - 0.001} <= found
    assert found <= {name for name, km in distances.items() if km < radius_km + 0.001}


def test_places_are_known_or_not(world: Library) -> None:
    assert world.names(PhotoFilter(has_gps=False)) == {"i"}
    assert world.names(PhotoFilter(has_gps=True)) == set("abcdefgh")
    around = PhotoFilter(near=Near(*PLACES["Brno"], 50))
    assert world.names(PhotoFilter(excluded=(around,))) == set("bcdefghi")


# Filters together


def test_two_filters_are_one() -> None:
    one = PhotoFilter(tags=("a",), camera="canon", taken_after="2023")
    two = PhotoFilter(tags=("b", "a"), camera="5d", taken_before="2024", include_missing=True)
    assert one & PhotoFilter() == PhotoFilter() & one == one
    assert one & one == one
    assert one & two == PhotoFilter(
        tags=("a", "b"),
        camera="canon",
        taken_after="2023",
        taken_before="2024",
        also=(PhotoFilter(camera="5d"),),
        include_missing=True,
    )
    assert PhotoFilter().is_open
    assert PhotoFilter(include_missing=True).is_open
    assert not PhotoFilter(excluded=(one,)).is_open


def test_any_depth_that_a_query_can_have_is_taken(library: Library) -> None:
    library.write(photo("a", 0))
    wanted = PhotoFilter(
        tags=tuple(f"t{n}" for n in range(200)),
        excluded=tuple(
            PhotoFilter(any_of=(PhotoFilter(camera=str(n)), PhotoFilter(lens=str(n)))) for n in range(200)
        ),
    )
    assert library.names(wanted) == set()


Timed = Callable[[], Any]


@pytest.mark.slow
def test_three_hundred_thousand_photos(tmp_path: Path) -> None:
    """Every filter alone answers in a fraction of a second."""
    from tests.library.synthetic import fill

    catalog = open_catalog(tmp_path, create=True)
    fill(catalog, 300_000)
    from search.query import parse

    for text in (
        "tag:t7",
        "-tag:t7",
        "is:untagged",
        "is:favourite",
        "date:2015",
        "folder:f77",
        "-folder:f77",
        "near:49.2,16.6,100",
    ):
        with catalog.reading() as c:
            began = time.perf_counter()
            found = filtering.matching_photo_ids(c, parse(text).wanted)
            assert len(found)
            assert time.perf_counter() - began < 3, text
    catalog.close()
