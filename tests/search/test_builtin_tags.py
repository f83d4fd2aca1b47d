"""What the built-in model suggests for the demo's photographs: a library of few and unusual pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from library.encoder import load_encoder
from library.images import decode
from library.models import Registry
from library.vocabulary import shipped_vocabulary
from search.calibration import calibrate
from search.tag import Scorer, choose, contrast, embed_prompts, null_vector, prompts_of

skimage = pytest.importorskip("skimage", reason="the photographs come with scikit-image")

FOLDER = Path(skimage.__file__).parent / "data"
PHOTOS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "camera.png"),
    *("coins.png", "moon.png", "grass.png", "gravel.png", "brick.png", "page.png"),
    *("hubble_deep_field.jpg", "retina.jpg"),
)
PEOPLE = {"person", "man", "woman", "boy", "girl", "child", "two people"}


@pytest.fixture(scope="module")
def suggestions() -> dict[str, set[str]]:
    """The tags of each photo."""
    encoder = load_encoder(Registry(Path()).resolve("builtin"), device="cpu", precision="fp32")
    vocabulary = shipped_vocabulary()
    pictures = [
        decode((FOLDER / name).read_bytes(), name=name, max_pixels=10**8).image
        for name in PHOTOS
        if (FOLDER / name).is_file()
    ]
    photos = encoder.encode_images(np.stack([encoder.prepare(picture) for picture in pictures]))
    vectors = embed_prompts(encoder, [prompts_of(tag) for tag in vocabulary.tags])
    null = null_vector(vectors)
    scorer = Scorer(vocabulary, vectors, null, calibrate(photos @ contrast(vectors, null).T))
    chosen = choose(scorer.logits(photos), least=0.5)
    names = [name for name in PHOTOS if (FOLDER / name).is_file()]
    return {
        name: {vocabulary.names[column] for column, _ in tags}
        for name, tags in zip(names, chosen, strict=True)
    }


def test_nobody_is_seen_where_nobody_is(suggestions: dict[str, set[str]]) -> None:
    """A tag that is common needs evidence of its own: gravel, a page of text and a cat are no people."""
    things = ("gravel.png", "page.png", "chelsea.png", "coffee.png", "coins.png", "moon.png", "retina.jpg")
    assert {name: suggestions[name] & PEOPLE for name in things if name in suggestions} == {
        name: set() for name in things if name in suggestions
    }


def test_what_is_plain_to_see_is_suggested(suggestions: dict[str, set[str]]) -> None:
    assert "cat" in suggestions["chelsea.png"]
    assert "motorcycle" in suggestions["motorcycle_left.png"]
    assert "man" in suggestions["camera.png"]
    assert max(map(len, suggestions.values())) <= 12
