"""Step 6: text tower and image head learn from each other, and stay near the teacher, in four languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from library.clip import ClipModel
from training.losses import clip_loss, cosine_distance
from training.recipe.corpus import PLAIN_PHRASE, Corpus
from training.recipe.head import HeadParts, SentenceMap, mix
from training.recipe.loop import Trainee, along_cosine
from training.recipe.material import LANGUAGES, Material, without_accents
from training.recipe.names import Names, accuracies, any_phrase, soft_loss
from training.recipe.pairs import Held, Pairs, Table, measured, table_of
from training.recipe.settings import RecipeSettings
from training.recipe.texttower import encode_texts, mixed_precision, text_tensors, text_vectors, tokens_of

_BETAS = (0.9, 0.98)
_FLOOR = 0.02  # of the learning rate, at the end
# How often English is drawn, beside each other language, and Czech without accents.
Weights = tuple[float, float, float]
_CLASS_PHOTOS, _ASKED, _ASKED_SYNTHETIC = 128, 256, 128  # rows of a step


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts as tokens (N, context) int16, and where the teacher wants them, (N, D) float32 with L2 norm 1."""

    tokens: Tensor
    targets: Tensor

    def rows(self, rows: Tensor) -> Texts:
        """Some of them."""
        return Texts(self.tokens[rows], self.targets[rows])


@dataclass(frozen=True, slots=True)
class Reader:
    """All texts of this step: captions of the photos (`choices`), phrases of classes and labels, and others."""

    captions: Texts
    choices: Table
    classes: Texts
    labels: Texts
    others: Texts


def make_reader(
    clip: ClipModel,
    pairs: Pairs,
    corpus: Corpus,
    material: Material,
    sentences: SentenceMap,
    settings: RecipeSettings,
) -> Reader:
    """Everything as tokens and turned targets; the other languages by the aligned lines."""

    def texts_of(texts: list[str], vectors: Tensor) -> Texts:
        with torch.no_grad():
            return Texts(tokens_of(clip, texts), sentences(vectors.float()))

    weights = (settings.joint_english, settings.joint_other, settings.joint_plain)
    texts, vectors, choices = caption_choices(pairs, corpus, material, settings, weights)
    others = _others(corpus, settings)
    return Reader(
        captions=texts_of(texts, vectors),
        choices=choices,
        classes=texts_of(corpus["classes"].texts, corpus["classes"].vectors),
        labels=texts_of(corpus["labels"].texts, corpus["labels"].vectors),
        others=texts_of(*others),
    )


def caption_choices(
    pairs: Pairs, corpus: Corpus, material: Material, settings: RecipeSettings, weights: Weights
) -> tuple[list[str], Tensor, Table]:
    """All captions, the teacher's vector of each, and which of them each photo has, how often.

    A caption that is a line of the aligned texts comes in the other languages, too, and in Czech without accents.
    """
    known = {
        text: (name, row) for name, _ in settings.data_photos for row, text in enumerate(corpus[name].texts)
    }
    lines = {line[0]: line for line in reversed(material.aligned)}
    texts: list[str] = []
    vectors: list[Tensor] = []
    rows = []
    for captions in pairs.captions:
        row = []
        for caption in captions:
            name, place = known[caption]
            for text, weight in _ways_to_say(caption, lines.get(caption), weights):
                row.append((len(texts), weight))
                texts.append(text)
                vectors.append(corpus[name].vectors[place])
        rows.append(row)
    return texts, torch.stack(vectors), table_of(rows)


def _ways_to_say(caption: str, line: tuple[str, ...] | None, weights: Weights) -> list[tuple[str, float]]:
    english, other, plain = weights
    ways = [(caption, english)]
    if line is not None:
        ways += [(text, other) for text in line[1:]]
        ways.append((without_accents(line[LANGUAGES.index("cs")]), plain))
    return ways


def _others(corpus: Corpus, settings: RecipeSettings) -> tuple[list[str], Tensor]:
    random = torch.Generator().manual_seed(settings.seed + 3)
    texts: list[str] = []
    vectors = []
    for name in settings.joint_groups:
        group = corpus[name]
        rows = torch.randperm(len(group.texts), generator=random)[: settings.joint_pool]
        texts += [group.texts[row] for row in rows.tolist()]
        vectors.append(group.vectors[rows])
    return texts, torch.cat(vectors)


@dataclass(frozen=True, slots=True)
class Both:
    """The two that learn, and what they learn from."""

    clip: ClipModel
    parts: HeadParts
    pairs: Pairs
    reader: Reader
    names: Names
    held: Held

    def tensors(self) -> dict[str, nn.Parameter]:
        """By name: the text tower's as in the model, the head's after `head.`"""
        head = {f"head.{name}": value for name, value in self.parts.head.named_parameters()}
        return {**text_tensors(self.clip), **head, "log_scale": self.parts.log_scale}


