"""What a step shows: the same for the same seed and step, every photo in an epoch, shared captions known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from training.data import Captions, Draw, Order, open_photo, view_of, view_seed
from training.photos import Photo, Problem, Source

PHOTOS = [
    Photo(Source(Path(f"{number}.png")), texts)
    for number, texts in enumerate(
        [("A dog.", "a brown dog"), ("a cat",), ("a  dog", "a puppy"), ("a tree",), ("a brown dog",)]
    )
]


def order(seed: int = 0, batch: int = 2) -> Order:
    return Order(Captions(PHOTOS), len(PHOTOS), batch=batch, views=3, seed=seed)


def test_draws_depend_on_seed_and_step_alone() -> None:
    one, other = order(), order()
    for step in (7, 0, 3):
        a, b = one.draw(step), other.draw(step)
        assert all(
            np.array_equal(getattr(a, name), getattr(b, name)) for name in ("photos", "captions", "views")
        )
    assert any(not np.array_equal(order(1).draw(s).photos, one.draw(s).photos) for s in range(4))


def test_an_epoch_shows_no_photo_twice_and_all_come_up() -> None:
    steps = order()
    assert steps.steps_per_epoch == 2
    for epoch in range(5):
        shown = np.concatenate([steps.draw(2 * epoch + step).photos for step in range(2)])
        assert len(set(shown)) == 4
    assert {int(row) for step in range(40) for row in steps.draw(step).photos} == set(range(5))
    assert {int(view) for step in range(40) for view in steps.draw(step).views} == {0, 1, 2}


def test_every_caption_is_drawn_for_its_own_photo() -> None:
    captions, steps, seen = Captions(PHOTOS), order(), set()
    for step in range(60):
        draw = steps.draw(step)
        for photo, caption in zip(draw.photos, draw.captions, strict=True):
            assert caption in captions.of(int(photo))
            seen.add(int(caption))
    assert seen == set(range(len(captions.texts)))


def test_fewer_photos_than_a_batch() -> None:
    assert (order(batch=100).batch, order(batch=100).steps_per_epoch) == (5, 1)


def test_shared_captions_are_positives() -> None:
    """Photos 0 and 2 are both "a dog" up to case and stop; 0 and 4 are both "a brown dog"."""
    captions = Captions(PHOTOS)
    first = [captions.of(number)[0] for number in range(5)]
    draw = Draw(0, np.arange(5), np.array(first), np.zeros(5, np.int64))
    wanted = np.eye(5, dtype=bool)
    wanted[0, 2] = wanted[2, 0] = True  # the text drawn for one is a caption of the other
    wanted[0, 4] = True  # "a brown dog", drawn for photo 4, is a caption of photo 0
    assert np.array_equal(captions.positives(draw), wanted)


def test_views() -> None:
    image = Image.effect_noise((80, 60), 90).convert("RGB")
    assert view_of(image, 0, view_seed(0, 0, 0)) is image
    assert view_of(image, 1, view_seed(0, 0, 1)).getpixel((0, 0)) == image.getpixel((79, 0))
    parts = [view_of(image, 5, view_seed(0, photo, 5)) for photo in range(20)]
    assert all(0.55 < part.width * part.height / 4800 <= 1 for part in parts)
    assert view_of(image, 5, view_seed(0, 3, 5)).tobytes() == parts[3].tobytes()
    assert len({part.tobytes() for part in parts}) == 20
    assert view_of(Image.new("RGB", (1, 1)), 4, view_seed(0, 0, 4)).size == (1, 1)


def test_a_picture_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"words")
    found = open_photo(Photo(Source(tmp_path / "bad.jpg"), ("x",)), side_px=32)
    assert isinstance(found, Problem)
    assert "not a picture" in found.reason
