"""Names of classes, which captions seldom say: from the classifier's weights, labelled photos, the trunk's opinion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from training.average import Tensors
from training.evaluate import zero_shot_accuracy
from training.recipe.corpus import LABEL_TEMPLATES, PLAIN_PHRASE, Corpus, shard_labels
from training.recipe.features import Features
from training.recipe.material import Material, Shard
from training.recipe.settings import RecipeSettings

_SMALL = 1e-3  # of the mean variance, added to each
_CAPTIONED_ROWS, _LABEL_ROWS, _CLASS_ROWS, _SYNTHETIC_ROWS = 192, 48, 48, 96  # that the trunk is asked about
ToVectors = Callable[[Tensor], Tensor]
ToTexts = Callable[[str], Tensor]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Features (views, N, F) float32 and labels (N,) to learn from, and the same of one view to measure on."""

    features: Tensor
    labels: Tensor
    held_features: Tensor
    held_labels: Tensor

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Features (count, F) of any view, and labels."""
        rows = torch.randint(len(self.labels), (count,))
        return self.features[torch.randint(len(self.features), (count,)), rows], self.labels[rows]


@dataclass(frozen=True, slots=True)
class Names:
    """The classifier, the phrases of classes and labels, and the photos that have them.

    A synthetic feature of a class is the mean feature, part of the way towards a real one, pushed along
    covariance times the class's weights: the likeliest direction in which that class's logit grows.
    """

    weight: Tensor  # (classes, F)
    bias: Tensor  # (classes,)
    phrases: Tensor  # (classes, phrases, D), L2 norm 1
    label_phrases: Tensor  # (labels, templates, D), L2 norm 1
    classes: Labelled
    labels: Labelled
    pool: Tensor  # (M, F) real features
    mean: Tensor  # (F,)
    directions: Tensor  # (classes, F)
    gains: Tensor  # (classes,) what a step along a direction adds to the class's logit
    settings: RecipeSettings

    def synthetic(self, classes: Tensor) -> Tensor:
        """(N,) classes -> a feature of each, (N, F); features of the trunk are never far below 0."""
        settings, count = self.settings, len(classes)
        real = self.pool[torch.randint(len(self.pool), (count,))]
        spread = torch.rand(count, 1) * settings.names_spread
        push = torch.rand(count, 1) * settings.names_push + settings.names_least_push
        moved = push / self.gains[classes][:, None] * self.directions[classes]
        return (self.mean + spread * (real - self.mean) + moved).clamp(min=0)

    def opinion(self, features: Tensor) -> Tensor:
        """The trunk's own probabilities of its classes, (N, classes)."""
        return (features @ self.weight.T + self.bias).softmax(1)

    def read_by(self, tower: ToTexts) -> Names:
        """The same with another model's vectors of the phrases; `tower` is asked for "classes", then "labels"."""
        return replace(
            self,
            phrases=tower("classes").reshape(self.phrases.shape),
            label_phrases=tower("labels").reshape(self.label_phrases.shape),
        )


def make_names(
    trunk: Tensors,
    corpus: Corpus,
    material: Material,
    features: Mapping[str, Features],
    settings: RecipeSettings,
) -> Names:
    """Everything about classes, from the trunk's weights and features."""
    weight = trunk["classifier.weight"].float()
    pool = torch.cat([_learnt(material.shards[name], features[name]) for name in settings.data_pool])
    mean = pool.mean(0)
    around = pool - mean
    covariance = around.T @ around / len(pool)
    covariance += _SMALL * covariance.diag().mean() * torch.eye(len(mean))
    centred = weight - weight.mean(0)
    directions = centred @ covariance
    return Names(
        weight=weight,
        bias=trunk["classifier.bias"].float(),
        phrases=_in_rows(corpus["classes"].vectors, settings.data_phrases),
        label_phrases=_in_rows(corpus["labels"].vectors, len(LABEL_TEMPLATES)),
        classes=labelled(material.shards[settings.data_classes], features, material.class_rows),
        labels=labelled(material.shards[settings.data_labels], features, _label_rows(material, settings)),
        pool=pool,
        mean=mean,
        directions=directions,
        gains=(directions * centred).sum(1),
        settings=settings,
    )


