"""Recall, accuracy, ranking and hubs from vectors, against answers worked out by hand or by a plain reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from training import evaluate
from training.evaluate import (
    answer_sheet,
    average_precision,
    balanced_accuracy,
    occurrences,
    pairwise_accuracy,
    ranks,
    recall_at,
    recall_by_language,
    retrieval,
    top,
    zero_shot_accuracy,
)
from training.splits import is_held_out

F32 = NDArray[np.float32]


def unit(rows: int, dim: int = 8, seed: int = 0) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def axes(*rows: int, dim: int = 4) -> F32:
    """Unit vectors along the named axes."""
    return np.eye(dim, dtype=np.float32)[list(rows)]


def sorted_recall(queries: F32, images: F32, truth: list[set[int]], k: int) -> float:
    """The plain way: sort every row."""
    order = np.argsort(-(queries @ images.T), axis=1)[:, :k]
    return float(np.mean([bool(right & set(row)) for right, row in zip(truth, order.tolist(), strict=True)]))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 9))
def test_recall_is_what_sorting_says(queries: int, images: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = [set(random.integers(0, images, random.integers(1, 4)).tolist()) for _ in range(queries)]
    q, n = unit(queries, seed=seed), unit(images, seed=seed + 100)
    found = recall_at(q, n, truth)
    assert found == {k: pytest.approx(sorted_recall(q, n, truth, k)) for k in (1, 5, 10)}


def test_pieces_do_not_change_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, images = unit(50), unit(70, seed=1)
    truth = list(range(50))
    whole, best = ranks(queries, images, truth), top(queries, images, 10)
    monkeypatch.setattr(evaluate, "PIECE_ELEMENTS", 200)  # two queries a piece
    assert (ranks(queries, images, truth) == whole).all()
    assert (top(queries, images, 10) == best).all()


def test_a_model_that_sees_nothing_scores_nothing() -> None:
    same = axes(*[0] * 20)
    assert recall_at(same, same, list(range(20))) == {1: 0.0, 5: 0.0, 10: 0.0}


def test_recall_without_queries_is_zero() -> None:
    assert recall_at(np.zeros((0, 4), np.float32), axes(0, 1), []) == {1: 0.0, 5: 0.0, 10: 0.0}


@pytest.mark.parametrize("truth", [[0], [0, 5], [0, set()], [0, -1]])
def test_a_truth_that_does_not_fit_is_refused(truth: list[int]) -> None:
    with pytest.raises(ValueError, match=r"truths|right row"):
        recall_at(axes(0, 1), axes(0, 1, 2), truth)


def test_retrieval_takes_any_caption_of_a_photo() -> None:
    texts, images = axes(0, 3, 1), axes(0, 1, 2)  # photo 0 has a good and a wrong caption, photo 2 has none
    both = retrieval(texts, images, [0, 0, 1], ks=(1,))
    assert both["text_to_image"][1] == pytest.approx(2 / 3)
    assert both["image_to_text"][1] == 1.0


def test_languages_are_measured_apart() -> None:
    images = axes(0, 1)
    found = recall_by_language(
        {"cs": axes(0, 1), "de": axes(1, 0)}, images, {"cs": [0, 1], "de": [0, 1]}, (1,)
    )
    assert found["cs"]["text_to_image"][1] == 1.0
    assert found["de"]["text_to_image"][1] == 0.0


def test_zero_shot_accuracy_and_its_balanced_form() -> None:
    images, classifier = axes(0, 0, 0, 1), axes(0, 2)  # the fourth picture is like neither name
    assert zero_shot_accuracy(images, classifier, [0, 0, 0, 1], (1, 2)) == {1: 0.75, 2: 1.0}
    assert balanced_accuracy(images, classifier, [0, 0, 0, 1]) == 0.5


def test_pairwise_accuracy_counts_a_tie_as_half() -> None:
    images = axes(0, 0, 0)
    assert pairwise_accuracy(images, axes(0, 1, 2), axes(1, 0, 3)) == 0.5


def test_average_precision_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    assert average_precision(scores, np.array([True, False, True, False])) == pytest.approx((1 + 2 / 3) / 2)
    ties = np.ones(4, np.float32)
    assert average_precision(ties, np.array([True, False, False, False])) == 0.25
    with pytest.raises(ValueError, match="relevant"):
        average_precision(scores, np.zeros(4, bool))


def test_a_hub_is_counted() -> None:
    hub = np.ones((1, 4), np.float32) / 2
    queries, images = axes(0, 1, 2, 3), np.concatenate([axes(0, 1, 2), hub])
    assert occurrences(queries, images, k=2).tolist()[3] == 4


def test_the_sheet_shows_the_best_pictures_under_each_query() -> None:
    red, blue = Image.new("RGB", (140, 140), "red"), Image.new("RGB", (140, 140), "blue")
    sheet = answer_sheet(["one", "two"], axes(0, 1), axes(1, 0), [red, blue], columns=1)
    colours = [colour for _, colour in sorted(sheet.getcolors(1 << 20) or [], reverse=True)]
    assert {(255, 0, 0), (0, 0, 255)} <= set(colours)
    pixels = np.asarray(sheet).astype(int)
    first_blue = np.argwhere((pixels == [0, 0, 255]).all(axis=2))[0, 0]
    first_red = np.argwhere((pixels == [255, 0, 0]).all(axis=2))[0, 0]
    assert first_blue < first_red  # "one" is answered by the second picture


def test_a_tenth_is_held_out_and_stays_so() -> None:
    held = [key for key in (f"{i:06}" for i in range(5000)) if is_held_out(key)]
    assert 0.08 < len(held) / 5000 < 0.12
    assert held[:4] == ["000004", "000008", "000030", "000045"]
