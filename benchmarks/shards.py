"""The held-out pictures of the WebDataset shards, with what is known about each."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from library.images import decode
from training.splits import is_held_out

DEVELOPMENT = "flickr8k.tar"
TRANSLATIONS = "text/development_en_de_fr_cs.json"
LANGUAGES = {"cs": "Czech", "de": "German", "fr": "French"}
_MAX_PIXELS = 100_000_000


@dataclass(frozen=True)
class Photo:
    """One held-out picture: `facts` is its JSON (captions, label or labels, source)."""

    key: str
    content: bytes
    facts: dict[str, Any]

    @property
    def captions(self) -> list[str]:
        """What it shows, one sentence each."""
        return [" ".join(caption.split()) for caption in self.facts["captions"]]

    @cached_property
    def image(self) -> Image.Image:
        """Upright and RGB, decoded as oko decodes it."""
        return decode(self.content, name=self.key, max_pixels=_MAX_PIXELS).image


def held_out(shard: Path) -> list[Photo]:
    """The held-out pictures of a shard, in the order of their keys; none when there is no such file."""
    if not shard.is_file():
        return []
    parts: dict[str, dict[str, bytes]] = {}
    with tarfile.open(shard) as tar:
        for member in tar:
            key, _, suffix = member.name.rpartition(".")
            content = tar.extractfile(member) if is_held_out(key) else None
            if content is not None:
                parts.setdefault(key, {})["facts" if suffix == "json" else "picture"] = content.read()
    return [
        Photo(key, both["picture"], json.loads(both["facts"]))
        for key, both in sorted(parts.items())
        if len(both) == 2
    ]


def translations(data: Path, keys: set[str]) -> dict[str, list[tuple[str, str]]]:
    """Language -> (key, caption) of the measured photos; empty when there are no translations."""
    file = data / TRANSLATIONS
    if not file.is_file():
        return {}
    rows = [row for row in json.loads(file.read_text(encoding="utf-8")) if row["key"] in keys]
    return {name: [(row["key"], row[code]) for row in rows] for code, name in LANGUAGES.items()}
