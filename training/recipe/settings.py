"""Every number of the recipe, each with why it is what it is.

The first word of a name says which step it belongs to, and a step is done again when one of its numbers changes:
`data`, `words` (vocabulary), `teacher`, `text` (tower), `view` and `trunk` (features), `head`, `names` (classes),
`tail` (upper blocks), `joint`. Recall named beside a number is caption -> photo, best 1 / best 10, among the 693
held-out photos, by the teacher's sentences on frozen features of efficientnet_lite2, 30 epochs unless said.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from library.errors import UsageError

Shares = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSettings:
    """One rebuild. Equal settings on equal data and one machine give equal weights."""

    seed: int = 0

    # What is learnt from. Shards are DATA/NAME.tar.
    data_measured: str = "flickr8k"  # its held-out photos are what all is measured on
    # Photos with captions, and how often each is drawn beside one of the first: rough captions count less.
    data_photos: Shares = (("flickr8k", 1.0), ("coco_human", 1.0), ("vi_gloss", 0.5), ("coco_vqa", 0.3))
    # Shards whose captions the text tower learns: product names and weather teach words, not scenes.
    data_texts: tuple[str, ...] = (
        "flickr8k",
        "coco_human",
        "vi_gloss",
        "coco_vqa",
        "fashion",
        "weather",
    )
    data_words: tuple[str, ...] = ("flickr8k", "coco_human")  # captions people wrote: the vocabulary's
    data_classes: str = "tinyimagenet"  # photos with a WordNet number each
    data_labels: str = "caltech101"  # photos with a label each
    # Real features that synthetic ones of classes are made from.
    data_pool: tuple[str, ...] = ("flickr8k", "caltech101", "coco_human", "coco_vqa")
    data_wordnet: int = 70_000  # phrases from WordNet; more of them took time from sentences
    data_gloss_share: float = 0.35  # of nouns with their gloss, too
    data_phrases: int = 24  # of each ImageNet class, from its synonyms

    # The vocabulary of byte pairs.
    words_size: int = 16_384  # 4.2 M of the model's parameters; half of it made Czech a third longer
    words_least: int = 3  # a pair seen less often is a name or a slip

    # The teacher of sentences.
    teacher_tokens: int = 48  # longer than any caption but a handful
    teacher_batch: int = 256

    # The text tower, taught to imitate the teacher; the other languages aim at the English vector.
    text_layers: int = 4  # two: half the time a query, two points of recall less
    text_width: int = 256
    text_heads: int = 4
    text_context: int = 32  # tokens; captions have 12 to 15
    text_embed_dim: int = 384  # the teacher's
    text_steps: int = 3000  # 1 - cosine: 0.148 after 1,000 steps, 0.127 after 1,600
    text_batch: int = 512
    text_lr: float = 2e-3  # bears it: 4 layers with a warm-up
    text_warmup: int = 100
    text_weight_decay: float = 0.05
    text_cosine: float = 3.0  # weight of 1 - cosine to the teacher
    text_relation: float = 0.3  # weight of how the teacher relates the texts of a batch to each other
    text_relation_scale: float = 20.0  # the inverse of the temperature 0.05 of sentence models
    text_together: int = 6  # batches drawn at once and sorted by length, so that little is padding
    text_embedding_std: float = 0.04  # of the tokens' first vectors, made from the teacher's
    # How often each group is drawn. "0": without accents, as people type.
    text_shares: Shares = (
        ("flickr8k", 0.14),
        ("coco_human", 0.02),
        ("extra", 0.24),
        ("wordnet", 0.12),
        ("vi_gloss", 0.01),
        ("coco_vqa", 0.01),
        ("fashion", 0.01),
        ("weather", 0.002),
        ("classes", 0.07),
        ("de", 0.10),
        ("fr", 0.10),
        ("cs", 0.12),
        ("cs0", 0.04),
        ("de0", 0.02),
    )

    # The image trunk and the views of each photo that it computes once.
    trunk: int = 2  # of efficientnet_lite0, 1, 2: the largest that indexes fast enough on two cores
    trunk_image_px: int = 260  # what lite2 was trained with: 224, 240, 260
    trunk_batch: int = 32
    view_count: int = 2  # as it is, mirrored, then random parts; a third gave no more than it cost
    view_count_labels: int = 2  # of the photos with labels: whole things, so no parts of them
    view_least_crop: float = 0.55  # share of the area that a random part shows
    view_aspect: float = 0.3  # its sides change by e to the power of at most this
    view_colour: float = (
        0.25  # brightness, contrast and colour change by at most so much, each every other time
    )

    # The image head on frozen features.
    head_epochs: float = 80.0  # of the photos by their shares; 30: two points less, more with the mixing
    head_batch: int = 1024  # 512: 24.6 / 68.5, 1024: 25.9 / 68.9
    head_lr: float = 2e-3
    head_warmup: float = 0.1  # of all steps
    head_weight_decay: float = 0.1  # 0.5: no difference
    head_dropout: float = 0.5  # 0.2: 25.9 / 68.9, 0.4: 26.5 / 71.0
    head_input_dropout: float = (
        0.4  # 0: 71.0, 0.1: 72.3, 0.2: 73.0, 0.3 with 0.5 above: 72.7; 60 epochs 0.4: 74.8
    )
    head_mix: float = (
        0.5  # pairs mixed by up to half: with 60 epochs 28.8 / 74.8 where 30 without gave 28.8 / 72.7
    )
    head_log_scale: float = 3.0  # the start of the factor of cosines, as a logarithm
    head_most_log_scale: float = 4.6  # a factor of 100, as in CLIP
    head_names: float = 1.0  # weight of all class losses beside the captions' loss

    # Names of classes: what captions never mention.
    names_synthetic: float = 0.6  # weight of features made from the classifier's weights
    names_classes: float = 0.15  # weight of the photos with a WordNet number
    names_labels: float = 0.1  # weight of the photos with a label
    names_soft: float = 0.4  # weight of the trunk's own classes of real photos
    names_least_push: float = 3.0  # logits that a synthetic feature is pushed towards its class, at least
    names_push: float = 10.0  # and at most so many more
    names_spread: float = 0.9  # how far from the mean feature it starts: up to so much of a real one's way
    names_synthetic_rows: int = 256
    names_class_rows: int = 128
    names_label_rows: int = 64

    # The upper blocks of the trunk, trained on and averaged with what they were. 0 epochs: left as they are.
    tail_epochs: float = 0.0  # 5 where it is done: longer overfits these few thousand photos
    tail_from_block: int = (
        5  # blocks 5 and 6 and the last convolution: most of the weights, little of the time
    )
    tail_batch: int = 256
    tail_lr: float = 2e-4
    tail_head_lr: float = 3e-4
    tail_warmup: float = 0.15
    tail_weight_decay: float = 0.02
    tail_names: float = 0.6  # weight of all class losses on the frozen features
    tail_soft: float = 0.3  # weight of staying near the frozen trunk's classes
    tail_share: float = 0.5  # of the trained weights in the average

    # Text tower and head together.
    joint_steps: int = 300
    joint_batch: int = 512
    joint_text_lr: float = 5e-4
    joint_head_lr: float = 3e-4
    joint_warmup: int = 20
    joint_text_weight_decay: float = 0.02
    joint_head_weight_decay: float = 0.1
    joint_near: float = 2.0  # weight of staying near the teacher
    joint_mix: float = 0.3
    joint_classes: int = 320  # class phrases in a step
    joint_labels: int = 64  # label phrases in a step
    joint_texts: int = 384  # texts without a photo in a step
    joint_pool: int = 20_000  # such texts from each of these groups
    joint_groups: tuple[str, ...] = ("extra", "wordnet", "en", "de", "fr", "cs", "cs0")
    joint_english: float = 3.0  # how often a photo's English caption is drawn,
    joint_other: float = 2.0  # beside the same line in each other language,
    joint_plain: float = 0.5  # and in Czech without accents
    joint_near_classes: float = 0.6
    joint_near_labels: float = 0.2
    joint_synthetic: float = 0.5
    joint_class_photos: float = 0.1
    joint_soft: float = 0.3

    def part(self, *steps: str) -> dict[str, Any]:
        """The settings of these steps, and the seed: what their results depend on."""
        wanted = {"seed", *steps}
        return {name: value for name, value in self.as_json().items() if name.partition("_")[0] in wanted}

    def as_json(self) -> dict[str, Any]:
        """A plain object."""
        return dataclasses.asdict(self)


def small(settings: RecipeSettings) -> RecipeSettings:
    """The same recipe in minutes, to see that everything is in place; the model is worth little."""
    return dataclasses.replace(
        settings,
        trunk=0,
        trunk_image_px=128,
        view_count=1,
        view_count_labels=1,
        data_wordnet=2000,
        text_steps=60,
        text_batch=128,
        head_epochs=4.0,
        joint_steps=10,
        joint_batch=128,
        joint_classes=64,
        joint_texts=64,
        joint_pool=1000,
    )


def with_changes(settings: RecipeSettings, changes: Sequence[str]) -> RecipeSettings:
    """`changes` are NAME=VALUE, the value as Python writes it. Raises UsageError."""
    known = settings.as_json()
    given: dict[str, Any] = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in known:
            raise UsageError(f"the recipe has no setting {name!r}", hint="docs/training.md names them.")
        try:
            value = ast.literal_eval(text) if not isinstance(known[name], str) else text
        except (ValueError, SyntaxError) as error:
            raise UsageError(f"{text!r} is no value for {name}") from error
        if isinstance(known[name], float) and isinstance(value, int):
            value = float(value)
        if type(value) is not type(known[name]):
            raise UsageError(f"{name} is a {type(known[name]).__name__}, and {text!r} is not")
        given[name] = value
    return dataclasses.replace(settings, **given)
