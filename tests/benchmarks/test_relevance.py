"""The measuring itself, on queries whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.relevance import in_top, logistic, relevances
from search.relevance import PLACES, Judge, null_texts


def unit(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, 32)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_many_queries_at_once_are_judged_as_search_judges_one() -> None:
    photos, queries = unit(50, 1), unit(7, 2)
    judge = Judge(unit(len(null_texts()), 3), photos, len(photos))
    together = relevances(judge, queries, photos)
    for query, row in zip(queries, together, strict=True):
        scores = photos @ judge.direction(query)
        judgement = judge.judge(query, photos[np.argsort(-scores)[PLACES[len(photos) > PLACES]]])
        assert judgement is not None
        np.testing.assert_allclose(row, judgement.of(scores), atol=1e-5)


def test_in_top_counts_places() -> None:
    scores = np.linspace(1, 0, 12, dtype=np.float32)[None].repeat(2, axis=0)
    assert in_top(scores, np.array([9, 10])).tolist() == [True, False]


def test_the_fit_finds_the_weights_that_made_the_answers() -> None:
    random = np.random.default_rng(5)
    design = np.column_stack([random.standard_normal((20_000, 2)), np.ones(20_000)])
    wanted = np.array([1.5, -1.0, -0.5])
    answers = (random.random(20_000) < 1 / (1 + np.exp(-design @ wanted))).astype(float)
    found = logistic(design, answers, np.ones(20_000), known=np.zeros(20_000))
    assert found == pytest.approx(wanted, abs=0.1)
    shifted = logistic(design, answers, np.ones(20_000), known=np.full(20_000, 0.7))
    assert shifted == pytest.approx(wanted - [0, 0, 0.7], abs=0.1)
