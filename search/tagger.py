"""Tagging in a library: suggestions from stored vectors, and what is remembered so that the next batch is cheap."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from library.catalog import reading, tagging
from library.catalog.tagging import Calibration
from library.prompts import TextEncoder
from library.records import ModelStamp
from library.store import Store
from library.vocabulary import TagSpec, Vocabulary, shipped_vocabulary
from search.calibration import calibrate
from search.learned import LEARN_FROM, MOST_BACKGROUND, Examples, LearnedTag, learn
from search.tag import (
    PromptSet,
    Scorer,
    choose,
    contrast,
    embed_prompts,
    null_vector,
    prompts_of,
    with_implied,
)
from search.taught import learn_taught, shrunk_inverse

log = logging.getLogger(__name__)
F32 = NDArray[np.float32]

LEARNED_KEY = "learned_tags"  # names that people taught by example, whatever the vocabulary says
# Score distributions are measured on at most so many photos: the error of a mean is a hundredth of its deviation.
CALIBRATION_PHOTOS = 10_000
# A remembered calibration serves until the library has grown or shrunk by this part.
STALE_AFTER = 0.2
WRITE_PHOTOS = 5_000  # photos a transaction
SCORED_PHOTOS = 500  # at a time: their scores of a thousand tags stay in the processor's cache


@dataclass(slots=True)
class TagReport:
    """What a run suggested."""

    photos: int = 0
    suggestions: int = 0
    learned: int = 0  # tags scored by what decisions taught


class Tagger:
    """Suggests tags for photos of one library with one model. `store` must be a writer.

    Decisions are read when the object is made anew, or after `forget_learned`; what depends on the model alone is
    remembered in the catalog.
    """

    def __init__(
        self,
        store: Store,
        stamp: ModelStamp,
        encoder: Callable[[], TextEncoder],
        vocabulary: Vocabulary,
        *,
        least: float = 0.5,
    ) -> None:
        """`encoder` gives the model, and is only asked for texts that the library does not remember."""
        self.store = store
        self.stamp = stamp
        self.least = least
        self._encoder = encoder
        self._model_id = store.use_model(stamp)
        self.vocabulary = _with_taught(store, vocabulary)
        self._scorer: tuple[int, Scorer] | None = None  # and how many photos it was calibrated on
        self._learned: dict[int, LearnedTag] | None = None

    def tag(self, photo_ids: Iterable[int]) -> int:
        """Suggest tags for these photos, as far as the model has vectors of them. Returns how many suggestions.

        Cheap: a matrix product and one transaction. What people decided is never touched.
        """
        ids = list(photo_ids)
        if not ids:
            return 0
        with self.store.catalog.reading() as c:
            chunks = list(reading.embeddings(c, self._model_id, self.stamp.dim, ids=ids))
        return sum(self._suggest(chunk, vectors) for chunk, vectors in chunks)

    def tag_contents(self, contents: Sequence[bytes]) -> int:
        """`tag` for photos known by the SHA-256 of their content."""
        with self.store.catalog.reading() as c:
            ids = reading.photo_ids_of(c, contents).values()
        return self.tag(ids)

    def tag_all(self, progress: Callable[[int, int | None], None] = lambda done, total: None) -> TagReport:
        """Suggest tags for the whole library anew, after measuring its score distribution anew."""
        report = TagReport()
        self._recalibrate()
        self.forget_learned()
        with self.store.catalog.reading() as c:
            total, _ = tagging.vector_state(c, self._model_id)
        for ids, vectors in self._chunks():
            report.suggestions += self._suggest(ids, vectors)
            report.photos += len(ids)
            progress(report.photos, total)
        report.learned = len(self._learned or {})
        return report

    def forget_learned(self) -> None:
        """Look at people's decisions again before the next photo."""
        self._learned = None

    def logits(self, vectors: F32) -> F32:
        """Log odds (n, L) of the vocabulary's tags, learned ones included, for photos (n, D) of L2 norm 1."""
        scorer = self._current_scorer()
        found = scorer.logits(vectors)
        if self._learned is None:
            self._learned = dict(self._learn(scorer))
        for column, model in self._learned.items():
            found[:, column] = model.logits(vectors, found[:, column])
        return with_implied(found, scorer.implied) if self._learned else found

    def _suggest(self, ids: NDArray[np.int64], vectors: F32) -> int:
        names = self.vocabulary.names
        steps = range(0, len(vectors), SCORED_PHOTOS)
        chosen = [
            tags
            for at in steps
            for tags in choose(self.logits(vectors[at : at + SCORED_PHOTOS]), least=self.least)
        ]
        rows = [
            (int(key), names[column], round(chance, 4))
            for key, tags in zip(ids, chosen, strict=True)
            for column, chance in tags
        ]
        return self.store.set_suggestions([int(key) for key in ids], rows, model_id=self._model_id)

    def _chunks(self) -> Iterator[tuple[NDArray[np.int64], F32]]:
        """All photos with a vector, a transaction's worth at a time: no reader stays open while we write."""
        with self.store.catalog.reading() as c:
            everything = tagging.sample_ids(c, self._model_id, most=2**62)
        for start in range(0, len(everything), WRITE_PHOTOS):
            part = [int(key) for key in everything[start : start + WRITE_PHOTOS]]
            with self.store.catalog.reading() as c:
                chunks = list(reading.embeddings(c, self._model_id, self.stamp.dim, ids=part))
            yield from chunks

    # What depends on the model and the library

    @cached_property
    def _text(self) -> tuple[F32, F32]:
        """(vectors (L, D) of the vocabulary, null vector (D,))."""
        sets = _prompt_sets(self.vocabulary)
        wanted = {each.digest: each for each in sets}
        digests = [each.digest for each in sets]
        with self.store.catalog.reading() as c:
            known = tagging.text_vectors(c, self._model_id, digests, self.stamp.dim)
        lacking = {digest: each for digest, each in wanted.items() if digest not in known}
        if lacking:
            log.info("embedding the prompts of %d tags", len(lacking))
            made = embed_prompts(self._encoder(), list(lacking.values()))
            self.store.remember_tag_vectors(self._model_id, list(lacking), made)
            known.update(zip(lacking, made, strict=True))
        vectors = np.stack([known[digest] for digest in digests])
        return vectors[: len(self.vocabulary)], null_vector(vectors[len(self.vocabulary) :])

    @cached_property
    def _digest(self) -> bytes:
        """Of everything that the score distribution depends on but the photos."""
        whole = hashlib.sha256()
        for each in _prompt_sets(self.vocabulary):
            whole.update(each.digest)
        return whole.digest()

    def _current_scorer(self) -> Scorer:
        with self.store.catalog.reading() as c:
            photos, _ = tagging.vector_state(c, self._model_id)
            kept = tagging.calibration(c, self._model_id) if self._scorer is None else None
        if self._scorer is not None and not _stale(self._scorer[0], photos):
            return self._scorer[1]
        if kept is not None and kept.prompts_sha256 == self._digest and not _stale(kept.photos, photos):
            return self._with(kept)
        return self._recalibrate()

    def _recalibrate(self) -> Scorer:
        vectors, null = self._text
        with self.store.catalog.reading() as c:
            photos, number = tagging.vector_state(c, self._model_id)
            ids = [int(key) for key in tagging.sample_ids(c, self._model_id, CALIBRATION_PHOTOS)]
            parts = [v for _, v in reading.embeddings(c, self._model_id, self.stamp.dim, ids=ids)]
        if not parts:
            return Scorer(self.vocabulary, vectors, null, np.ones((2, len(vectors)), np.float32))
        numbers = calibrate(np.concatenate(parts) @ contrast(vectors, null).T)
        found = Calibration(self._digest, photos, number, numbers)
        self.store.remember_calibration(self._model_id, found)
        return self._with(found)

    def _with(self, found: Calibration) -> Scorer:
        vectors, null = self._text
        scorer = Scorer(self.vocabulary, vectors, null, found.numbers)
        self._scorer = (found.photos, scorer)
        self._learned = None  # what was learned lies on top of the zero-shot scores
        return scorer

    # What people's decisions teach

    def _learn(self, scorer: Scorer) -> Iterator[tuple[int, LearnedTag]]:
        with self.store.catalog.reading() as c:
            decisions = tagging.decisions(c)
        by_example = set(taught(self.store))
        places = {name: column for column, name in enumerate(self.vocabulary.names)}
        worth = {
            name: decided
            for name, decided in decisions.items()
            if name in places and (len(decided) >= LEARN_FROM or name in by_example)
        }
        if not worth:
            return
        with self.store.catalog.reading() as c:
            pool = [int(key) for key in tagging.sample_ids(c, self._model_id, MOST_BACKGROUND)]
            wanted = sorted({*pool, *(key for decided in worth.values() for key in decided)})
            chunks = list(reading.embeddings(c, self._model_id, self.stamp.dim, ids=wanted))
        ids = [int(key) for chunk, _ in chunks for key in chunk]
        vectors = (
            np.concatenate([part for _, part in chunks])
            if chunks
            else np.zeros((0, self.stamp.dim), np.float32)
        )
        row_of = {key: row for row, key in enumerate(ids)}
        zero_shot = scorer.logits(np.asarray(vectors, np.float32)) if ids else None
        sampled = [row_of[key] for key in pool if key in row_of]
        inverse = shrunk_inverse(vectors[sampled]) if sampled and by_example & worth.keys() else None
        for name, decided in worth.items():
            there = {key: has for key, has in decided.items() if key in row_of}
            if zero_shot is None or not there:
                continue
            column = places[name]
            decided_rows = [row_of[key] for key in there]
            rest = [row_of[key] for key in pool if key in row_of and key not in decided]
            decided_photos = _examples(vectors, zero_shot[:, column], decided_rows, list(there.values()))
            others = _examples(vectors, zero_shot[:, column], rest, [False] * len(rest))
            if inverse is not None and name in by_example and any(there.values()):
                yield column, learn_taught(decided_photos, others, inverse)
            else:
                yield column, learn(decided_photos, others)


