"""What oko needs of a vector engine."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Matrix = NDArray[np.float32]
# So many more than asked for are ranked, so that photos of equal scores at the last place are rarely looked for twice.
TIES = 16


class VectorIndex(Protocol):
    """What oko needs of a vector engine. Ids are photo ids; vectors are (n, D) float32 with L2 norm 1."""

    @property
    def is_exact(self) -> bool:
        """Whether `search` always finds the k best. If not, it finds nearly all of them, each with its exact score."""

    def __len__(self) -> int: ...

    def add(self, ids: Ids, vectors: Matrix) -> None:
        """Add vectors, replacing those that are there under the same ids."""

    def remove(self, ids: Ids) -> None:
        """Forget vectors; ids that are not there are ignored."""

    def search(
        self, query: Matrix, k: int, *, only: Ids | None = None, without: Ids | None = None
    ) -> tuple[Ids, Matrix]:
        """k of the photos that may answer, the best there are: (ids (m,), scores (m,)), m <= k, best first."""

    def count(self, *, only: Ids | None = None, without: Ids | None = None) -> int:
        """How many photos may answer: what `search` could find at most."""

    def scores(self, query: Matrix) -> tuple[Ids, Matrix]:
        """Of all photos: (ids (n,), inner products (n,)), exact, in no order."""

    def sample(self, most: int) -> Matrix:
        """At most so many vectors (m, D), evenly spread over all, the same ones until something is written."""

    def vectors(self, ids: Ids) -> Matrix | None:
        """The vectors (n, D) of some photos, in their order; None if the catalog is as quick, or has to be asked."""

    def contents(self) -> tuple[Ids, Matrix]:
        """Everything: (ids (n,), vectors (n, D)), in no order."""
