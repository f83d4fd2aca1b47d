"""Every number of the recipe, each with why it is what it is.

The first word of a name says which step it belongs to, and a step is done again when one of its numbers changes:
`data`, `words` (vocabulary), `teacher`, `text` (tower), `view` and `trunk` (features), `head`, `names` (classes),
`joint`, `tail` (upper blocks). Two figures with a stroke are recall in %, caption -> photo, best 1 / best 10, among
the 693 held-out photos: by the teacher's sentences, on frozen features of efficientnet_lite2, 30 epochs, unless said.
A number without a figure was chosen once and not varied.
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
    # Photos with captions, and how often each is drawn beside one of the first: templates count less. Without class
    # losses, input dropout 0.3, pairs mixed: these three 28.1 / 73.3, the first alone 27.2 / 73.3, with vi_gloss at
    # 0.5 besides 27.0 / 71.9: it stays out, and so no photo without a clear licence is learnt from.
    data_photos: Shares = (("flickr8k", 1.0), ("coco_human", 1.0), ("coco_vqa", 0.3))
    data_texts: tuple[str, ...] = (
        "flickr8k",
        "coco_human",
        "coco_vqa",
    )  # whose captions the text tower learns
    data_words: tuple[str, ...] = ("flickr8k", "coco_human")  # captions people wrote: the vocabulary's
    data_classes: str = "tinyimagenet"  # photos with a WordNet number each
    data_labels: str = "caltech101"  # photos with a label each
    # Real features that synthetic ones of classes are made from.
    data_pool: tuple[str, ...] = ("flickr8k", "caltech101", "coco_human", "coco_vqa")
    data_wordnet: int = 70_000  # phrases from WordNet
    data_gloss_share: float = 0.35  # of nouns with their gloss, too
    data_phrases: int = 24  # of each ImageNet class, from its synonyms

    # The vocabulary of byte pairs.
    words_size: int = 16_384  # as the first built-in model had it: token numbers fit into 16 bits
    words_least: int = 3  # a pair seen less often is a name or a slip

    # The teacher of sentences.
    teacher_tokens: int = 48  # captions are cut there; they have a dozen words
    teacher_batch: int = 256

    # The text tower, taught to imitate the teacher; the other languages aim at the English vector.
    # Layers, width, heads and tokens are those of the first built-in model, so that a query takes as long.
    text_layers: int = 4
    text_width: int = 256
    text_heads: int = 4
    text_context: int = 32
    text_embed_dim: int = 384  # the teacher's
    text_steps: int = (
        3000  # 1 - cosine to the teacher: 0.148 after 1,000 steps, 0.115 after 2,000, 0.108 after 3,000
    )
    text_batch: int = 512
    text_lr: float = 2e-3
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
        ("coco_vqa", 0.01),
        ("classes", 0.07),
        ("de", 0.10),
        ("fr", 0.10),
        ("cs", 0.12),
        ("cs0", 0.04),
        ("de0", 0.02),
    )

    # The image trunk and the views of each photo that it computes once.
    trunk: int = 2  # of efficientnet_lite0, 1, 2
    trunk_image_px: int = 260  # what this trunk was trained with; lite0: 224, lite1: 240
    trunk_batch: int = 32
    view_count: int = 3  # as it is, mirrored, then random parts
    view_count_labels: int = 2  # of the photos with labels: whole things, so no parts of them
    view_least_crop: float = 0.55  # share of the area that a random part shows
    view_aspect: float = 0.3  # its sides change by e to the power of at most this
    view_colour: float = 0.25  # at most so much brightness, contrast and colour change, each every other time

    # The image head on frozen features.
    # Dropout 0.3 at the input with 30: 28.8 / 72.7, 0.4 with 60: 29.8 / 74.8; 80 since the class losses came beside.
    head_epochs: float = 80.0
    head_batch: int = 1024  # 512: 24.6 / 68.5, 1,024: 25.9 / 68.9
    head_lr: float = 2e-3
    head_warmup: float = 0.1  # of all steps
    head_weight_decay: float = 0.1  # 0.5: 25.7 / 68.9, 0.1: 25.9 / 68.9
    head_dropout: float = 0.5  # 0.2: 25.9 / 68.9, 0.4: 26.5 / 71.0
    # With 0.4 above, 0: 71.0, 0.1: 72.3, 0.2: 73.0 at 10; with 0.5 above and 60 epochs 0.4: 74.8.
    head_input_dropout: float = 0.4
    head_mix: float = (  # 0.5 with 60 epochs: 28.8 / 74.8, as good as without, and 61.5 at 5, not 60.7
        0.5  # pairs mixed by up to half: with 60 epochs 28.8 / 74.8 where 30 without gave 28.8 / 72.7
    )
    head_log_scale: float = 3.0  # the start of the factor of cosines, as a logarithm
    head_most_log_scale: float = 4.6  # a factor of 100, as in CLIP
    # Weight of all class losses. 0.25 (30 epochs): 27.0 / 72.4, but 26.6 % of photos right among 200 classes; 1.0 (80):
    # 27.4 / 70.8 and 51.8 %.
    head_names: float = 1.0

    # Names of classes: what captions never mention.
    names_synthetic: float = 0.6  # weight of features made from the classifier's weights
    names_classes: float = 0.15  # weight of the photos with a WordNet number
    names_labels: float = 0.1  # weight of the photos with a label
    # Weight of the trunk's own classes of real photos. 0: 24.0 / 68.5, and 42.1 % right among 200 classes.
    names_soft: float = 0.4
    names_least_push: float = 3.0  # logits that a synthetic feature is pushed towards its class, at least
    names_push: float = 10.0  # and at most so many more
    names_spread: float = 0.9  # how far from the mean feature it starts: up to so much of a real one's way
    names_synthetic_rows: int = 256
    names_class_rows: int = 128
    names_label_rows: int = 64

    # Text tower and head together.
    # From the text tower: 300 steps 28.4 / 74.6, Czech 27.1 / 69.1; 330 more from there, with the rate raised again,
    # 29.8 / 75.4, Czech 24.9 / 70.1.
    joint_steps: int = 630
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
    # What names of classes weigh beside captions, here and in the upper blocks. With 0.6, 0.2, 0.5, 0.1, 0.3 and there
    # 0.5, 0.3: captions 33.2 / 79.4, but "a photo of a NAME" 83.2 at 10 of 273 and 79.7 % of Caltech's photos right.
    # As it is now 32.7 / 77.9, 85.0 and 81.4 %. The mean of both runs' weights lies between them in everything.
    joint_near_classes: float = 1.0
    joint_near_labels: float = 0.6
    joint_synthetic: float = 1.0
    joint_class_photos: float = 0.4
    joint_soft: float = 0.8

    # The upper blocks of the trunk, against the text tower, which stays. 0 steps: left as they are.
    # 0: 29.9 / 75.5, 60: 31.3 / 77.0, 120: 32.4 / 78.9, 180: 32.8 / 78.5 (of all: 65.7 at 5, 63.8 after 60).
    tail_steps: int = 180
    tail_from_block: int = (  # blocks 5 and 6 and the last convolution
        5  # blocks 5 and 6 and the last convolution: most of the weights, little of the time
    )
    tail_batch: int = 256
    tail_lr: float = 2e-4
    tail_head_lr: float = 2e-4
    tail_warmup: float = 0.15
    tail_weight_decay: float = 0.02
    tail_head_weight_decay: float = 0.1
    tail_mix: float = 0.3
    tail_names: float = 1.5  # weight of all class losses on the frozen features
    tail_soft: float = 1.0  # weight of staying near the frozen trunk's classes
    tail_english: float = 3.0  # as `joint_english`
    tail_other: float = 1.0
    # Of the trained weights in the average with what they were: 0.35: 31.1 / 76.9, 0.7: 32.0 / 78.4, 1: 32.8 / 78.5.
    # The first recipe, without dropout at the head's input, needed 0.35.
    tail_share: float = 1.0

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
        tail_steps=0,
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
