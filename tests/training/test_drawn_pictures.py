"""The pictures of the diagnosis: complete, labelled rightly, always the same."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from tests.pictures import photo
from training import altered, drawn
from training.rendered import KINDS, pages


def digest(images: list[Image.Image]) -> str:
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()


def test_every_thing_comes_in_every_colour() -> None:
    drawings = drawn.coloured_things()
    assert len({drawing.text for drawing in drawings}) == len(drawn.THINGS) * len(drawn.PAINTS)
    for drawing in drawings:
        colour = drawing.text.split()[1]
        pixels = np.asarray(drawing.image).reshape(-1, 3).astype(int)
        near = (np.abs(pixels - drawn.PAINTS[colour]).max(axis=1) < 40).mean()
        assert near > 0.02, drawing.text
        assert len(set(drawing.wrong)) == len(drawn.PAINTS) - 1
        assert drawing.text not in drawing.wrong


@pytest.mark.parametrize("seed", [0, 4])
def test_balls_are_as_many_as_the_text_says(seed: int) -> None:
    counted = [drawing for drawing in drawn.counted_things() if "ball" in drawing.text.split()[-1]]
    drawing = [one for one in counted if one.text.endswith(("ball", "balls"))][seed]
    one = next(one for one in counted if one.text == "one ball")
    area, single = (_coloured_area(picture.image) for picture in (drawing, one))
    assert area / single == pytest.approx(seed + 1, abs=0.35)


def _coloured_area(image: Image.Image) -> int:
    pixels = np.asarray(image).astype(int)
    return int((pixels.max(axis=2) - pixels.min(axis=2) > 40).sum())


def test_the_first_thing_named_is_above_or_left() -> None:
    for drawing in drawn.placed_things():
        assert len(drawing.wrong) == 1
        assert sorted(drawing.text.split()) == sorted(drawing.wrong[0].split())
    above = next(one for one in drawn.placed_things() if one.text == "a car above a house")
    below = next(one for one in drawn.placed_things() if one.text == "a house above a car")
    assert above.image.tobytes() != below.image.tobytes()


def test_pages_of_every_kind_differ_and_are_reproducible() -> None:
    drawn_pages = pages(2)
    assert Counter(page.kind for page in drawn_pages) == dict.fromkeys(KINDS, 2)
    assert len({page.image.tobytes() for page in drawn_pages}) == len(drawn_pages)
    assert digest([page.image for page in pages(2)]) == digest([page.image for page in drawn_pages])
    assert all(page.image.mode == "RGB" for page in drawn_pages)


def test_light_changes_brightness_and_colour_as_it_should() -> None:
    scene = photo(3)
    mean = {name: np.asarray(change(scene)).mean(axis=(0, 1)) for name, change in altered.LIGHTS.items()}
    assert mean["at night"].mean() < 0.5 * mean["on a bright day"].mean()
    assert mean["at sunset"][0] > mean["at sunset"][2]
    assert np.ptp(np.asarray(altered.in_fog(scene))) < np.ptp(np.asarray(scene))


def test_turning_by_exif_gives_the_same_pixels_back() -> None:
    scene = photo(5)
    for name, change in altered.CHANGES.items():
        changed = change(scene)
        assert changed.mode == "RGB"
        assert (changed.tobytes() == scene.tobytes()) == name.startswith("EXIF"), name


def test_blanks_are_always_the_same() -> None:
    assert digest(list(altered.blanks().values())) == digest(list(altered.blanks().values()))
    assert len(altered.blanks()) >= 10
