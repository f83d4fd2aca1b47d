"""Batches that do not fit, and vectors that are none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from indexer.decode import Prepared
from indexer.embed import embed
from library.errors import WeightsInvalid
from library.fakes import FakeEncoder
from library.records import FileStamp, FileState, ImageFacts


def prepared(count: int, encoder: FakeEncoder) -> list[Prepared]:
    from PIL import Image

    pictures = [Image.new("RGB", (32, 32), (n * 20 % 256, n * 50 % 256, 90)) for n in range(count)]
    return [
        Prepared(
            FileStamp(b"%d" % n, 1, 1, 1), bytes(32), ImageFacts(32, 32, "PNG"), 0, b"", encoder.prepare(p)
        )
        for n, p in enumerate(pictures)
    ]


@pytest.mark.parametrize("fits", [1, 2, 3, 7])
def test_a_batch_that_does_not_fit_is_halved_and_stays_in_order(fits: int) -> None:
    whole = FakeEncoder()
    items = prepared(7, whole)
    photos, failed = embed(items, FakeEncoder(max_batch=fits))
    assert failed == []
    assert [p.stamp for p in photos] == [i.stamp for i in items]
    expected = whole.encode_images(np.stack([i.pixels for i in items]))
    np.testing.assert_allclose(np.stack([p.embedding for p in photos]), expected, atol=1e-6)


def test_what_does_not_fit_alone_is_a_failure_with_its_reason() -> None:
    encoder = FakeEncoder(max_batch=0)
    photos, failed = embed(prepared(3, encoder), encoder)
    assert photos == []
    assert [(f.stamp.path, f.state) for f in failed] == [(b"%d" % n, FileState.FAILED) for n in range(3)]
    assert "memory" in failed[0].reason


class Sick(FakeEncoder):
    """Gives no number for the picture in the middle."""

    def encode_images(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        vectors = super().encode_images(batch)
        vectors[len(batch) // 2] = np.nan
        return vectors


def test_a_vector_that_is_no_number_fails_its_own_file_alone() -> None:
    photos, failed = embed(prepared(3, FakeEncoder()), Sick())
    assert [p.stamp.path for p in photos] == [b"0", b"2"]
    assert [(f.stamp.path, f.state) for f in failed] == [(b"1", FileState.FAILED)]


class Broken(FakeEncoder):
    def encode_images(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        raise WeightsInvalid("the weights are damaged")


def test_a_broken_model_is_no_fault_of_the_files() -> None:
    with pytest.raises(WeightsInvalid):
        embed(prepared(4, FakeEncoder()), Broken())
