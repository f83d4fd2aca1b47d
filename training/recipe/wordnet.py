"""WordNet's own files (data.noun, data.verb, data.adj): words with their synonyms and glosses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library.errors import UsageError

FOLDER = Path("/usr/share/wordnet")  # where Debian's wordnet-base puts them
PARTS = ("noun", "verb", "adj")
_MARKER = re.compile(r"\(.*\)")  # of an adjective's place: "galore(ip)"


@dataclass(frozen=True, slots=True)
class Synset:
    """Words of one meaning, and the first sentence of its gloss."""

    lemmas: tuple[str, ...]
    gloss: str


WordNet = Mapping[tuple[str, str], Synset]  # (part of speech, offset as eight digits)


def read_wordnet(folder: Path = FOLDER) -> dict[tuple[str, str], Synset]:
    """All of them, in the files' order. Raises UsageError when a file is missing."""
    found = {}
    for part in PARTS:
        for line in _lines(folder / f"data.{part}"):
            offset, synset = _parse(line)
            found[part, offset] = synset
    return found


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}",
            hint="Install WordNet (Debian's wordnet-base), or say where its files lie: --wordnet DIR",
        ) from error
    return [
        line for line in text.splitlines() if line and not line.startswith("  ")
    ]  # the licence is indented


def _parse(line: str) -> tuple[str, Synset]:
    """One line; wndb(5WN) describes it."""
    data, _, gloss = line.partition(" | ")
    fields = data.split()
    count = int(fields[3], 16)
    words = (fields[4 + 2 * number] for number in range(count))
    lemmas = tuple(_MARKER.sub("", word).replace("_", " ") for word in words)
    return fields[0], Synset(lemmas, gloss.strip().split(";")[0].strip())


def imagenet_classes(wordnet: WordNet) -> list[tuple[str, Synset]]:
    """(WordNet number as n01440764, its synset) of ImageNet's thousand classes, in a classifier's order."""
    from timm.data.imagenet_info import ImageNetInfo

    info: Any = ImageNetInfo("imagenet-1k")
    numbers: list[str] = info.label_names()
    try:
        return [(number, wordnet["noun", number[1:]]) for number in numbers]
    except KeyError as error:
        raise UsageError(
            f"this WordNet has no noun {error.args[0][1]}",
            hint="ImageNet's classes are those of WordNet 3.0.",
        ) from error
