"""How good a CLIP is, from its vectors alone: recall, zero-shot accuracy, hubs, and a sheet of answers to look at.

Every array of vectors is (N, D) float32 with L2 norm 1. Similarities are computed in pieces of at most
PIECE_ELEMENTS, so 5,000 queries over 100,000 pictures need some 64 MB, not 2 GB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library.sheets import Cell, Section, contact_sheet

F32 = NDArray[np.float32]
Int = NDArray[np.int64]
Truth = Sequence[int] | Sequence[Collection[int]] | Int

PIECE_ELEMENTS = 16_000_000
KS = (1, 5, 10)


def recall_at(queries: F32, images: F32, truth: Truth, ks: Sequence[int] = KS) -> dict[int, float]:
    """The share (0 to 1) of queries with a right picture among the k most similar, for each k.

    (Q, D) and (N, D) float32, L2 norm 1; `truth` has for each query the row of its picture, or the rows of
    several of which any will do. It works the other way round as well: pictures as queries, captions as rows.
    A wrong row that ties with the right one counts as before it, so a model that gives one vector to
    everything scores 0. Raises ValueError for sizes that do not fit and for a query without a right row.
    """
    positions = ranks(queries, images, truth)
    return {k: float(np.mean(positions < k)) if len(positions) else 0.0 for k in ks}


def ranks(queries: F32, images: F32, truth: Truth) -> Int:
    """(Q,) int64: how many wrong rows come before each query's best right one; 0 is the best answer.

    Arguments and errors as in `recall_at`.
    """
    right = _right_rows(truth, len(queries), len(images))
    positions = np.empty(len(queries), np.int64)
    for start, similar in _pieces(queries, images):  # (piece, N)
        for offset, row in enumerate(similar):
            rows = right[start + offset]
            best = row[rows].max()
            positions[start + offset] = np.count_nonzero(row >= best) - np.count_nonzero(row[rows] >= best)
    return positions


def retrieval(
    texts: F32, images: F32, image_of: Sequence[int] | Int, ks: Sequence[int] = KS
) -> dict[str, dict[int, float]]:
    """Recall both ways: {"text_to_image": {k: share}, "image_to_text": {k: share}}.

    (T, D) and (N, D) float32, L2 norm 1; `image_of` (T,) is the row of each text's picture, and several texts
    may share one. A picture is answered when any of its texts is among the k best; pictures without a text
    are there to be confused with, and are not asked about. Raises ValueError as `recall_at` does.
    """
    texts_of: dict[int, list[int]] = {}
    for text, image in enumerate(image_of):
        texts_of.setdefault(int(image), []).append(text)
    asked = sorted(texts_of)
    return {
        "text_to_image": recall_at(texts, images, image_of, ks),
        "image_to_text": recall_at(images[asked], texts, [texts_of[i] for i in asked], ks),
    }


def recall_by_language(
    texts: Mapping[str, F32], images: F32, image_of: Mapping[str, Sequence[int] | Int], ks: Sequence[int] = KS
) -> dict[str, dict[str, dict[int, float]]]:
    """`retrieval` for each language: its texts (T, D), and the picture that each of them describes."""
    return {name: retrieval(vectors, images, image_of[name], ks) for name, vectors in texts.items()}


def zero_shot_accuracy(
    images: F32, classifier: F32, labels: Truth, ks: Sequence[int] = (1, 5)
) -> dict[int, float]:
    """The share of pictures with their label among the k most similar of the classifier's rows, for each k.

    `images` (N, D), `classifier` (L, D) as from `library.prompts.text_classifier`, `labels` (N,) rows of it.
    """
    return recall_at(images, classifier, labels, ks)


def balanced_accuracy(images: F32, classifier: F32, labels: Sequence[int] | Int) -> float:
    """Top-1 accuracy of each label that occurs, averaged over the labels: a favourite answer gains nothing."""
    wanted = np.asarray(labels, np.int64)
    hit = ranks(images, classifier, wanted) == 0
    return float(np.mean([hit[wanted == label].mean() for label in np.unique(wanted)]))


def pairwise_accuracy(images: F32, right: F32, wrong: F32) -> float:
    """How often a picture is nearer to its right text than to its wrong one; a tie counts half, chance is 0.5.

    All three (N, D) float32, L2 norm 1, row by row.
    """
    margin = row_cosines(images, right) - row_cosines(images, wrong)
    return float(np.mean((margin > 0) + 0.5 * (margin == 0))) if len(margin) else 0.0


def row_cosines(first: F32, second: F32) -> F32:
    """(N,) float32, -1 to 1: the cosine of each row of one with the same row of the other, both (N, D)."""
    return np.asarray(np.einsum("nd,nd->n", first, second), dtype=np.float32)


def average_precision(scores: F32, relevant: NDArray[np.bool_]) -> float:
    """Average precision of a ranking, 0 to 1: precision at each relevant row, averaged.

    `scores` (N,), higher is better, `relevant` (N,). Ties count as ranked the worst way. Raises ValueError
    when nothing is relevant. Source: Manning, Raghavan, Schütze 2008, Introduction to Information Retrieval, 8.4.
    """
    if not relevant.any():
        raise ValueError("nothing is relevant")
    ranked = relevant[np.lexsort((relevant, -scores))]
    places = np.flatnonzero(ranked) + 1
    return float(np.mean(np.arange(1, len(places) + 1) / places))


def occurrences(queries: F32, images: F32, k: int = 10) -> Int:
    """(N,) int64: for each picture, the queries that have it among their k most similar.

    A picture that answers far more of them than its share, k / N, is a hub (Radovanović et al. 2010).
    """
    return np.bincount(top(queries, images, k).ravel(), minlength=len(images))


def top(queries: F32, images: F32, k: int) -> Int:
    """(Q, min(k, N)) int64: each query's most similar rows, best first; ties in the order of the rows."""
    k = min(k, len(images))
    found = np.empty((len(queries), k), np.int64)
    for start, similar in _pieces(queries, images):
        found[start : start + len(similar)] = np.argsort(-similar, axis=1, kind="stable")[:, :k]
    return found


