"""Step 1: the byte pairs of the texts that the model will read, in the file that open_clip's tokenizer takes."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

from library.weights import CONFIG_FILE, write_atomically
from training.checkpoint import replacing
from training.recipe.material import Material
from training.recipe.settings import RecipeSettings
from training.recipe.starts import missing, trunk_name

VOCABULARY = "bpe_16k_en_de_fr_cs.txt.gz"
_END = "</w>"
_BYTES = 256  # each comes twice: inside a word, and at its end
_SPECIAL = 2  # start and end of text
# How open_clip's SimpleTokenizer cuts a text into words.
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def vocabulary_texts(material: Material, settings: RecipeSettings) -> Iterator[str]:
    """What the pairs are counted in: German and Czech twice, as English has the most texts."""
    for line in material.aligned:
        yield from line
    for line in material.aligned:
        yield line[3]
        yield line[1]
    yield from material.extra
    for name in settings.data_words:
        shard = material.shards[name]
        for row in shard.rows(held_out=False):
            yield from shard.photos[row].captions
    for (part, _), synset in material.wordnet.items():
        yield " ".join(synset.lemmas)
        if part == "noun":
            yield synset.gloss


def learn_merges(texts: Iterator[str], *, size: int, least: int) -> list[str]:
    """The pairs to merge, "a b" each, most frequent first: at most as many as a vocabulary of `size` has room for.

    Raises MissingExtra without the package tokenizers.
    """
    try:
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    except ImportError as error:
        raise missing("tokenizers") from error
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=_END))
    tokenizer.normalizer = normalizers.Lowercase()
    words = pre_tokenizers.Split(Regex(_WORDS), "removed", invert=True)
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size - _SPECIAL,
        initial_alphabet=alphabet,
        # Pairs seen equally often are ranked by their numbers, and the last letters of words would get theirs in
        # the random order of a hash table.
        special_tokens=[letter + _END for letter in alphabet],
        end_of_word_suffix=_END,
        min_frequency=least,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    pairs = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    return pairs[: size - 2 * _BYTES - _SPECIAL]


def write_vocabulary(path: Path, merges: list[str]) -> None:
    """The same merges give the same bytes."""
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb", mtime=0, filename="") as file:
        file.write(("#version: oko\n" + "\n".join(merges)).encode())
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())


def write_blank(folder: Path, merges: list[str], settings: RecipeSettings) -> Path:
    """A folder with configuration and vocabulary but no weights: what the training starts with."""
    folder.mkdir(parents=True, exist_ok=True)
    write_vocabulary(folder / VOCABULARY, merges)
    config = configuration(settings, vocabulary=2 * _BYTES + len(merges) + _SPECIAL)
    write_atomically(folder / CONFIG_FILE, json.dumps(config, indent=1) + "\n")
    return folder


def configuration(settings: RecipeSettings, *, vocabulary: int) -> dict[str, object]:
    """What open_clip builds the model from."""
    side = settings.trunk_image_px
    return {
        "model_cfg": {
            "embed_dim": settings.text_embed_dim,
            "vision_cfg": {
                "timm_model_name": trunk_name(settings),
                "timm_model_pretrained": False,
                "timm_pool": "avg",
                "timm_proj": "mlp",
                "timm_proj_bias": False,
                "timm_drop": 0.0,
                "image_size": side,
            },
            "text_cfg": {
                "context_length": settings.text_context,
                "vocab_size": vocabulary,
                "width": settings.text_width,
                "heads": settings.text_heads,
                "layers": settings.text_layers,
                "tokenizer_kwargs": {"bpe_path": VOCABULARY},
            },
        },
        "preprocess_cfg": {
            "mean": [127 / 255] * 3,  # the trunk's own
            "std": [128 / 255] * 3,
            "interpolation": "bicubic",
            "resize_mode": "squash",
            "size": [side, side],
        },
    }