def turn_projection(clip: ClipModel, sentences: SentenceMap) -> None:
    """The text tower gives turned vectors from now on: what the head was trained against."""
    projection: nn.Parameter = text_tensors(clip)["text_projection"]
    with torch.no_grad():
        projection.copy_(projection @ sentences.turn.weight.T)


def make_trainee(both: Both, settings: RecipeSettings) -> Trainee:
    """Tower and head, ready to learn."""
    text = list(text_tensors(both.clip).values())
    head = list(both.parts.head.parameters())
    rate, text_rate = settings.joint_head_lr, settings.joint_text_lr
    optimiser = torch.optim.AdamW(
        [
            {"params": text, "lr": text_rate, "weight_decay": settings.joint_text_weight_decay},
            {"params": head, "lr": rate, "weight_decay": settings.joint_head_weight_decay},
            {"params": [both.parts.log_scale], "lr": rate, "weight_decay": 0.0},
        ],
        betas=_BETAS,
    )
    steps, warmup = settings.joint_steps, settings.joint_warmup
    batch = both.pairs.batch(settings.joint_batch)
    return Trainee(
        tensors=both.tensors(),
        optimiser=optimiser,
        schedule=along_cosine(optimiser, steps=steps, warmup=warmup, floor=_FLOOR),
        loss=lambda step: _loss(both, settings, batch),
        measure=lambda: measure_both(both),
        clipped=text,
        scale=both.parts.log_scale,
        most_log_scale=settings.head_most_log_scale,
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """A step's texts as the tower gives them now, and how far they are from where the teacher wants them."""

    captions: Tensor
    classes: Tensor
    drawn: Tensor  # the class of each row of `classes`
    distance: Tensor


def _read(both: Both, settings: RecipeSettings, photos: Tensor) -> _Read:
    reader, phrases = both.reader, both.names.phrases.shape[1]
    drawn = torch.randperm(len(both.names.phrases))[: settings.joint_classes]
    parts = [
        reader.captions.rows(reader.choices.pick(photos)),
        reader.classes.rows(drawn * phrases + torch.randint(phrases, (len(drawn),))),
        reader.labels.rows(torch.randint(len(reader.labels.tokens), (settings.joint_labels,))),
        reader.others.rows(torch.randint(len(reader.others.tokens), (settings.joint_texts,))),
    ]
    with mixed_precision():
        vectors = text_vectors(both.clip.module, torch.cat([part.tokens for part in parts]))
    split = torch.split(vectors, [len(part.tokens) for part in parts])
    weights = (1.0, settings.joint_near_classes, settings.joint_near_labels, 1.0)
    distances = [
        weight * cosine_distance(found, part.targets)
        for weight, found, part in zip(weights, split, parts, strict=True)
    ]
    return _Read(split[0], split[1], drawn, torch.stack(distances).sum())


def _loss(both: Both, settings: RecipeSettings, batch: int) -> dict[str, Tensor]:
    parts, names, head = both.parts, both.names, both.parts.head
    head.train()
    photos, views = both.pairs.draw(batch)
    read = _read(both, settings, photos)
    features = both.pairs.features[views, photos].float()
    mixed, blended = mix(features, read.captions, settings.joint_mix)
    scale = parts.log_scale.exp()
    near = clip_loss(head(mixed), blended, scale)
    made = names.synthetic(read.drawn)
    synthetic = F.cross_entropy(scale * head(made) @ read.classes.T, torch.arange(len(made)))
    wanted = any_phrase(both.reader.classes.targets.view(*names.phrases.shape[:2], -1))
    class_features, labels = names.classes.draw(_CLASS_PHOTOS)
    shown = F.cross_entropy(scale * head(class_features) @ wanted.T, labels)
    asked = torch.cat([features[:_ASKED], made[:_ASKED_SYNTHETIC]])
    with torch.no_grad():
        opinion = names.opinion(asked)
    soft = soft_loss(scale * head(asked) @ wanted.T, opinion)
    total = near + settings.joint_near * read.distance + settings.joint_synthetic * synthetic
    total = total + settings.joint_class_photos * shown + settings.joint_soft * soft
    return {"loss": near, "teacher": read.distance, "names": synthetic, "total": total}


@torch.no_grad()
def measure_both(both: Both) -> dict[str, object]:
    """Recall of the held-out photos in each language, and zero-shot accuracy, by the two as they are."""
    parts, names = both.parts, both.names
    parts.head.eval()
    texts: Mapping[str, Tensor] = {
        name: encode_texts(both.clip, lines) for name, lines in both.held.texts.items()
    }
    count = names.phrases.shape[1]
    classes = text_vectors(both.clip.module, both.reader.classes.tokens[count + PLAIN_PHRASE :: count])
    templates = names.label_phrases.shape[1]
    labels = text_vectors(both.clip.module, both.reader.labels.tokens[::templates])
    found = accuracies(names, parts.head, classes, labels)
    return {**measured(parts.head(both.held.features), texts, both.held), **found}
