"""What other programs got wrong, as tests by name: the rows of the peer survey that concern indexing and search.

Each test names the issue that it comes from. The kills of section "kill -9 mid-index" are in test_kill.py.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from library.encoder import ClipEncoder, load_encoder
from library.fakes import FakeEncoder
from library.models import Registry
from library.records import PhotoFilter
from search.query import parse, query_vector
from search.rank import Searcher
from tests.albums import Album, picture
from tests.pictures import jpeg_bytes, oriented_copies, photo


@pytest.fixture(scope="module")
def builtin() -> ClipEncoder:
    return load_encoder(Registry(None).resolve("builtin"), device="cpu")


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return Album(tmp_path)


def answers(album: Album, vector: np.ndarray, k: int, wanted: PhotoFilter | None = None) -> list[str]:
    with album.reading() as store:
        found = Searcher(store, album.encoder.stamp).search(vector, k, wanted=wanted)
    return [result.path.name for result in found]


def test_unmounted_and_mounted_again_everything_is_found_and_nothing_embedded_again(album: Album) -> None:
    """rclip deletes the rows; immich #17290; photoprism #2299."""
    for n in range(30):
        album.put(f"{n:02}.png", n)
    assert album.index().embedded == 30
    os.rename(album.photos, album.base / "drive")
    album.index()
    vector = album.fresh_vector(album.base / "drive" / "07.png")
    assert answers(album, vector, 30) == []
    assert len(answers(album, vector, 30, PhotoFilter(include_missing=True))) == 30
    os.rename(album.base / "drive", album.photos)
    assert album.index().embedded == 0
    assert len(answers(album, vector, 30)) == 30
    assert all(album.found(f"{n:02}.png") == [f"{n:02}.png"] for n in range(30))


@pytest.mark.parametrize("bad", [0, 3, 7])
def test_a_corrupt_picture_in_a_batch_shifts_no_other(album: Album, bad: int) -> None:
    """LibrePhotos (vectors joined by position); rclip #282."""
    for n in range(8):
        album.put(f"{n}.png", picture(n) if n != bad else picture(n)[:60])
    report = album.index()
    assert (report.embedded, report.unreadable) == (7, 1)
    assert all(album.found(f"{n}.png") == [f"{n}.png"] for n in range(8) if n != bad)
    album.check()


def test_all_orientations_give_the_same_vector(album: Album, builtin: ClipEncoder) -> None:
    """rclip ignores EXIF's orientation."""
    album.encoder = builtin
    album.config = replace(album.config, batch_size=3)
    for orientation, data in oriented_copies(photo(7, (640, 480))).items():
        album.put(f"{orientation}.jpg", data)
    assert album.index().embedded == 8
    vectors = album.check_vectors()
    rows = np.stack([vectors[album.photo_of(f"{n}.jpg")] for n in range(1, 9)])
    cosines = rows @ rows.T
    assert cosines.min() > 0.999
    other = album.fresh_vector(album.put("other.jpg", jpeg_bytes(photo(8, (640, 480)))))
    assert (rows @ other).max() < 0.99, "and other pictures have others"


def test_a_folder_of_mixed_suffixes_is_indexed(album: Album) -> None:
    """clip-retrieval #352."""
    for n, name in enumerate(("a.jpg", "b.JPG", "c", "d.Jpeg")):
        album.put(name, jpeg_bytes(photo(n, (64, 48))))
    album.put("notes.txt", b"words")
    report = album.index()
    assert (report.embedded, report.unreadable, report.skipped) == (4, 0, {"not pictures": 1})
    assert sorted(album.rows()) == ["a.jpg", "b.JPG", "c", "d.Jpeg"]


def test_recall_of_text_queries_against_a_plain_matrix_product(album: Album, builtin: ClipEncoder) -> None:
    """clip-retrieval #76: its compressed index lost most answers to texts."""
    album.encoder = builtin
    for n in range(60):
        album.put(f"{n:02}.jpg", jpeg_bytes(photo(n, (96, 72))))
    album.index()
    vectors = album.check_vectors()
    ids, rows = list(vectors), np.stack(list(vectors.values()))
    recalls = []
    for words in ("a red boat", "the sea at night", "a dog", "snow", "green grass", "noise"):
        vector = query_vector(parse(words), builtin)
        exact = {ids[at] for at in np.argsort(-(rows @ vector))[:10]}
        with album.reading() as store:
            hits = Searcher(store, builtin.stamp).rank(vector, 10)
        recalls.append(len(exact & {hit.id for hit in hits}) / 10)
    assert np.mean(recalls) >= 0.99


def test_filters_leave_k_answers_and_cost_little(album: Album) -> None:
    """immich #31299: filtering after the ranking left almost nothing."""
    for n in range(300):
        album.put(f"{'trip' if n % 30 == 0 else 'rest'}/{n:03}.png", n)
    album.index()
    vector = album.fresh_vector(album.photos / "rest" / "001.png")
    wanted = PhotoFilter(folders=(album.photos.resolve() / "trip",))
    assert len(answers(album, vector, 10, wanted)) == 10
    with album.reading() as store:
        searcher = Searcher(store, album.encoder.stamp)
        everything = [hit.id for hit in searcher.rank(vector, 300)]
        filtered = [hit.id for hit in searcher.rank(vector, 10, wanted=wanted)]
        assert filtered == [key for key in everything if key in set(filtered)]
        plain, with_filter = (
            min(_seconds(searcher, vector, each) for _ in range(20)) for each in (None, wanted)
        )
    assert with_filter < plain + 0.05


def _seconds(searcher: Searcher, vector: np.ndarray, wanted: PhotoFilter | None) -> float:
    started = time.perf_counter()
    searcher.rank(vector, 10, wanted=wanted)
    return time.perf_counter() - started


def test_an_excluded_folder_has_no_row(album: Album) -> None:
    """immich #17790."""
    album.put("keep/a.png", 1)
    album.put("private/b.png", 2)
    album.put("private/deep/c.png", 3)
    album.exclude("private/")
    assert album.index().embedded == 1
    assert list(album.rows()) == ["keep/a.png"]


def test_a_half_written_file_is_indexed_once_and_whole(album: Album) -> None:
    """als #18: half of a photo was indexed, and the other half never."""
    whole = jpeg_bytes(photo(1))
    path = album.put("a.jpg", whole[: len(whole) // 2])
    report = album.index()
    assert (report.embedded, report.unreadable) == (0, 1)
    path.write_bytes(whole)
    assert album.index().embedded == 1
    assert album.index().embedded == 0
    album.check()


def test_two_files_of_one_name_and_time_are_both_found(album: Album) -> None:
    """memery keys its store by name and time."""
    for n, folder in enumerate(("one", "two")):
        path = album.put(f"{folder}/IMG_0001.png", n)
        os.utime(path, (10**9, 10**9))
    album.index()
    for folder in ("one", "two"):
        with album.reading() as store:
            vector = album.fresh_vector(album.photos / folder / "IMG_0001.png")
            (best,) = Searcher(store, album.encoder.stamp).search(vector, 1)
        assert best.path.parent.name == folder


def test_switching_the_model_and_back_embeds_nothing_twice(album: Album) -> None:
    """immich deletes all vectors when the model changes."""
    for n in range(20):
        album.put(f"{n:02}.png", n)
    first, second = album.encoder, FakeEncoder(name="second", seed=2)
    counts = []
    for encoder in (first, second, first, second):
        album.encoder = encoder
        counts.append(album.index().embedded)
        album.check()
    assert counts == [20, 20, 0, 0]