def _examples(vectors: F32, zero_shot: F32, rows: list[int], has_tag: list[bool]) -> Examples:
    return Examples(vectors[rows], zero_shot[rows], np.array(has_tag, bool))


def _stale(measured_on: int, photos: int) -> bool:
    return abs(photos - measured_on) > STALE_AFTER * measured_on


def lacking_prompts(store: Store, stamp: ModelStamp, vocabulary: Vocabulary) -> dict[bytes, PromptSet]:
    """The sentences that tagging needs and the library has no vectors of, by their digest. A reader will do.

    To embed them (`search.tag.embed_prompts`) takes a minute, for which no other writer should have to wait: with
    their vectors remembered (`Store.remember_tag_vectors`) a Tagger needs no model.
    """
    wanted = {each.digest: each for each in _prompt_sets(_with_taught(store, vocabulary))}
    with store.catalog.reading() as c:
        model_id = reading.model_id(c, stamp)
        known = tagging.text_vectors(c, model_id, list(wanted), stamp.dim) if model_id is not None else {}
    return {digest: each for digest, each in wanted.items() if digest not in known}


def _prompt_sets(vocabulary: Vocabulary) -> list[PromptSet]:
    """Of the vocabulary's tags in their order, then of the shipped ones, which tell where texts lie for a model."""
    return [prompts_of(tag) for tag in (*vocabulary.tags, *shipped_vocabulary().tags)]


def _with_taught(store: Store, vocabulary: Vocabulary) -> Vocabulary:
    return vocabulary.with_tags([TagSpec(name) for name in taught(store) if name not in vocabulary.names])


def taught(store: Store) -> list[str]:
    """The tags that people taught by example."""
    with store.catalog.reading() as c:
        return list(json.loads(reading.get_meta(c, LEARNED_KEY) or "[]"))


def teach(store: Store, name: str) -> None:
    """Remember that a tag is to be learned from what people confirmed, however little that is."""
    names = taught(store)
    if name not in names:
        store.set_meta(LEARNED_KEY, json.dumps([*names, name], ensure_ascii=False))
