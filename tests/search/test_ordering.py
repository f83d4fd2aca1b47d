"""Pages of a ranking against a plain sort of everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from search.ordering import members, window

IDS = np.arange(100, 160, dtype=np.int64)


def days(ids: Sequence[int]) -> Mapping[int, str]:
    return {key: f"20{key % 7:02}-01-01" for key in ids if key % 5}


def expected(scores: np.ndarray) -> list[int]:
    """Best first, then newest, then the highest id: everything sorted."""
    of = dict(zip(IDS.tolist(), np.round(scores, 6).tolist(), strict=True))
    return sorted(of, key=lambda key: (of[key], days([key]).get(key, ""), key), reverse=True)


@pytest.mark.parametrize("different", [1, 3, 60])
@pytest.mark.parametrize("limit", [1, 7, 60])
def test_pages_are_parts_of_one_order_and_miss_none(different: int, limit: int) -> None:
    scores = np.random.default_rng(different).integers(0, different, 60).astype(np.float32) / 97
    pages = [window(IDS, scores, offset=at, limit=limit, taken=days) for at in range(0, 70, limit)]
    assert np.concatenate([IDS[page] for page in pages]).tolist() == expected(scores)


def test_scores_that_differ_in_the_last_bit_are_equal() -> None:
    score = np.float32(0.25)
    scores = np.array([score, np.nextafter(score, np.float32(1))], np.float32)
    newer_first = window(np.array([1, 2]), scores, offset=0, limit=2, taken=lambda ids: {1: "2024"})
    assert newer_first.tolist() == [0, 1]


@pytest.mark.parametrize(("offset", "limit"), [(60, 5), (1000, 5), (3, 0)])
def test_beyond_the_end_there_is_nothing(offset: int, limit: int) -> None:
    assert not len(window(IDS, np.zeros(60, np.float32), offset=offset, limit=limit, taken=days))


def test_dates_are_asked_only_where_they_decide() -> None:
    asked: list[int] = []

    def noted(ids: Sequence[int]) -> Mapping[int, str]:
        asked.extend(ids)
        return days(ids)

    scores = np.linspace(0, 1, 60, dtype=np.float32)
    window(IDS, scores, offset=10, limit=10, taken=noted)
    assert asked == []
    scores[:20] = 0
    window(IDS, scores, offset=0, limit=10, taken=noted)
    assert asked == []
    window(IDS, scores, offset=50, limit=2, taken=noted)
    assert sorted(asked) == IDS[:20].tolist()


def test_members() -> None:
    assert members(np.array([5, 1, 9]), np.array([9, 2])).tolist() == [False, False, True]
    assert members(np.array([], np.int64), np.array([9, 2])).tolist() == []
