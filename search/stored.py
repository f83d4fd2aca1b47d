"""The vectors of photos that are in the library: what `like:ID` looks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from library.catalog import reading
from library.errors import UsageError
from library.records import ModelStamp
from library.store import Store


class UnknownPhoto(UsageError):
    """A photo that cannot be searched with: it is not in the library, or this model has not seen it."""

    def __init__(self, message: str, *, id: int, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.id = id


def vectors_of(store: Store, stamp: ModelStamp) -> Callable[[Sequence[int]], NDArray[np.float32]]:
    """A function from ids of n photos to their vectors (n, D) float32, L2 norm 1, in that order.

    It raises UnknownPhoto for a photo that the library does not have, or that this model has not seen yet.
    """

    def vectors(ids: Sequence[int]) -> NDArray[np.float32]:
        model_id = store.model_id(stamp)
        found: dict[int, NDArray[np.float32]] = {}
        with store.catalog.reading() as c:
            for keys, rows in reading.embeddings(c, model_id, stamp.dim, ids=list(dict.fromkeys(ids))):
                found.update(zip(keys.tolist(), rows, strict=True))
            known = reading.photo_rows(c, [key for key in ids if key not in found])
        for key in ids:
            if key in found:
                continue
            if key in known:
                raise UnknownPhoto(
                    f"photo {key} has no vector of the model {stamp.name} yet",
                    id=key,
                    hint="Make it: oko index",
                )
            raise UnknownPhoto(
                f"the library has no photo {key}",
                id=key,
                hint="oko search --json shows the ids of photos. For a file: --image FILE",
            )
        return np.stack([found[key] for key in ids])

    return vectors
