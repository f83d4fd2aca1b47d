"""Which photos answer a query: all of them, or, from an index that is not exact, the best of them first.

Of a large library only the best few hundred are looked up, which hundreds of pages out of a thousand need no more
than. What comes after them follows in the order that looking at everything gives: so pages neither overlap nor miss
any, however they were made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from library.vectors import VectorIndex
from search import ordering
from search.relevance import PLACES, Judge, Judgement, Nature

F32 = NDArray[np.float32]
Ids = NDArray[np.int64]

# So many of the best are looked up together: ten pages of sixty, and all PLACES that relevance is judged by. More would
# cost every first page (0.5 ms a hundred).
HEAD = 600


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for, and among which photos."""

    index: VectorIndex
    vector: F32  # (D,) float32, L2 norm 1
    direction: F32  # (D,) photos are ranked by their products with it
    nature: Nature
    judge: Judge | None
    only: Ids | None  # photos that pass the filter; None: all but `without`
    without: Ids | None
    line: float | None  # of relevance; None: nothing is cut
    vectors: Callable[[Ids], F32]  # of photos
    taken: Callable[[Sequence[int]], Mapping[int, str]]  # their dates

    def passing(self, ids: Ids) -> NDArray[np.bool_]:
        """Which of the photos may answer: (n,)."""
        if self.only is not None:
            return ordering.members(ids, self.only)
        if self.without is not None and len(self.without):
            return ~ordering.members(ids, self.without)
        return np.ones(len(ids), bool)

    def judgement(self, ids: Ids, scores: F32) -> Judgement | None:
        """By the best of the whole library: what a photo is worth does not depend on the filter."""
        if self.judge is None or not len(ids):
            return None
        # Which of equal scores stands first is all the same here: their dates need not be asked for.
        best = ordering.window(ids, scores, offset=0, limit=HEAD, taken=lambda some: {})
        looked_at = ids[best[PLACES[len(best) > PLACES]]]
        photos = self.index.vectors(looked_at)
        return self.judge.judge(
            self.vector, self.vectors(looked_at) if photos is None else photos, self.nature
        )

    def least(self, judgement: Judgement | None) -> float:
        """The score from which photos answer."""
        return -math.inf if self.line is None or judgement is None else judgement.least_score(self.line)


@dataclass(frozen=True, slots=True)
class Answers:
    """The photos that answer: first the best, then the rest, each of them in no order; no photo is in both."""

    best: tuple[Ids, F32]  # ids (n,) and what they are ranked by (n,)
    rest: tuple[Ids, F32] | None  # None: not looked at
    judgement: Judgement | None  # None: relevance is not known, nothing is cut
    total: int  # photos that answer, looked at or not
    cut: int  # photos that pass the filter and lie below the line
    at_least: bool = False  # there are more than `total`, and how many are cut is not known

    @property
    def known(self) -> int:
        """How many places of the ranking can be told."""
        return len(self.best[0]) + (len(self.rest[0]) if self.rest else 0)

    @property
    def ids(self) -> Ids:
        """Those that were looked at, in no order."""
        return np.concatenate([self.best[0], self.rest[0]]) if self.rest else self.best[0]


NOBODY: tuple[Ids, F32] = (np.empty(0, np.int64), np.empty(0, np.float32))


def every_answer(asked: Question, found: Answers | None = None) -> Answers:
    """All photos that answer, from a look at everything. What `found` has of them stays first, judged as it was."""
    ids, scores = asked.index.scores(asked.direction)
    judgement = found.judgement if found else asked.judgement(ids, scores)
    keep = asked.passing(ids)
    passing = int(np.count_nonzero(keep))
    keep &= scores >= asked.least(judgement)
    best = found.best if found else NOBODY
    if len(best[0]):
        keep &= ~ordering.members(ids, best[0])
    total = len(best[0]) + int(np.count_nonzero(keep))
    return Answers(best, (ids[keep], scores[keep]), judgement, total, passing - total)


def best_answers(asked: Question) -> Answers:
    """The best photos that answer, as the index finds them; all of them if they are few."""
    index = asked.index
    ids, scores = index.search(asked.direction, HEAD)
    judgement = asked.judgement(ids, scores)
    passing = index.count(only=asked.only, without=asked.without)
    keep = asked.passing(ids)
    if asked.only is not None or 2 * np.count_nonzero(keep) < len(ids):
        ids, scores = index.search(asked.direction, HEAD, only=asked.only, without=asked.without)
    else:
        ids, scores = ids[keep], scores[keep]
    least = asked.least(judgement)
    above = scores >= least
    if len(ids) == passing or not above.all():
        total = int(np.count_nonzero(above))
        return Answers((ids[above], scores[above]), None, judgement, total, passing - total)
    # Which of equal scores come first is for their dates to say, so those at the end wait for the others like them.
    rounded = np.round(scores, ordering.DECIMALS)
    clear = rounded > rounded[-1] if len(ids) else above
    is_uncut = least == -math.inf
    total = passing if is_uncut else len(ids)
    return Answers((ids[clear], scores[clear]), None, judgement, total, 0, at_least=not is_uncut)


def window(asked: Question, found: Answers, offset: int, limit: int) -> Ids:
    """The photos in places offset to offset + limit of the ranking, best first."""
    ids, scores = found.best
    first = ordering.window(ids, scores, offset=offset, limit=limit, taken=asked.taken)
    if found.rest is None:
        return ids[first]
    after, start = limit - len(first), max(0, offset - len(ids))
    rest = ordering.window(*found.rest, offset=start, limit=after, taken=asked.taken)
    return np.concatenate([ids[first], found.rest[0][rest]])
