"""Which pictures look the same where the perceptual hash cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from library.previews import hamming, perceptual_hash
from search.appearance import SIDE_PX, same_pictures
from tests.pictures import photo


def same(a: Image.Image, b: Image.Image) -> bool:
    small = [
        np.asarray(each.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)) for each in (a, b)
    ]
    rows = np.array([0]), np.array([1])
    answer = same_pictures(np.stack(small), *rows)
    assert answer.tolist() == same_pictures(np.stack(small[::-1]), *rows).tolist(), "either way round"
    return bool(answer[0])


SCENE = photo(3, (400, 300))


@pytest.mark.parametrize(
    "copy",
    [
        SCENE.resize((100, 75)),
        ImageEnhance.Brightness(SCENE).enhance(0.7),
        ImageEnhance.Contrast(SCENE).enhance(1.2),
        SCENE.convert("L"),
        SCENE.crop((6, 5, 394, 295)),
    ],
    ids=["smaller", "darker", "contrast", "grey", "cropped"],
)
def test_altered_copies_look_the_same(copy: Image.Image) -> None:
    assert same(SCENE, copy)


def test_other_pictures_do_not() -> None:
    assert not same(SCENE, photo(4, (400, 300)))
    assert not same(SCENE, ImageOps.mirror(SCENE))
    assert not same(SCENE, Image.new("RGB", (400, 300), "grey"))


def shirt(colour: str) -> Image.Image:
    picture = Image.new("RGB", (300, 300), "white")
    ImageDraw.Draw(picture).rectangle((60, 60, 240, 280), fill=colour)
    return picture


def test_the_same_thing_in_another_colour_is_another_thing() -> None:
    red, blue = shirt("#c83232"), shirt("#3264ff")
    assert hamming(perceptual_hash(red), perceptual_hash(blue)) <= 8, "the hash does not see it"
    assert not same(red, blue)
    assert same(red, shirt("#c03030"))


@pytest.mark.parametrize(("a", "b", "expected"), [("black", "black", True), ("white", "black", False)])
def test_flat_pictures_are_compared_by_their_colour(a: str, b: str, expected: bool) -> None:
    first, second = Image.new("RGB", (64, 64), a), Image.new("RGB", (640, 480), b)
    assert hamming(perceptual_hash(first), perceptual_hash(second)) <= 8
    assert same(first, second) is expected
