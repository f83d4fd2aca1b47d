"""Whether the probabilities of `oko classify --independent` mean what they say.

usage: python -m benchmarks.independent [--data ../shared/data] [--model builtin]

Labels are the tags that at least five development photos have, by their names alone. The two constants of
search/classify.py were fitted on these photos; the table is made of five parts, each with constants that were fitted
on the other four. A caption leaves much out, so what is said to have 50 % may well be there more often than it counts.
"""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.tagging_data import command_line, load_album, model_for
from library.prompts import text_classifier
from library.vocabulary import shipped_vocabulary
from search.classify import OFFSET, SLOPE, above, null_subjects

LEAST_TRUE = 5
FOLDS = 5
EDGES = (0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.01)
F64 = NDArray[np.float64]


def main() -> int:
    """Run the benchmark; returns the exit code (0 also when the data are absent, which is said)."""
    args = command_line(__doc__).parse_args()
    vocabulary, encoder = shipped_vocabulary(), model_for(args.model)
    album = load_album(args.data, encoder, development=True)
    if album is None:
        print(f"skipped: there are no photos in {args.data} (--data names the folder)")
        return 0
    found = album.truth(vocabulary)
    occur = np.flatnonzero(found.sum(axis=0) >= LEAST_TRUE)
    labels = text_classifier(encoder, [vocabulary.names[j] for j in occur])
    null = encoder.encode_texts(null_subjects())
    values = np.asarray(above(album.vectors @ labels.T, album.vectors @ null.T), np.float64)
    truths = found[:, occur]
    chances, slope, offset = cross_validated(values, truths)
    print(f"all photos: SLOPE, OFFSET = {slope:.2f}, {offset:.2f} (shipped {SLOPE}, {OFFSET})")
    table, error = reliability(chances, truths)
    print(f"{'said':>6}{'there':>7}{'labels':>8}")
    for said, there, labels_in_it in table:
        print(f"{said:>6.0%}{there:>7.0%}{labels_in_it:>8,}")
    print(f"expected calibration error {error:.3f}, Brier score {((chances - truths) ** 2).mean():.4f}")
    return 0


def cross_validated(values: F64, truths: NDArray[np.bool_]) -> tuple[F64, float, float]:
    """Probabilities (n, L) of photos that had no part in the constants; the constants (slope, offset) of all."""
    part = np.random.default_rng(0).permutation(len(values)) % FOLDS
    chances = np.zeros(values.shape)
    for fold in range(FOLDS):
        slope, offset = fitted(values[part != fold], truths[part != fold])
        chances[part == fold] = 1 / (1 + np.exp(offset - slope * values[part == fold]))
    return chances, *fitted(values, truths)


def fitted(values: F64, truths: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset of a logistic regression over all photos and labels."""
    model = LogisticRegression(C=1e4).fit(values.reshape(-1, 1), truths.ravel())
    return float(model.coef_[0, 0]), float(-model.intercept_[0])


def reliability(chances: F64, truths: NDArray[np.bool_]) -> tuple[list[tuple[float, float, int]], float]:
    """(mean probability, share that is true, how many) a bin, and the expected calibration error."""
    rows = []
    for low, high in pairwise(EDGES):
        here = (chances >= low) & (chances < high)
        if here.any():
            rows.append((float(chances[here].mean()), float(truths[here].mean()), int(here.sum())))
    error = sum(abs(said - there) * n for said, there, n in rows) / chances.size
    return rows, error


if __name__ == "__main__":
    sys.exit(main())
