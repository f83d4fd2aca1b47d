"""The measuring itself, on queries whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.relevance import Ranked, in_top, logistic, ranked
from search.relevance import BEST, Judge, null_texts


def unit(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, 32)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_many_queries_at_once_are_judged_as_search_judges_one() -> None:
    photos, queries = unit(50, 1), unit(7, 2)
    judge = Judge(unit(len(null_texts()), 3), photos)
    together = ranked(judge, queries, photos).relevance()
    for query, row in zip(queries, together, strict=True):
        scores = photos @ judge.direction(query)
        judgement = judge.judge(query, photos[np.argsort(-scores)[:BEST]])
        assert judgement is not None
        np.testing.assert_allclose(row, judgement.of(scores), atol=1e-5)


def test_relevance_falls_with_the_score() -> None:
    relevance = Ranked(np.array([[0.3, 0.1, 0.2]], np.float32), np.array([4.0]), 0.05, 0.0).relevance()[0]
    assert relevance[0] > relevance[2] > relevance[1]


def test_in_top_counts_places() -> None:
    scores = np.linspace(1, 0, 12, dtype=np.float32)[None].repeat(2, axis=0)
    assert in_top(scores, np.array([9, 10])).tolist() == [True, False]


def test_the_fit_finds_the_weights_that_made_the_answers() -> None:
    random = np.random.default_rng(5)
    design = np.column_stack([random.standard_normal((20_000, 2)), np.ones(20_000)])
    wanted = np.array([1.5, -1.0, -0.5])
    answers = (random.random(20_000) < 1 / (1 + np.exp(-design @ wanted))).astype(float)
    assert logistic(design, answers, np.ones(20_000)) == pytest.approx(wanted, abs=0.1)
