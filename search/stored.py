"""The vectors of photos that are in the library: what `like:ID` looks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from library.catalog import reading
from library.errors import UsageError
from library.records import ModelStamp
from library.store import Store


def vectors_of(store: Store, stamp: ModelStamp) -> Callable[[Sequence[int]], NDArray[np.float32]]:
    """A function from ids of n photos to their vectors (n, D) float32, L2 norm 1, in that order.

    It raises UsageError for a photo that the library does not have, or that this model has not seen yet.
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
                raise UsageError(
                    f"photo {key} has no vector of the model {stamp.name} yet", hint="Make it: oko index"
                )
            raise UsageError(
                f"the library has no photo {key} (like:{key})",
                hint="oko search --json shows the ids of photos. For a file: --image FILE",
            )
        return np.stack([found[key] for key in ids])

    return vectors
