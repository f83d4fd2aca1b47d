"""Step 2: every text that is learnt, and the teacher's vector of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from training.recipe.material import LANGUAGES, Material, without_accents
from training.recipe.settings import RecipeSettings
from training.recipe.starts import Teacher
from training.recipe.workshop import Workshop, key_of

if TYPE_CHECKING:
    from torch import Tensor

LABEL_TEMPLATES = ("a photo of a {}", "{}", "a {}", "a picture of a {}")
_NOUNS = (
    "a photo of a {}",
    "a {}",
    "{}",
    "a picture of a {}",
    "{} in the photo",
    "the {}",
    "{}",
    "photo of {}",
)
_VERBS = ("a person {}", "people {}", "{}")
_CLASSES = (
    "a photo of a {}",
    "a {}",
    "{}",
    "a picture of a {}",
    "a close-up photo of a {}",
    "a photo of the {}",
    "a {} in the scene",
    "photo of {}",
    "the {}",
    "an image with a {}",
)
PLAIN_PHRASE = -2  # of a class's phrases: "a photo of a" and its first name
_PIECE = 8192  # texts between two signs of life
_LONGEST_NAME = 40  # letters: longer nouns are Latin or legal


@dataclass(frozen=True, slots=True)
class Group:
    """Texts and their targets, (N, D) float16 with L2 norm 1."""

    texts: list[str]
    vectors: Tensor


Corpus = dict[str, Group]


def english_groups(material: Material, settings: RecipeSettings) -> dict[str, list[str]]:
    """What the teacher is asked: texts to learn, and apart from them those that are only measured with."""
    shards = dict.fromkeys([*settings.data_texts, *(name for name, _ in settings.data_photos)])
    groups = {name: _public(material, material.shards[name].captions()) for name in shards}
    groups["aligned"] = [line[0] for line in material.aligned]
    groups["extra"] = sorted(set(material.extra))
    groups["wordnet"] = list(_wordnet_phrases(material, settings))
    groups["classes"] = list(_class_phrases(material, settings))
    names = label_names(material, settings)
    groups["labels"] = [template.format(name) for name in names for template in LABEL_TEMPLATES]
    groups["measured"] = material.shards[settings.data_measured].captions(held_out=True)
    groups["development"] = [line["en"] for line in material.development]
    return groups


def make_corpus(
    groups: dict[str, list[str]], teacher: Teacher, digest: str, settings: RecipeSettings, workshop: Workshop
) -> Corpus:
    """The teacher's vectors of each group, kept group by group. `digest` is that of the teacher's weights."""
    tell = workshop.teller("teacher", sum(map(len, groups.values())))
    corpus = {}
    done = 0
    for name, texts in groups.items():
        key = key_of(settings.part("teacher"), digest, texts)
        taught = partial(_taught, teacher, texts, tell, done)
        corpus[name] = Group(texts, workshop.kept(f"teacher-{name}", key, taught)["vectors"])
        done += len(texts)
        tell(done)
    return corpus


def _taught(teacher: Teacher, texts: list[str], tell: Callable[[int], None], done: int) -> dict[str, Tensor]:
    import torch

    parts = []
    for start in range(0, len(texts), _PIECE):
        parts.append(teacher.vectors(texts[start : start + _PIECE]))
        tell(done + min(len(texts), start + _PIECE))
    return {"vectors": torch.cat(parts) if parts else torch.zeros(0, 0, dtype=torch.float16)}


def with_languages(corpus: Corpus, material: Material) -> Corpus:
    """The other languages' lines, too: the target of each is the vector of the English one beside it."""
    vectors = corpus["aligned"].vectors
    columns = dict(zip(LANGUAGES, zip(*material.aligned, strict=True), strict=True))
    groups = {name: Group(list(columns[name]), vectors) for name in LANGUAGES}
    plain = {
        f"{name}0": Group([without_accents(text) for text in columns[name]], vectors) for name in ("cs", "de")
    }
    return {**corpus, **groups, **plain}


def label_names(material: Material, settings: RecipeSettings) -> list[str]:
    """The labels as a person would write them, sorted as the shard has them."""
    return [_readable(label) for label in shard_labels(material, settings)]


def shard_labels(material: Material, settings: RecipeSettings) -> list[str]:
    """The labels as the shard has them."""
    return sorted({photo.label for photo in material.shards[settings.data_labels].photos})


def _readable(label: str) -> str:
    return label.replace("_", " ").lower()


def _public(material: Material, captions: Sequence[str]) -> list[str]:
    return [caption for caption in captions if caption not in material.secret]


def _wordnet_phrases(material: Material, settings: RecipeSettings) -> list[str]:
    """Words of WordNet in short phrases, some with their glosses, in a random order."""
    choose = random.Random(settings.seed + 1)
    found: list[str] = []
    for (part, _), synset in material.wordnet.items():
        if part == "noun":
            found += [choose.choice(_NOUNS).format(name) for name in synset.lemmas[:3] if _is_plain(name)]
            if choose.random() < settings.data_gloss_share:
                found.append(f"{synset.lemmas[0]}: {synset.gloss}" if choose.random() < 0.5 else synset.gloss)
        elif part == "adj":
            found.append(synset.lemmas[0])
        else:
            found.append(choose.choice(_VERBS).format(synset.lemmas[0]))
    choose.shuffle(found)
    return found[: settings.data_wordnet]


def _is_plain(name: str) -> bool:
    return name.isascii() and any(map(str.isalpha, name)) and len(name) < _LONGEST_NAME


def _class_phrases(material: Material, settings: RecipeSettings) -> Iterator[str]:
    """`data_phrases` of each class: its names at random, the first of them oftener, and two plain ones last."""
    choose = random.Random(settings.seed)
    for _, synset in material.classes:
        first, *_ = names = synset.lemmas
        for _ in range(settings.data_phrases - 2):
            template = choose.choice(_CLASSES)
            yield template.format(choose.choice([first, first, *names]))
        yield f"a photo of a {first}"
        yield first
