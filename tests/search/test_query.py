"""Words and pictures become one direction."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from library.errors import UsageError
from library.fakes import FakeEncoder
from search.query import Query, query_vector

RED = Image.new("RGB", (40, 30), (230, 25, 25))


def test_a_text_is_its_embedding() -> None:
    encoder = FakeEncoder()
    vector = query_vector(Query(["red"]), encoder)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, encoder.encode_texts(["red"])[0], atol=1e-6)


def test_words_and_a_picture_count_the_same() -> None:
    encoder = FakeEncoder()
    text = encoder.encode_texts(["blue"])[0]
    picture = encoder.encode_images(encoder.prepare(RED)[None])[0]
    vector = query_vector(Query(["blue"], [RED]), encoder)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    assert vector @ text == pytest.approx(vector @ picture, abs=1e-5)


@pytest.mark.parametrize("texts", [[], [""], ["  ", "\n"]])
def test_an_empty_query_is_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError, match="nothing to search for"):
        query_vector(Query(texts), FakeEncoder())
