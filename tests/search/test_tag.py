"""Zero-shot tags: prompts, thresholds, what the other tags say."""

from __future__ import annotations

import numpy as np
import pytest

from library.fakes import FakeEncoder
from library.vocabulary import Relations, TagSpec, Vocabulary
from search.calibration import calibrate, rarity
from search.tag import (
    MOST_TAGS,
    Rule,
    Scorer,
    choose,
    contrast,
    embed_prompts,
    evened,
    null_vector,
    probability,
    prompts_of,
    thresholds,
    told,
    with_implied,
)

ENCODER = FakeEncoder()
COLOURS = ("red", "green", "blue", "yellow")


def test_a_tags_vector_is_half_its_name_and_half_its_sentences() -> None:
    tag = TagSpec("red", prompts=("a green thing", "a blue thing"))
    (vector,) = embed_prompts(ENCODER, [prompts_of(tag)])
    named, said = ENCODER.encode_texts(["red", "a photo of red."]), ENCODER.encode_texts(list(tag.prompts))
    halves = [part.mean(axis=0) / np.linalg.norm(part.mean(axis=0)) for part in (named, said)]
    expected = np.mean(halves, axis=0)
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)


def test_the_digest_changes_with_every_sentence() -> None:
    digests = {
        prompts_of(TagSpec(*each)).digest
        for each in [
            ("a",),
            ("b",),
            ("a", "g", (), ("s",)),
            ("a", "g", (), ("s", "t")),
            ("a", "g", (), ("st",)),
        ]
    }
    assert len(digests) == 5
    assert prompts_of(TagSpec("a", share=0.5)).digest == prompts_of(TagSpec("a")).digest


def test_a_rare_tag_needs_more() -> None:
    vocabulary = Vocabulary(
        tuple(TagSpec(c, share=s) for c, s in zip(COLOURS, (0.3, 0.1, 0.01, 0.001), strict=True))
    )
    vectors = np.tile(ENCODER.encode_texts(["red"]), (4, 1))  # the four look the same
    numbers = np.tile(np.array([[0.0], [0.1]], np.float32), (1, 4))
    logits = Scorer(vocabulary, vectors, np.zeros(64, np.float32), numbers).logits(
        ENCODER.encode_texts(["red"])
    )
    assert list(np.argsort(-logits[0])) == [0, 1, 2, 3]
    assert (np.diff(logits[0]) < -1).all()


def test_the_photos_colour_is_its_tag() -> None:
    vocabulary = Vocabulary(tuple(TagSpec(colour, share=0.1) for colour in COLOURS))
    vectors = embed_prompts(ENCODER, [prompts_of(tag) for tag in vocabulary.tags])
    photos = ENCODER.encode_texts(
        [f"{colour} {n}" for n in range(20) for colour in (*COLOURS, "grey", "stone")]
    )
    null = null_vector(vectors)
    scorer = Scorer(vocabulary, vectors, null, calibrate(photos @ contrast(vectors, null).T))
    best = scorer.logits(photos).argmax(axis=1).reshape(20, 6)
    assert (best[:, :4] == np.arange(4)).all()


def related(*, without: tuple[str, ...] = ()) -> Vocabulary:
    """`walk` is told of by itself and by `dog`, `cat` speaks against it; `sea` stands on its own."""
    weights = np.array([[0.5], [1.0], [-0.5]], np.float32)
    names = [name for name in ("sea", "dog", "walk", "cat") if name not in without]
    relations = Relations(("walk", "dog", "cat"), ("walk",), weights)
    return Vocabulary(tuple(map(TagSpec, names)), relations)


def test_a_tag_that_others_tell_of_is_read_from_them() -> None:
    deviations = np.array([[3.0, 2.0, 1.0, 0.0], [3.0, 0.0, 1.0, 4.0]], np.float32)
    found = told(related()).scores(deviations)
    np.testing.assert_allclose(found, [[3, 2, 2.5, 0], [3, 0, -1.5, 4]])
    assert deviations[0, 2] == 1  # the deviations are left as they are


def test_relations_are_not_used_where_too_much_of_them_is_gone() -> None:
    """People may leave tags out: what is left of the weights would tell something else."""
    vocabulary = related(without=("dog",))
    deviations = np.array([[3.0, 1.0, 0.0]], np.float32)
    np.testing.assert_array_equal(told(vocabulary).scores(deviations), deviations)
    assert len(told(related(without=("sea",))).columns) == 1


def test_each_kind_of_tag_has_its_rule() -> None:
    rule = Rule(base=1.0, slope=2.0, own_base=10.0, own_slope=0.0, lower=0.5, steepness=1.0)
    vocabulary = related()
    found = thresholds(vocabulary, told(vocabulary), rule)
    np.testing.assert_allclose(found[[0, 1, 3]], 10)
    assert found[2] == pytest.approx(1 - 0.5 + 2 * rarity(vocabulary.tags[2].share))


def test_a_photo_with_flat_scores_is_helped_and_a_loud_one_is_not() -> None:
    values = np.random.default_rng(1).standard_normal((2, 500)).astype(np.float32) * np.array([[0.5], [2.0]])
    before, after = values.std(axis=1), evened(values).std(axis=1)
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_what_a_tag_implies_is_at_least_as_probable() -> None:
    vocabulary = Vocabulary(
        (
            TagSpec("girl", implies=("child",)),
            TagSpec("child", implies=("person",)),
            TagSpec("person"),
            TagSpec("sea"),
        )
    )
    pairs = [(vocabulary.names.index(a), vocabulary.names.index(b)) for a, b in vocabulary.implications()]
    logits = np.array([[2, -1, 0.5, 1], [-3, 1, 4, 0]], np.float32)
    np.testing.assert_array_equal(with_implied(logits, pairs), [[2, 2, 2, 1], [-3, 1, 4, 0]])
    np.testing.assert_array_equal(with_implied(logits, []), logits)


def test_the_best_are_chosen_and_not_too_many() -> None:
    logits = np.linspace(-3, 3, 100, dtype=np.float32)[None].repeat(2, axis=0)
    logits[1] = -5
    first, second = choose(logits, least=0.5)
    assert [position for position, _ in first] == list(range(99, 99 - MOST_TAGS, -1))
    assert first[0][1] == pytest.approx(float(probability(np.float32(3))))
    assert choose(np.array([[30.0]], np.float32), least=0.995)[0][0][1] == pytest.approx(
        0.99
    )  # never certain
    assert second == []
    assert len(choose(logits, least=0.95)[0]) < MOST_TAGS
