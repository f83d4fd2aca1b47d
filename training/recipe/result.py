"""Step 8: the model as a folder that open_clip loads, loaded back, and measured on photos that it never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from library.clip import ClipModel, load_clip
from library.presets import ModelSpec
from training.average import Tensors
from training.curves import draw_curves
from training.evaluate import recall_at, zero_shot_accuracy
from training.examination import Examination
from training.export import save_model
from training.journal import Journal
from training.photos import Photo, Source
from training.recipe.corpus import LABEL_TEMPLATES, PLAIN_PHRASE, Corpus, label_names, shard_labels
from training.recipe.head import ImageHead
from training.recipe.material import LANGUAGES, Material, Shard
from training.recipe.settings import RecipeSettings
from training.recipe.workshop import Workshop
from training.towers import Towers, make_towers


def assemble(clip: ClipModel, trunk: Tensors, head: ImageHead, log_scale: torch.Tensor) -> None:
    """Puts the trunk's weights (its classifier's stay out), the head's and the scale into the model, in place."""
    module: Any = clip.module
    kept = {name: value for name, value in trunk.items() if not name.startswith("classifier.")}
    module.visual.trunk.load_state_dict(kept)
    module.visual.head.mlp.load_state_dict(head.state_dict())
    with torch.no_grad():
        module.logit_scale.copy_(log_scale)


def save_and_load(clip: ClipModel, folder: Path) -> ClipModel:
    """Writes the folder, and gives the model that is in it."""
    save_model(clip, folder)
    spec = ModelSpec(name="builtin", source="local", weights=folder)
    return load_clip(spec, device="cpu", precision="fp32")


def measure_model(
    clip: ClipModel, material: Material, corpus: Corpus, settings: RecipeSettings, workshop: Workshop
) -> dict[str, Any]:
    """Shares from 0 to 1 on held-out photos: recall both ways, in each language, and zero-shot accuracy."""
    towers = make_towers(clip, lock="image", unfreeze=0, loss="clip", precision="fp32")
    shard = material.shards[settings.data_measured]
    asked = _examine(towers, _held(shard), workshop, shard.name)
    measured = asked.measure().as_json()
    languages = _languages(asked, shard, material)
    count = settings.data_phrases
    classes, labels = material.shards[settings.data_classes], material.shards[settings.data_labels]
    shown = sorted(set(material.class_rows))
    count = settings.data_phrases
    names = [corpus["classes"].texts[(number + 1) * count + PLAIN_PHRASE] for number in shown]
    kinds = shard_labels(material, settings)
    phrases = [LABEL_TEMPLATES[0].format(name) for name in label_names(material, settings)]
    return {
        "photos": measured["photos"],
        "captions": measured["captions"],
        "text_to_image": measured["text_to_image"],
        "image_to_text": measured["image_to_text"],
        "languages": languages,
        "classes": _accuracy(
            _examine(towers, _held(classes), workshop, classes.name),
            names,
            _right(classes, [shown.index(row) for row in material.class_rows]),
        ),
        "labels": _accuracy(
            _examine(towers, _held(labels), workshop, labels.name),
            phrases,
            _right(labels, [kinds.index(photo.label) for photo in labels.photos]),
        ),
    }


def _right(shard: Shard, rows: list[int]) -> dict[Source, int]:
    """Which name is right for each photo of a shard."""
    return {photo.source: row for photo, row in zip(shard.photos, rows, strict=True)}


def _held(shard: Shard) -> list[Photo]:
    return [shard.photos[row] for row in shard.rows(held_out=True)]


def _examine(towers: Towers, photos: list[Photo], workshop: Workshop, name: str) -> Examination:
    told = workshop.teller(f"measuring on {name}", len(photos))
    return Examination(towers, photos, workshop.folder / f"measured-{name}", told=told)


def _languages(asked: Examination, shard: Shard, material: Material) -> dict[str, Any]:
    """Caption -> photo in each language, for the lines whose photos could be read."""
    place = {photo.source: row for row, photo in enumerate(asked.photos)}
    of_key = {key: place.get(photo.source) for key, photo in zip(shard.keys, shard.photos, strict=True)}
    lines = [(line, row) for line in material.development if (row := of_key.get(line["key"])) is not None]
    if not lines:
        return {}
    images, rows = asked.image_vectors(), [row for _, row in lines]
    return {
        name: recall_at(asked.encode_texts([line[name] for line, _ in lines]), images, rows)
        for name in LANGUAGES
    }


def _accuracy(asked: Examination, names: list[str], right: dict[Source, int]) -> dict[str, Any]:
    if not asked.photos:
        return {"photos": 0, "names": len(names)}
    images, classifier = asked.image_vectors(), asked.encode_texts(names)
    rows = [right[photo.source] for photo in asked.photos]
    return {"photos": len(images), "names": len(names), "right": zero_shot_accuracy(images, classifier, rows)}


def draw(journals: dict[str, Journal], folder: Path) -> list[Path]:
    """The curves of each step as a picture. Raises MissingExtra without matplotlib."""
    return [draw_curves(journal, folder / f"{name}.png") for name, journal in journals.items()]