def _label_rows(material: Material, settings: RecipeSettings) -> list[int]:
    place = {label: row for row, label in enumerate(shard_labels(material, settings))}
    return [place[photo.label] for photo in material.shards[settings.data_labels].photos]


def labelled(shard: Shard, features: Mapping[str, Features], labels: list[int]) -> Labelled:
    """A shard's photos with their labels, divided."""
    found, marks = features[shard.name], torch.tensor(labels)
    learnt, held = (
        [row for row in shard.rows(held_out=kind) if row not in found.bad] for kind in (False, True)
    )
    return Labelled(
        found.pooled[:, learnt].float(), marks[learnt], found.pooled[0, held].float(), marks[held]
    )


def names_loss(names: Names, head: ToVectors, mapped: ToVectors, scale: Tensor, captioned: Tensor) -> Tensor:
    """Four losses over class names, weighted; a scalar.

    `head` maps features to vectors and `mapped` the teacher's vectors to the same space, both with L2 norm 1;
    `captioned` (N, F) are real features to ask the trunk about; `scale` is the factor of the cosines.
    """
    settings = names.settings
    drawn = torch.randint(len(names.weight), (settings.names_synthetic_rows,))
    made = names.synthetic(drawn)
    class_features, class_labels = names.classes.draw(settings.names_class_rows)
    label_features, labels = names.labels.draw(settings.names_label_rows)
    asked = torch.cat(
        [
            captioned[:_CAPTIONED_ROWS],
            label_features[:_LABEL_ROWS],
            class_features[:_CLASS_ROWS],
            made[:_SYNTHETIC_ROWS],
        ]
    )
    parts = [made, class_features, label_features, asked]
    vectors = torch.split(head(torch.cat(parts)), [len(part) for part in parts])
    classifier = mapped(any_phrase(names.phrases))
    label_classifier = mapped(any_phrase(names.label_phrases))
    with torch.no_grad():
        opinion = names.opinion(asked)
    return (
        settings.names_synthetic * F.cross_entropy(scale * vectors[0] @ classifier.T, drawn)
        + settings.names_classes * F.cross_entropy(scale * vectors[1] @ classifier.T, class_labels)
        + settings.names_labels * F.cross_entropy(scale * vectors[2] @ label_classifier.T, labels)
        + settings.names_soft * soft_loss(scale * vectors[3] @ classifier.T, opinion)
    )


def soft_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """The divergence from wanted probabilities to those of logits, both (N, classes); a scalar."""
    return F.kl_div(logits.log_softmax(1), wanted, reduction="batchmean")


def any_phrase(phrases: Tensor) -> Tensor:
    """(classes, phrases, D) -> one of each class, (classes, D)."""
    return phrases[torch.arange(len(phrases)), torch.randint(phrases.shape[1], (len(phrases),))]


def accuracies(
    names: Names, head: ToVectors, classifier: Tensor, label_classifier: Tensor
) -> dict[str, float]:
    """Top-1 and top-5 among the classes whose photos there are, top-1 among the labels; shares on held-out photos.

    The classifiers are (classes, D) and (labels, D) with L2 norm 1.
    """
    found: dict[str, float] = {}
    kept = names.classes
    if len(kept.held_labels):
        both = torch.cat([kept.labels, kept.held_labels])
        present, place = torch.unique(both, return_inverse=True)
        right = place[len(kept.labels) :].numpy()
        among = zero_shot_accuracy(head(kept.held_features).numpy(), classifier[present].numpy(), right)
        found |= {f"classes_top_{k}": share for k, share in among.items()}
    if len(names.labels.held_labels):
        vectors, right = head(names.labels.held_features).numpy(), names.labels.held_labels.numpy()
        found["labels_top_1"] = zero_shot_accuracy(vectors, label_classifier.numpy(), right, (1,))[1]
    return found


def plain(phrases: Tensor) -> Tensor:
    """The plain phrase of each class, (classes, D)."""
    return phrases[:, PLAIN_PHRASE]


def _learnt(shard: Shard, features: Features) -> Tensor:
    """(N, F) float32: the first view of what may be learnt from."""
    rows = [row for row in shard.rows(held_out=False) if row not in features.bad]
    return features.pooled[0, rows].float()


def _in_rows(vectors: Tensor, each: int) -> Tensor:
    return vectors.float().reshape(-1, each, vectors.shape[1])
