"""A query vector -> the photos that answer it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.catalog import reading
from library.records import FileState, Hit, ModelStamp, PhotoFilter, SearchResult, Tag
from library.store import Store


@dataclass(slots=True)
class Searcher:
    """Search in one library with one model. The index is loaded at the first search and follows the catalog."""

    store: Store
    stamp: ModelStamp

    def rank(self, vector: NDArray[np.float32], k: int, *, wanted: PhotoFilter | None = None) -> list[Hit]:
        """The k photos most similar to `vector` (D,) among those that pass the filter, best first.

        The filter is applied before the ranking: k photos come back whenever k pass. Raises ModelMismatch if the
        library has no vectors of this model.
        """
        wanted = wanted or PhotoFilter()
        index = self.store.vectors(self.store.model_id(self.stamp), self.stamp.dim)
        with self.store.catalog.reading() as c:
            if not wanted.is_open:
                ids, scores = index.search(vector, k, only=reading.matching_photo_ids(c, wanted))
            elif wanted.include_missing:
                ids, scores = index.search(vector, k)
            else:
                ids, scores = index.search(vector, k, without=reading.hidden_photo_ids(c))
        return [Hit(int(i), float(s)) for i, s in zip(ids, scores, strict=True)]

    def results(self, hits: Sequence[Hit]) -> list[SearchResult]:
        """What a list or a page shows of the hits, in their order."""
        ids = [hit.id for hit in hits]
        with self.store.catalog.reading() as c:
            photos, files = reading.photo_rows(c, ids), reading.photo_files(c, ids)
            tags = reading.photo_tags(c, ids)
        found = []
        for hit in hits:
            if hit.id in photos and hit.id in files:
                shown = [Tag(t.name, t.score, t.state) for t in tags.get(hit.id, []) if t.state != "rejected"]
                found.append(_result(hit, photos[hit.id], files[hit.id], shown))
        return found

    def search(
        self, vector: NDArray[np.float32], k: int, *, wanted: PhotoFilter | None = None
    ) -> list[SearchResult]:
        """`rank`, then `results`."""
        return self.results(self.rank(vector, k, wanted=wanted))


def _result(
    hit: Hit, photo: Any, files: Sequence[tuple[Path, FileState]], tags: Sequence[Tag]
) -> SearchResult:
    live = [path for path, state in files if state == FileState.INDEXED]
    return SearchResult(
        id=hit.id,
        path=files[0][0],
        score=hit.score,
        relevance=None,
        copies=tuple(live[1:]),
        width=photo.width,
        height=photo.height,
        taken_at=photo.taken_at,
        missing=not live,
        tags=tuple(tags),
    )
