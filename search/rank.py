"""A query vector -> the photos that answer it, a page at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.catalog import Connection, dates, filtering, reading
from library.prompts import TextEncoder
from library.records import FileState, Hit, ModelStamp, PhotoFilter, SearchResult, Tag
from library.store import Store
from library.vectors import VectorIndex
from search import answers, diversity, ordering
from search.answers import Answers, Question
from search.duplicates import OneOfEach
from search.relevance import SAMPLE, Judge, Judgement, Nature, null_vectors

F32 = NDArray[np.float32]
Ids = NDArray[np.int64]

# The photos of so many filters are remembered: 8 bytes for each photo that passes.
FILTERS = 4


class Sort(StrEnum):
    """In which order the answers come. Photos without a date are the last by date."""

    RELEVANCE = "relevance"
    NEWEST = "newest"
    OLDEST = "oldest"
    DIVERSE = "diverse"


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Some of the answers, in order. Pages of one query neither overlap nor miss any while the library is the same."""

    results: tuple[SearchResult, ...]
    offset: int
    total: int  # photos that pass the filter and the relevance line: what paging runs over
    cut: int  # photos that pass the filter and lie below the line
    at_least: bool = (
        False  # of a large library: there are more than `total`; how many are cut was not counted
    )


@dataclass(slots=True)
class Searcher:
    """Search in one library with one model. The index is loaded at the first search and follows the catalog.

    `encoder` gives the model, and is asked for only if the library does not remember the texts that relevance is
    judged by; without it nothing is cut then. Below relevance `line` photos are not shown. With `exact` everything is
    looked at, however large the library is. Any thread may search.
    """

    store: Store
    stamp: ModelStamp
    encoder: Callable[[], TextEncoder] | None = None
    line: float = 0.5
    exact: bool = False
    _judge: tuple[tuple[int, int], Judge] | None = field(default=None, init=False)  # with the state it is of
    _nulls: F32 | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _one_of_each: OneOfEach | None = field(default=None, init=False)
    _model_id: int | None = field(default=None, init=False)
    _passed: dict[PhotoFilter, tuple[int, Ids]] = field(
        default_factory=dict, init=False
    )  # with the state it was of

    def page(
        self,
        vector: F32 | None,
        *,
        wanted: PhotoFilter | None = None,
        sort: Sort = Sort.RELEVANCE,
        offset: int = 0,
        limit: int = 60,
        everything: bool = False,
        nature: Nature = Nature.WORDS,
    ) -> SearchPage:
        """`limit` answers from place `offset` on; an empty page beyond the end.

        `vector` (D,) float32 of L2 norm 1 is what is looked for, `nature` what it was made of; without one every photo
        that passes the filter answers, newest first where the sort says nothing else. What lies below the relevance
        line only `everything` shows. Equal scores: newer first, then the one indexed later. Raises ModelMismatch if
        the library has no vectors of this model.

        Of a library too large for exact search a page among the first `HEAD` photos is found without looking at all,
        and `total` is the number of photos that were counted; a page beyond them costs a pass over all vectors.
        """
        wanted, offset, limit = wanted or PhotoFilter(), max(offset, 0), max(limit, 0)
        if vector is None:
            return self._by_filter(wanted, sort, offset, limit)
        asked = self._question(vector, wanted, nature, everything=everything)
        found = self._answers(asked, sort, offset + limit)
        if sort in (Sort.NEWEST, Sort.OLDEST):
            with self.store.catalog.reading() as c:
                order = ordering.by_date(c, found.ids, newest=sort is Sort.NEWEST)
            ids = order[offset : offset + limit]
        elif sort is Sort.DIVERSE:
            ids = self._diverse(asked, found, offset, limit)
        else:
            ids = answers.window(asked, found, offset, limit)
        results = tuple(self._shown(asked, found.judgement, ids))
        return SearchPage(results, offset, found.total, found.cut, found.at_least)

    def _answers(self, asked: Question, sort: Sort, end: int) -> Answers:
        """All photos that answer, or as many of the best as places up to `end` need."""
        if self.exact or asked.index.is_exact or sort in (Sort.NEWEST, Sort.OLDEST):
            return answers.every_answer(asked)
        found = answers.best_answers(asked)
        end = min(
            max(end, diversity.CANDIDATES) if sort is Sort.DIVERSE else end, found.total + found.at_least
        )
        # Whoever comes to the end of what is known gets all of it counted.
        is_enough = end + found.at_least <= found.known
        return found if is_enough else answers.every_answer(asked, found)

    def _by_filter(self, wanted: PhotoFilter, sort: Sort, offset: int, limit: int) -> SearchPage:
        with self.store.catalog.reading() as c:
            matching = self._matching(c, wanted)
            order = ordering.by_date(c, matching, newest=sort is not Sort.OLDEST)
        hits = [Hit(int(key), 0.0) for key in order[offset : offset + limit]]
        return SearchPage(tuple(self.results(hits)), offset, len(order), 0)

    def _question(self, vector: F32, wanted: PhotoFilter, nature: Nature, *, everything: bool) -> Question:
        with self.store.catalog.reading() as c:  # before the index, which is as new as that, or newer
            revision = reading.revision(c)
        index = self.store.vectors(self._model(), self.stamp.dim)
        judge = self._current_judge(index, revision)
        only, without = self._among(wanted)
        return Question(
            index,
            vector,
            judge.direction(vector, nature) if judge else vector,
            nature,
            judge,
            only,
            without,
            None if everything else self.line,
            self._vectors,
            self._taken,
        )

    def _among(self, wanted: PhotoFilter) -> tuple[Ids | None, Ids | None]:
        """(the photos that may answer, or None; those that may not, or None)."""
        with self.store.catalog.reading() as c:
            if not wanted.is_open:
                return self._matching(c, wanted), None
            return None, None if wanted.include_missing else reading.hidden_photo_ids(c)

    def _model(self) -> int:
        # Models are never deleted, so what was found once holds.
        if self._model_id is None:
            self._model_id = self.store.model_id(self.stamp)
        return self._model_id

    def _current_judge(self, index: VectorIndex, revision: int) -> Judge | None:
        # A photo that was edited has another vector, and there are as many as before.
        state = (revision, len(index))
        with self._lock:
            if self._judge is not None and self._judge[0] == state:
                return self._judge[1]
            if self._nulls is None:
                encoder = self.encoder() if self.encoder else None
                self._nulls = null_vectors(self.store, self.stamp, encoder)
            if self._nulls is None or not len(index):
                return None
            judge = Judge(self._nulls, index.sample(SAMPLE), state[1])
            self._judge = (state, judge)
            return judge

    def _diverse(self, asked: Question, found: Answers, offset: int, limit: int) -> Ids:
        best = answers.window(asked, found, 0, diversity.CANDIDATES)
        vectors = self._vectors(best)
        first = best[diversity.diversified(vectors, vectors @ asked.direction)]
        start = max(offset, len(first))
        rest = answers.window(asked, found, start, max(0, offset + limit - start))
        return np.concatenate([first[offset : offset + limit], rest])

    def _taken(self, ids: Sequence[int]) -> Mapping[int, str]:
        with self.store.catalog.reading() as c:
            return dates.taken(c, ids)

    def _vectors(self, ids: Ids) -> F32:
        """(n, D) of photos that have one, in the order of `ids`."""
        found = np.zeros((len(ids), self.stamp.dim), np.float32)
        row_of = {int(key): row for row, key in enumerate(ids)}
        with self.store.catalog.reading() as c:
            for part, vectors in reading.embeddings(c, self._model(), self.stamp.dim, ids=list(row_of)):
                found[[row_of[int(key)] for key in part]] = vectors
        return found

    def _shown(self, asked: Question, judgement: Judgement | None, ids: Ids) -> list[SearchResult]:
        vectors = self._vectors(ids)
        hits = [Hit(int(key), float(score)) for key, score in zip(ids, vectors @ asked.vector, strict=True)]
        results = self.results(hits)
        if judgement is None:
            return results
        relevance = judgement.of(vectors @ asked.direction)
        of = {int(key): round(float(value), 4) for key, value in zip(ids, relevance, strict=True)}
        return [replace(result, relevance=of[result.id]) for result in results]

    def rank(self, vector: F32, k: int, *, wanted: PhotoFilter | None = None) -> list[Hit]:
        """The k photos most similar to `vector` (D,) among those that pass the filter, best first.

        The filter is applied before the ranking: k photos come back whenever k pass. Raises ModelMismatch if the
        library has no vectors of this model.
        """
        index = self.store.vectors(self._model(), self.stamp.dim)
        only, without = self._among(wanted or PhotoFilter())
        ids, scores = index.search(vector, k, only=only, without=without)
        return [Hit(int(i), float(s)) for i, s in zip(ids, scores, strict=True)]

    def _matching(self, c: Connection, wanted: PhotoFilter) -> Ids:
        found = self._remembered(c, wanted)
        if wanted.one_of_duplicates:
            with self._lock:
                self._one_of_each = self._one_of_each or OneOfEach(self.store)
            found = self._one_of_each(found)
        return found

    def _remembered(self, c: Connection, wanted: PhotoFilter) -> Ids:
        """The photos that pass, asked for once as long as nothing is written: people page, and try other words."""
        state = self.store.catalog.state()
        known = self._passed.get(wanted)
        if known is not None and state is not None and known[0] == state:
            return known[1]
        found = filtering.matching_photo_ids(c, wanted)
        if state is not None:
            with self._lock:
                while len(self._passed) >= FILTERS:
                    del self._passed[next(iter(self._passed))]
                self._passed[wanted] = (state, found)
        return found

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

    def search(self, vector: F32, k: int, *, wanted: PhotoFilter | None = None) -> list[SearchResult]:
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
        taken_at=photo.dated_at,
        taken_from=photo.taken_from,
        favourite=bool(photo.favourite),
        missing=not live,
        tags=tuple(tags),
        format=photo.format,
        size_bytes=photo.size_bytes,
        camera=" ".join(part for part in (photo.camera_make, photo.camera_model) if part) or None,
        lens=photo.lens,
        latitude=photo.latitude,
        longitude=photo.longitude,
    )
