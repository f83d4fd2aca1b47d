"""What the model is made from, read and divided: shards of photos, texts, names of classes."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tarfile
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from library.errors import UsageError
from training.photos import Photo, Problem
from training.recipe.settings import RecipeSettings
from training.recipe.wordnet import Synset, WordNet, imagenet_classes, read_wordnet
from training.sources import Found, read_tar
from training.splits import is_held_out

ALIGNED = "text/multi30k_train_en_de_fr_cs.tsv.gz"
EXTRA = "text/flickr30k_train_en.txt.gz"
DEVELOPMENT = "text/development_en_de_fr_cs.json"
LANGUAGES = ("en", "de", "fr", "cs")


@dataclass(frozen=True, slots=True)
class Shard:
    """Photos in the order of their keys, and a hash of the file."""

    name: str
    keys: tuple[str, ...]
    photos: tuple[Photo, ...]
    digest: str

    def rows(self, *, held_out: bool) -> list[int]:
        """The places of the photos that are measured on, or of the others."""
        return [row for row, key in enumerate(self.keys) if is_held_out(key) == held_out]

    def captions(self, *, held_out: bool = False) -> list[str]:
        """All captions of those photos, each once, sorted."""
        rows = self.rows(held_out=held_out)
        return sorted({caption for row in rows for caption in self.photos[row].captions})


@dataclass(frozen=True, slots=True)
class Material:
    """All of it. Captions of the measured shard's held-out photos are in `secret` and nowhere else."""

    shards: dict[str, Shard]
    aligned: list[tuple[str, ...]]  # the same line in each language
    extra: list[str]  # English
    development: list[dict[str, str]]  # held-out captions in each language, and the photo's `key`
    wordnet: WordNet
    classes: list[tuple[str, Synset]]
    class_rows: list[int]  # of the shard of classes: which class each photo shows
    secret: frozenset[str]
    digest: str
    problems: list[Problem]


def read_material(data: Path, wordnet: Path, settings: RecipeSettings) -> Material:
    """Reads texts and where pictures lie; decodes none. Raises UsageError for what is missing."""
    used = [name for name, _ in settings.data_photos] + [*settings.data_texts, *settings.data_words]
    names = dict.fromkeys([*used, *settings.data_pool, settings.data_classes, settings.data_labels])
    problems: list[Problem] = []
    shards = {name: read_shard(data, name, problems) for name in names}
    words = read_wordnet(wordnet)
    classes = imagenet_classes(words)
    secret = frozenset(shards[settings.data_measured].captions(held_out=True))
    digest = hashlib.sha256()
    for shard in shards.values():
        digest.update(shard.digest.encode())
    for name in (ALIGNED, EXTRA, DEVELOPMENT):
        digest.update(_content(data / name))
    digest.update(repr(sorted(words.items())).encode())
    return Material(
        shards=shards,
        aligned=_aligned(data / ALIGNED),
        extra=[line for line in _lines(data / EXTRA) if line not in secret],
        development=_development(data / DEVELOPMENT),
        wordnet=words,
        classes=classes,
        class_rows=_class_rows(data, shards[settings.data_classes], classes),
        secret=secret,
        digest=digest.hexdigest(),
        problems=problems,
    )


def clean(text: str) -> str:
    """A caption without its full stop and with single blanks."""
    return re.sub(r"\s+", " ", text.strip().rstrip(".").strip())


def without_accents(text: str) -> str:
    """As people type who do not change their keyboard: "Děti" is "Deti"."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")


def read_shard(data: Path, name: str, problems: list[Problem]) -> Shard:
    """One tar file. Raises UsageError when it is not there."""
    path = data / f"{name}.tar"
    content = Found()
    if not path.is_file():
        raise UsageError(
            f"{path} does not exist", hint="DATA is the folder with flickr8k.tar and text/ in it."
        )
    read_tar(path, content)
    problems += content.problems
    found = {photo.source.member.rpartition(".")[0]: photo for photo in content.photos}
    keys = tuple(sorted(found))
    photos = tuple(replace(found[key], captions=_cleaned(found[key].captions)) for key in keys)
    with path.open("rb") as file:
        return Shard(name, keys, photos, hashlib.file_digest(file, "sha256").hexdigest())


def _cleaned(captions: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(clean(caption) for caption in captions))


def _class_rows(data: Path, shard: Shard, classes: list[tuple[str, Synset]]) -> list[int]:
    """Each photo's class by the WordNet number in its .json."""
    place = {number: row for row, (number, _) in enumerate(classes)}
    numbers = {}
    with tarfile.open(data / f"{shard.name}.tar", "r:") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name.endswith(".json") else None
            if content is not None:
                numbers[member.name.rpartition(".")[0]] = json.load(content).get("wnid", "")
    unknown = [key for key in shard.keys if numbers.get(key) not in place]
    if unknown:
        raise UsageError(f"{shard.name}.tar: {unknown[0]} has no `wnid` of an ImageNet class")
    return [place[numbers[key]] for key in shard.keys]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _lines(path: Path) -> list[str]:
    return [clean(line) for line in gzip.decompress(_content(path)).decode("utf-8").splitlines()]


def _aligned(path: Path) -> list[tuple[str, ...]]:
    lines = gzip.decompress(_content(path)).decode("utf-8").splitlines()
    rows = [tuple(clean(cell) for cell in line.split("\t")) for line in lines]
    if any(len(row) != len(LANGUAGES) for row in rows):
        raise UsageError(f"{path} needs {len(LANGUAGES)} columns: {', '.join(LANGUAGES)}")
    return rows


def _development(path: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(_content(path))
    return [{"key": row["key"], **{name: clean(row[name]) for name in LANGUAGES}} for row in rows]
