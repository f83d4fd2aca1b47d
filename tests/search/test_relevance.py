"""Relevance of generated vectors, where it is known what is there and what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from library.fakes import FakeEncoder
from library.folder import writer_lock
from library.records import PhotoFilter
from library.store import Store
from search.rank import Searcher
from search.relevance import ENOUGH, Judge, Judgement, Nature, null_texts, null_vectors
from search.subjects import SENTENCES, SUBJECTS
from tests.libraries import index, paint

DIM = 64


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


class World:
    """Texts of things, and photos that lie near the texts of what they show."""

    def __init__(self, photos: int = 200) -> None:
        random = np.random.default_rng(7)
        common = unit(random.standard_normal(DIM))
        self.things = unit(random.standard_normal((40, DIM)) / 8 + 0.5 * common)
        self.texts = unit(random.standard_normal((len(null_texts()), DIM)) / 8)
        self.texts[: len(SUBJECTS)] = unit(self.texts[: len(SUBJECTS)] + 0.5 * common)
        noise = random.standard_normal((photos, DIM)) / 8
        self.shows = np.arange(photos) % 20  # the first twenty things are there, the others are not
        self.photos = unit(noise + 0.9 * self.things[self.shows])

    def relevance(self, thing: int) -> np.ndarray:
        judge = Judge(self.texts, self.photos)
        query = self.things[thing]
        scores = self.photos @ judge.direction(query)
        judgement = judge.judge(query, self.photos[np.argsort(-scores)[:5]])
        assert judgement is not None
        return judgement.of(scores)


def test_what_is_there_lies_above_the_line_and_what_is_not_below() -> None:
    world = World()
    for thing in range(20):
        relevance = world.relevance(thing)
        assert relevance[world.shows == thing].mean() > 0.5
        assert relevance[world.shows != thing].mean() < 0.2
    empty = [world.relevance(thing).max() < 0.5 for thing in range(20, 40)]
    assert np.mean(empty) >= 0.8


@pytest.mark.parametrize("photos", [1, 2, 20])
def test_a_handful_of_photos_is_judged_as_well(photos: int) -> None:
    world = World(photos)
    assert world.relevance(0)[0] > 0.5
    assert np.mean([world.relevance(thing).max() < 0.5 for thing in range(20, 40)]) >= 0.7


def test_the_fewer_photos_the_less_is_asked_of_the_best() -> None:
    texts = World().texts
    allowances = [Judge(texts, World(n).photos).allowance for n in (1, 20, ENOUGH, 2 * ENOUGH)]
    assert allowances == sorted(allowances, reverse=True)
    assert allowances[1] > 1 > allowances[2] == allowances[3] == 0


def test_names_lose_their_common_direction_and_sentences_do_not() -> None:
    world = World()
    judge = Judge(world.texts, world.photos)
    mean = world.texts[: len(SUBJECTS)].mean(axis=0)
    names, sentences = world.texts[: len(SUBJECTS)], world.texts[len(SUBJECTS) :]
    kept = [float(judge.direction(name) @ mean / (name @ mean)) for name in names if name @ mean > 0.1]
    assert np.median(kept) < 0.7
    changes = [np.linalg.norm(judge.direction(sentence) - sentence) for sentence in sentences]
    assert np.median(changes) < 0.02
    name = names[0]
    np.testing.assert_array_equal(judge.direction(name, Nature.PICTURES), name)


def test_a_picture_is_judged_by_the_scores_of_the_library() -> None:
    world = World()
    judgement = Judge(world.texts, world.photos).judge(world.photos[3], world.photos[:1], Nature.PICTURES)
    assert judgement is not None
    relevance = judgement.of(world.photos @ world.photos[3])
    assert relevance[3] > 0.9
    assert np.median(relevance) < 0.1


def test_without_anything_wanted_nothing_is_judged() -> None:
    world = World()
    assert Judge(world.texts, world.photos).judge(world.things[0], world.photos[:5], Nature.UNWANTED) is None


@pytest.mark.parametrize("line", [0.01, 0.5, 0.99])
def test_the_least_score_is_where_relevance_reaches_the_line(line: float) -> None:
    judgement = Judgement(12.0, -3.0)
    score = np.array([judgement.least_score(line)], np.float32)
    assert judgement.of(score)[0] == pytest.approx(line, abs=1e-5)
    assert judgement.least_score(0) == -np.inf


def test_the_texts_are_all_different() -> None:
    assert len(set(null_texts())) == len(null_texts())
    assert min(len(text.split()) for text in SENTENCES) >= 8


@pytest.fixture
def library(tmp_path: Path) -> Path:
    photos = paint(tmp_path / "photos", {"red.png": "red", "blue.png": "blue", "green.png": "green"})
    index(tmp_path / "library", photos)
    return tmp_path / "library"


def test_the_library_remembers_the_texts(library: Path) -> None:
    encoder = FakeEncoder()
    store = Store.open(library)
    assert null_vectors(store, encoder.stamp, None) is None
    made = null_vectors(store, encoder.stamp, encoder)
    again = null_vectors(store, encoder.stamp, None)
    store.close()
    assert made is not None
    assert again is not None
    np.testing.assert_array_equal(made, again)


def test_while_another_writes_they_are_made_and_not_remembered(library: Path) -> None:
    encoder = FakeEncoder()
    store = Store.open(library)
    with writer_lock(library, purpose="a test", timeout_s=1):
        assert null_vectors(store, encoder.stamp, encoder) is not None
    assert null_vectors(store, encoder.stamp, None) is None
    store.close()


def test_a_search_without_the_texts_cuts_nothing(library: Path) -> None:
    encoder = FakeEncoder()
    store = Store.open(library)
    page = Searcher(store, encoder.stamp).page(encoder.encode_texts(["red"])[0], wanted=PhotoFilter())
    store.close()
    assert (page.total, page.cut) == (3, 0)
    assert [result.relevance for result in page.results] == [None] * 3
