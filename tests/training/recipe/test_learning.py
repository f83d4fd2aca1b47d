"""The parts that learn, each against a plain reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from library.clip import ClipModel, blank_clip
from library.errors import ModelError
from tests.training.recipe.conftest import Done
from tests.training.recipe.small_world import SETTINGS
from training.recipe.texttower import (
    encode_texts,
    lengths_of,
    run_tower,
    text_tensors,
    text_vectors,
    tokens_of,
)

torch = pytest.importorskip("torch")

TEXTS = ["a red circle", "b", "a blue bar on grey, number twenty four and more than fit into the tower", ""]


@pytest.fixture(scope="module")
def clip(done: Done) -> ClipModel:
    torch.manual_seed(0)
    (folder,) = done.places.work.glob("blank-*")
    return blank_clip(folder)


def test_the_tower_without_padding_is_the_tower(clip: ClipModel) -> None:
    module: Any = clip.module
    with torch.no_grad():
        wanted = module.encode_text(clip.tokenizer(TEXTS), normalize=True)
    assert torch.allclose(encode_texts(clip, TEXTS), wanted, atol=1e-5)
    assert lengths_of(tokens_of(clip, TEXTS)).tolist() == [(row > 0).sum() for row in clip.tokenizer(TEXTS)]


def test_order_does_not_matter_and_gradients_flow(clip: ClipModel) -> None:
    tokens = tokens_of(clip, TEXTS * 100)
    found = text_vectors(clip.module, tokens)
    assert torch.allclose(found[:4], found[-4:], atol=1e-5)
    found.sum().backward()
    assert all(value.grad is not None for value in text_tensors(clip).values())
    clip.module.zero_grad()


def test_tokens_start_near_the_texts_they_stand_in(clip: ClipModel) -> None:
    from training.recipe.distil import Lesson, start_embeddings

    tokens = tokens_of(clip, ["red", "blue", "red red", "blue blue"])
    one = torch.zeros(40)
    one[0] = 1
    targets = torch.stack([one, -one, one, -one]).half()
    lesson = Lesson(tokens, lengths_of(tokens), targets, torch.tensor([0]), torch.tensor([4]), torch.ones(1))
    module: Any = clip.module
    before = module.token_embedding.weight.detach().clone()
    start_embeddings(module, lesson, std=0.04)
    after = module.token_embedding.weight.detach()
    red, blue = int(tokens[0, 1]), int(tokens[1, 1])
    assert torch.cosine_similarity(after[red], after[blue], dim=0) < -0.9
    seen = set(tokens[:, :4].flatten().tolist())
    untouched = [row for row in range(1, len(after)) if row not in seen]
    assert torch.equal(before[untouched], after[untouched])
    assert torch.isfinite(run_tower(module, tokens)).all()


def test_batches_follow_the_shares(clip: ClipModel) -> None:
    from training.recipe.distil import Lesson

    tokens = tokens_of(clip, [f"red {'very ' * (n % 5)}" for n in range(100)])
    starts, counts = torch.tensor([0, 10]), torch.tensor([10, 90])
    lesson = Lesson(tokens, lengths_of(tokens), torch.zeros(100, 4), starts, counts, torch.tensor([0.8, 0.2]))
    batches = lesson.rows(3, batch=50, together=4, seed=0)
    assert [len(batch) for batch in batches] == [50] * 4
    drawn = torch.cat(batches)
    assert 130 < int((drawn < 10).sum()) < 190
    assert all(
        torch.equal(a, b) for a, b in zip(batches, lesson.rows(3, batch=50, together=4, seed=0), strict=True)
    )
    assert not all(
        torch.equal(a, b) for a, b in zip(batches, lesson.rows(4, batch=50, together=4, seed=0), strict=True)
    )
    spread = [int(lesson.lengths[batch].max() - lesson.lengths[batch].min()) for batch in batches]
    assert sum(spread) < 12  # of 16: texts of like length together


def test_a_table_picks_by_weight() -> None:
    from training.recipe.pairs import table_of

    table = table_of([[(7, 1.0)], [(3, 3.0), (4, 1.0), (5, 0.0)]])
    torch.manual_seed(0)
    picked = table.pick(torch.tensor([0, 1] * 2000))
    assert set(picked[::2].tolist()) == {7}
    second = picked[1::2]
    assert set(second.tolist()) == {3, 4}
    assert 0.7 < float((second == 3).float().mean()) < 0.8


def test_mixing() -> None:
    from training.recipe.head import mix

    torch.manual_seed(0)
    features = torch.eye(6)
    vectors = torch.eye(6)
    assert mix(features, vectors, 0.0) == (features, vectors)
    mixed, blended = mix(features, vectors, 0.4)
    assert torch.allclose(mixed.sum(1), torch.ones(6))
    assert (mixed.diag() >= 0.6).all()
    assert torch.allclose(blended.norm(dim=1), torch.ones(6))
    assert torch.equal(mixed > 0, blended > 0)  # the same other pair
    both = torch.stack([vectors, -vectors], 1)  # two captions of each
    _, blended = mix(features, both, 0.4)
    assert torch.allclose(blended[:, 0], -blended[:, 1])


def small_names() -> Any:
    """Five classes over eight features."""
    from training.recipe.names import Labelled, Names

    torch.manual_seed(0)
    pool = torch.rand(400, 8)
    weight = torch.randn(5, 8)
    around, centred = pool - pool.mean(0), weight - weight.mean(0)
    directions = centred @ (around.T @ around / len(pool))
    labels = torch.arange(5)
    labelled = Labelled(torch.rand(2, 5, 8), labels, torch.rand(5, 8), labels)
    phrases = torch.nn.functional.normalize(torch.randn(5, 4, 6), dim=-1)
    gains = (directions * centred).sum(1)
    return Names(
        weight,
        torch.zeros(5),
        phrases,
        phrases,
        labelled,
        labelled,
        pool,
        pool.mean(0),
        directions,
        gains,
        SETTINGS,
    )


def test_synthetic_features_are_of_their_class() -> None:
    names = small_names()
    classes = torch.arange(5).repeat(50)
    made = names.synthetic(classes)
    assert made.min() >= 0
    found = names.opinion(made).argmax(1)
    assert float((found == classes).float().mean()) > 0.8  # at 0 they are cut off, so not all


def test_the_loss_of_names_can_be_learnt() -> None:
    from training.recipe.names import accuracies, names_loss, plain

    names = small_names()
    head = torch.nn.Linear(8, 6)

    def vectors(features: Any) -> Any:
        return torch.nn.functional.normalize(head(features), dim=-1)

    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    losses = []
    for _ in range(120):
        loss = names_loss(names, vectors, lambda t: t, torch.tensor(10.0), names.pool[:64])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    with torch.no_grad():
        found = accuracies(names, vectors, plain(names.phrases), names.label_phrases[:, 0])
    assert set(found) == {"classes_top_1", "classes_top_5", "labels_top_1"}
    assert found["classes_top_5"] == 1.0


def test_a_loss_that_is_no_number_is_said(tmp_path: Path) -> None:
    from training.recipe.loop import Course, Trainee, along_cosine, train
    from training.recipe.workshop import Workshop

    value = torch.nn.Parameter(torch.ones(1))
    optimiser = torch.optim.SGD([value], lr=0.1)
    schedule = along_cosine(optimiser, steps=3, warmup=1, floor=0.0)
    trainee = Trainee({"v": value}, optimiser, schedule, lambda step: {"loss": value.sum() / 0}, dict)
    with pytest.raises(ModelError, match="step 1 of thing is no number"):
        train(trainee, Course("thing", "key", 3, 0), Workshop(tmp_path))
