"""Photos of the library as examples: their vectors by id, in the order asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from library.catalog import reading
from library.errors import UsageError
from library.fakes import FakeEncoder
from library.store import Store
from search.stored import vectors_of
from tests.libraries import index, paint

ENCODER = FakeEncoder()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    index(tmp_path / "library", paint(tmp_path / "photos", {"a.png": "red", "b.png": "blue"}))
    store = Store.open(tmp_path / "library")
    yield store
    store.close()


def test_vectors_come_in_the_order_of_the_ids(store: Store) -> None:
    with store.catalog.reading() as c:
        first, second = reading.all_photo_ids(c)
    found = vectors_of(store, ENCODER.stamp)([second, first, second])
    assert (found.shape, found.dtype) == ((3, ENCODER.stamp.dim), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found[0], found[2])
    assert found[0] @ found[1] < 0.9


def test_a_photo_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(UsageError, match="no photo 99"):
        vectors_of(store, ENCODER.stamp)([1, 99])
    store.drop_vectors(store.model_id(ENCODER.stamp), [1])
    with pytest.raises(UsageError, match="photo 1 has no vector"):
        vectors_of(store, ENCODER.stamp)([1])
