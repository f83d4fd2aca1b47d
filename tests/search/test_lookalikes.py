"""Pairs by hash and by vector against plain references, and groups that do not chain."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from search import lookalikes
from search.lookalikes import MOST_PAIRS, Pairs, close_hashes, close_vectors, cosines, kept_for

Found = dict[tuple[int, int], float]


def some_hashes(count: int, seed: int = 0) -> NDArray[np.int64]:
    """Hashes of which a third are near others, and some the same."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(-(2**63), 2**63 - 1, count)
    third = count // 3
    for row in range(third):
        for bit in rng.choice(64, rng.integers(0, 15), replace=False).tolist():
            hashes[row] ^= np.int64(1 << bit) if bit < 63 else np.int64(-(2**63))
        hashes[row] = hashes[row] if row % 4 else hashes[count - 1 - row]
    hashes[:third:3] = hashes[third : 2 * third : 3][: len(hashes[:third:3])] ^ np.int64(0b10010001)
    return hashes


def plain_hash_pairs(hashes: NDArray[np.int64], distance: int) -> Found:
    values = [int(value) & (2**64 - 1) for value in hashes]
    return {
        (worse, better): bits
        for worse in range(len(values))
        for better in range(worse)
        if (bits := (values[worse] ^ values[better]).bit_count()) <= distance
    }


def as_dict(pairs: Pairs) -> Found:
    rows = zip(pairs.worse.tolist(), pairs.better.tolist(), pairs.values.tolist(), strict=True)
    return {(worse, better): value for worse, better, value in rows}


@pytest.mark.parametrize("distance", [0, 1, 3, 4, 6, 7, 8, 9, 11, 12])
def test_close_hashes_are_those_of_a_plain_comparison(distance: int) -> None:
    hashes = some_hashes(300)
    expected = plain_hash_pairs(hashes, distance)
    assert len(expected) > 10
    assert as_dict(close_hashes(hashes, distance)) == expected


def test_blocks_and_query_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = some_hashes(200, seed=1)
    whole = as_dict(close_hashes(hashes, 8))
    monkeypatch.setattr(lookalikes, "BLOCK", 7)
    monkeypatch.setattr(lookalikes, "QUERIES", 13)
    assert as_dict(close_hashes(hashes, 8)) == whole


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_hashes(count: int) -> None:
    assert len(close_hashes(np.zeros(count, np.int64), 8)) == max(0, count - 1)


def test_thousands_of_one_hash_make_few_pairs_and_one_group() -> None:
    hashes = np.zeros(20_000, np.int64)
    pairs = close_hashes(hashes, 8)
    assert len(pairs) <= MOST_PAIRS * len(hashes)
    kept = kept_for(len(hashes), pairs, -pairs.values.astype(np.float32))
    assert set(kept.tolist()) == {0}


def some_vectors(count: int, copies: int, seed: int = 0) -> NDArray[np.float16]:
    """Vectors (count, 32) of which the last `copies` are close to others."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, 32)).astype(np.float32)
    rows[count - copies :] = rows[:copies] + 0.1 * rng.standard_normal((copies, 32)).astype(np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def plain_vector_pairs(vectors: NDArray[np.float16], least: float) -> set[tuple[int, int]]:
    scores = vectors.astype(np.float32) @ vectors.astype(np.float32).T
    worse, better = np.nonzero(np.tril(scores >= least, -1))
    return set(zip(worse.tolist(), better.tolist(), strict=True))


def test_close_vectors_are_those_of_a_plain_product() -> None:
    vectors = some_vectors(500, 100)
    pairs = close_vectors(vectors, 0.95)
    assert set(as_dict(pairs)) == plain_vector_pairs(vectors, 0.95)
    np.testing.assert_allclose(pairs.values, cosines(vectors, pairs), atol=1e-5)


def test_cells_lose_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = some_vectors(6_000, 1_500)
    expected = plain_vector_pairs(vectors, 0.95)
    monkeypatch.setattr(lookalikes, "EXACT_PHOTOS", 100)
    monkeypatch.setattr(lookalikes, "CELL_PHOTOS", 50)
    found = set(as_dict(close_vectors(vectors, 0.95)))
    assert found <= expected
    assert len(found) >= 0.99 * len(expected)


def test_what_is_dropped_looks_like_what_is_kept() -> None:
    chain = Pairs(np.array([1, 2, 3]), np.array([0, 1, 2]), np.array([5, 5, 5]))
    kept = kept_for(4, chain, np.zeros(3, np.float32))
    assert kept.tolist() == [0, 0, 2, 2], "a chain is cut: 2 looks like 1 alone, and 1 is dropped"


def test_the_closest_kept_photo_is_taken() -> None:
    pairs = Pairs(np.array([2, 2]), np.array([0, 1]), np.array([8, 2]))
    assert kept_for(3, pairs, -pairs.values.astype(np.float32)).tolist() == [0, 1, 1]
