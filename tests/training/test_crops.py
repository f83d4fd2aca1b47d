"""Pictures without captions: found wherever they lie, and cut into the same squares in every run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from library.errors import UsageError
from tests.training import shapes
from training.crops import (
    CropOrder,
    by_key,
    middle_square,
    random_square,
    read_pictures,
    to_numbers,
    to_picture,
)
from training.photos import Photo, Source
from training.splits import is_held_out


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number, (picture, _) in enumerate(shapes.made(7)):
        picture.save(tmp_path / f"{number}.png")
    shapes.tar_of(tmp_path / "a.tar", 5)
    shapes.tar_of(tmp_path / "b.tar", 3)
    return tmp_path


def test_pictures_are_found_with_and_without_captions(data: Path) -> None:
    assert len(read_pictures([str(data)]).photos) == 15
    assert len(read_pictures([str(data / "a.tar"), str(data / "0.png")]).photos) == 6
    only = read_pictures([str(data)], shards=("b",)).photos
    assert [photo.source.path.name for photo in only] == ["b.tar"] * 3
    assert only[0].source.read().startswith(b"\x89PNG")


def test_an_archive_that_is_cut_off_is_a_problem(tmp_path: Path) -> None:
    archive = shapes.tar_of(tmp_path / "a.tar", 5)
    archive.write_bytes(
        archive.read_bytes()[:7000]
    )  # within the fourth picture, of 2,048 bytes with its text
    found = read_pictures([str(archive)])
    assert 0 < len(found.photos) < 5
    assert [problem.name for problem in found.problems] == [str(archive)]


@pytest.mark.parametrize("place", ["none", "library", "a.txt"])
def test_places_that_hold_none(place: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(UsageError):
        read_pictures([place if place == "library" else str(tmp_path / place)])


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no picture was found"):
        read_pictures([str(tmp_path)])


def test_held_out_by_key() -> None:
    photos = [Photo(Source(Path("x.tar"), f"{number}.webp", number), ()) for number in range(200)]
    divided = by_key(photos)
    assert len(divided.training) + len(divided.held_back) == 200
    assert 5 < len(divided.held_back) < 40
    assert all(is_held_out(photo.source.member.removesuffix(".webp")) for photo in divided.held_back)


def test_every_step_is_the_same_again(data: Path) -> None:
    photos = read_pictures([str(data)]).photos
    order = CropOrder(photos, batch=4, crop=16, seed=3)
    seen = np.concatenate([order.rows(step) for step in range(15)])
    assert np.array_equal(np.bincount(seen), np.full(15, 4))  # every picture once an epoch
    steps = list(order.batches(iter(range(6))))
    again = next(iter(CropOrder(photos, batch=4, crop=16, seed=3).batches(iter([5]))))
    assert np.array_equal(steps[5].images.numpy(), again.images.numpy())
    assert steps[5].images.shape == (4, 3, 16, 16)
    assert not np.array_equal(steps[0].images.numpy(), steps[5].images.numpy())


def test_a_broken_picture_is_passed_over(data: Path) -> None:
    (data / "broken.png").write_bytes(b"no picture")
    photos = [Photo(Source(data / name), ()) for name in ("0.png", "broken.png")]
    batch = next(iter(CropOrder(photos, batch=2, crop=16, seed=0).batches(iter([0]))))
    assert len(batch.images) == 1
    assert [problem.name for problem in batch.problems] == [str(data / "broken.png")]


@pytest.mark.parametrize("size", [(40, 90), (16, 16), (5, 3)])
def test_squares_fit(size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "red")
    for seed in range(5):
        assert random_square(picture, 16, np.random.default_rng(seed)).size == (16, 16)
    assert middle_square(picture, 16).size == (16, 16)


def test_numbers_and_back() -> None:
    picture = shapes.made(1)[0][0]
    numbers = to_numbers(picture)
    assert (numbers.shape, numbers.dtype) == ((3, 48, 48), np.float32)
    assert -1 <= numbers.min() <= numbers.max() <= 1
    assert np.array_equal(np.asarray(to_picture(numbers)), np.asarray(picture))
