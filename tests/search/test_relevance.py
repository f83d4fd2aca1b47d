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
from search.relevance import ENOUGH, PLACES, SUREST, Judge, Judgement, Nature, null_texts, null_vectors
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

    @property
    def judge(self) -> Judge:
        return Judge(self.texts, self.photos, len(self.photos))

    def judgement(self, thing: int) -> tuple[Judgement, np.ndarray]:
        query = self.things[thing]
        scores = self.photos @ self.judge.direction(query)
        along = self.photos[np.argsort(-scores)[PLACES[len(scores) > PLACES]]]
        judgement = self.judge.judge(query, along)
        assert judgement is not None
        return judgement, scores

    def relevance(self, thing: int) -> np.ndarray:
        judgement, scores = self.judgement(thing)
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
    sizes = (1, 20, ENOUGH, 2 * ENOUGH, 1_000_000)
    allowances = [Judge(texts, World(1).photos, count).allowance for count in sizes]
    assert allowances == sorted(allowances, reverse=True)
    assert allowances[1] > 1 > allowances[2] == 0 > allowances[3] > -1


def test_many_photos_that_stand_out_a_little_answer_as_well_as_one_that_does_so_far() -> None:
    few, many = World(200), World(200)
    many.shows[:] = 0  # what stood out at ten photos now does at all
    random = np.random.default_rng(3)
    many.photos[:] = unit(random.standard_normal((200, DIM)) / 8 + 0.55 * many.things[0])
    faint = unit(random.standard_normal((1, DIM)) / 8 + 0.55 * few.things[30])
    few.photos[:1] = faint
    assert many.judge.standing_out(many.things[0], many.photos[:1]) < SUREST
    assert (many.relevance(0) >= 0.5).mean() > 0.5
    assert few.relevance(30).max() < many.relevance(0).max()


def test_relevance_never_rises_along_the_ranking() -> None:
    world = World()
    for thing in range(40):
        judgement, scores = world.judgement(thing)
        along = judgement.of(np.sort(scores)[::-1])
        assert (np.diff(along) <= 1e-6).all()
        np.testing.assert_array_equal(np.diff(judgement.scores) >= 0, True)


def test_as_many_photos_lie_above_the_least_score_as_are_relevant() -> None:
    world = World()
    for thing in range(40):
        judgement, scores = world.judgement(thing)
        for line in (0.05, 0.5, 0.95):
            above, relevant = scores >= judgement.least_score(line), judgement.of(scores) >= line
            assert (above != relevant).sum() <= 1  # one may lie on the line


def test_behind_the_last_place_that_is_looked_at_relevance_goes_on_falling() -> None:
    world = World(2 * int(PLACES[-1]))
    judgement, scores = world.judgement(0)
    assert len(judgement.scores) == len(PLACES)
    behind = np.sort(scores[scores < judgement.scores[0]])[::-1]
    assert (np.diff(judgement.of(behind)) < 0).all()


def test_names_lose_their_common_direction_and_sentences_do_not() -> None:
    world = World()
    judge = world.judge
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
    judgement = world.judge.judge(world.photos[3], world.photos[:1], Nature.PICTURES)
    assert judgement is not None
    relevance = judgement.of(world.photos @ world.photos[3])
    assert relevance[3] > 0.9
    assert np.median(relevance) < 0.1


def test_without_anything_wanted_nothing_is_judged() -> None:
    world = World()
    assert world.judge.judge(world.things[0], world.photos[:5], Nature.UNWANTED) is None


@pytest.mark.parametrize("above", [0.0, 9.0])
@pytest.mark.parametrize("line", [0.01, 0.2, 0.5, 0.6, 0.99])
def test_the_least_score_is_where_relevance_reaches_the_line(line: float, above: float) -> None:
    scores, logits = np.array([0.1, 0.2, 0.3, 0.3, 0.4]), np.array([-2, 0, 0, 0.1, 2])
    judgement = Judgement(scores.astype(np.float32), logits.astype(np.float32), below=12.0, above=above)
    assert judgement.least_score(0) == -np.inf
    score = np.array([judgement.least_score(line)], np.float32)
    if above == 0 and line == 0.99:
        assert score[0] == np.inf  # the best is not as relevant as that
    else:
        assert judgement.of(score)[0] == pytest.approx(line, abs=0.03 if line == 0.5 else 1e-4)


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
