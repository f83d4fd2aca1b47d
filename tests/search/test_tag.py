"""Zero-shot tags: prompts, thresholds, what the other tags say."""

from __future__ import annotations

import numpy as np
import pytest

from library.fakes import FakeEncoder
from library.vocabulary import TagSpec, Vocabulary
from search.calibration import calibrate
from search.tag import (
    MOST_TAGS,
    Scorer,
    choose,
    contrast,
    embed_prompts,
    evened,
    in_context,
    null_vector,
    probability,
    prompts_of,
    related_matrix,
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


def test_context_adds_what_present_tags_say() -> None:
    names = [f"tag {n}" for n in range(6)]
    vocabulary = Vocabulary(tuple(map(TagSpec, names)), {"tag 0": {"tag 1": 2.0, "tag 2": -2.0, "gone": 9.0}})
    matrix = related_matrix(vocabulary)
    assert matrix.shape == (6, 6)
    assert matrix.sum() == 0
    deviations = np.array([[9.0, 1, 1, 1, 1, 1], [-9.0, 1, 1, 1, 1, 1]], np.float32)
    found = in_context(deviations, np.full(6, 2.0, np.float32), matrix)
    assert found[0, 1] > found[0, 3] > found[0, 2]
    np.testing.assert_allclose(found[1], deviations[1], atol=0.01)


def test_a_photo_with_flat_scores_is_helped_and_a_loud_one_is_not() -> None:
    values = np.random.default_rng(1).standard_normal((2, 500)).astype(np.float32) * np.array([[0.5], [2.0]])
    before, after = values.std(axis=1), evened(values).std(axis=1)
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_a_faint_tag_is_not_suggested_however_common() -> None:
    vocabulary = Vocabulary((TagSpec("common", share=0.9), TagSpec("plain", share=0.9)))
    numbers = np.array([[0.0, 0.0], [0.1, 0.1]], np.float32)
    scorer = Scorer(vocabulary, np.eye(2, 8, dtype=np.float32), np.zeros(8, np.float32), numbers)
    logits = scorer.logits(np.array([[0.02, 0.99, 0, 0, 0, 0, 0, 0]], np.float32))
    assert logits[0, 0] < 0 < logits[0, 1]


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