def answer_sheet(
    queries: Sequence[str],
    vectors: F32,
    images: F32,
    pictures: Sequence[Image.Image | bytes],
    *,
    columns: int = 8,
    title: str = "",
) -> Image.Image:
    """The best `columns` pictures of each query in a row under it, with their cosines, as one RGB picture.

    `vectors` (Q, D) of the queries, `images` (N, D) of the N pictures.
    """
    found = top(vectors, images, columns)
    scores = np.take_along_axis(vectors @ images.T, found, axis=1) if len(queries) else found
    sections = [
        Section(query, [Cell(pictures[i], f"{score:.2f}") for i, score in zip(row, line, strict=True)])
        for query, row, line in zip(queries, found, scores, strict=True)
    ]
    return contact_sheet(sections, columns=columns, cell_px=140, title=title)


def _pieces(queries: F32, images: F32) -> Iterator[tuple[int, F32]]:
    """(first row, similarities (rows, N)) until all queries are through."""
    rows = max(1, PIECE_ELEMENTS // max(1, len(images)))
    for start in range(0, len(queries), rows):
        yield start, queries[start : start + rows] @ images.T


def _right_rows(truth: Truth, queries: int, images: int) -> list[Int]:
    """The right rows of each query as arrays, checked."""
    if len(truth) != queries:
        raise ValueError(f"{queries} queries, but {len(truth)} truths")
    right = [np.atleast_1d(np.asarray(_listed(one), np.int64)) for one in truth]
    if any(not len(rows) or rows.min() < 0 or rows.max() >= images for rows in right):
        raise ValueError(f"each query needs a right row among the {images} there are")
    return right


def _listed(rows: int | np.integer | Collection[int]) -> int | list[int]:
    return sorted(rows) if isinstance(rows, Collection) else int(rows)
