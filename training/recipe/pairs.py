"""Photos with captions as tables, so that a step's pairs are drawn without a loop over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.evaluate import retrieval
from training.recipe.corpus import Corpus
from training.recipe.features import Features
from training.recipe.material import LANGUAGES, Material
from training.recipe.settings import RecipeSettings


@dataclass(frozen=True, slots=True)
class Table:
    """Choices of each row, some oftener than others: (N, most) int64, and their weights, 0 where a row has fewer."""

    choices: Tensor
    weights: Tensor

    def pick(self, rows: Tensor) -> Tensor:
        """One choice of each of these rows, (rows,)."""
        place = torch.multinomial(self.weights[rows], 1)
        return self.choices[rows].gather(1, place)[:, 0]


def table_of(rows: Sequence[Sequence[tuple[int, float]]]) -> Table:
    """From (choice, weight) of each row."""
    most = max(map(len, rows))
    choices = torch.zeros(len(rows), most, dtype=torch.long)
    weights = torch.zeros(len(rows), most)
    for number, row in enumerate(rows):
        choices[number, : len(row)] = torch.tensor([choice for choice, _ in row])
        weights[number, : len(row)] = torch.tensor([weight for _, weight in row])
    return Table(choices, weights)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The photos that are learnt from: `places` says which shard and row each is."""

    features: Tensor  # (views, N, F) float16
    captions: list[tuple[str, ...]]
    shares: Tensor  # (N,)
    places: list[tuple[str, int]]

    def draw(self, batch: int) -> tuple[Tensor, Tensor]:
        """(photos, views), both (batch,): photos by their shares, none twice."""
        photos = torch.multinomial(self.shares, batch)
        return photos, torch.randint(len(self.features), (batch,))

    def steps(self, epochs: float, batch: int) -> int:
        """How many steps so many epochs are; a photo with a share of a half counts half."""
        return max(1, int(epochs * float(self.shares.sum()) / batch))

    def batch(self, wanted: int) -> int:
        """A batch that the photos suffice for."""
        return min(wanted, len(self.captions))


def make_pairs(material: Material, features: Mapping[str, Features], settings: RecipeSettings) -> Pairs:
    """Held-out photos, unreadable ones, and those whose captions are all held-out photos' too stay out."""
    parts, captions, shares = [], [], []
    places: list[tuple[str, int]] = []
    for name, share in settings.data_photos:
        shard, found = material.shards[name], features[name]
        rows = []
        for row in shard.rows(held_out=False):
            mine = tuple(text for text in shard.photos[row].captions if text not in material.secret)
            if mine and row not in found.bad:
                rows.append(row)
                captions.append(mine)
        parts.append(found.pooled[:, rows])
        shares += [share] * len(rows)
        places += [(name, row) for row in rows]
    return Pairs(torch.cat(parts, 1), captions, torch.tensor(shares), places)


def sentence_table(pairs: Pairs, corpus: Corpus, settings: RecipeSettings) -> tuple[Table, Tensor]:
    """Each photo's captions as rows of the teacher's vectors, and those vectors (M, D) float32."""
    place: dict[str, int] = {}
    vectors: list[Tensor] = []
    for name, _ in settings.data_photos:
        for row, text in enumerate(corpus[name].texts):
            if place.setdefault(text, len(place)) == len(vectors):
                vectors.append(corpus[name].vectors[row])
    rows = [[(place[text], 1.0) for text in captions] for captions in pairs.captions]
    return table_of(rows), torch.stack(vectors).float()


@dataclass(frozen=True, slots=True)
class Held:
    """What is measured on: (N, F) float32 of held-out photos, and texts with the row of the photo each describes."""

    features: Tensor
    rows: list[int]  # of their shard
    texts: dict[str, list[str]]  # "captions", and the same lines in each language
    photos: dict[str, list[int]]


def make_held(material: Material, features: Mapping[str, Features], settings: RecipeSettings) -> Held:
    """The measured shard's held-out photos that can be read."""
    shard, found = material.shards[settings.data_measured], features[settings.data_measured]
    rows = [row for row in shard.rows(held_out=True) if row not in found.bad]
    place = {shard.keys[row]: number for number, row in enumerate(rows)}
    captions = [(text, number) for number, row in enumerate(rows) for text in shard.photos[row].captions]
    lines = [line for line in material.development if line["key"] in place]
    of_lines = [place[line["key"]] for line in lines]
    texts = {name: [line[name] for line in lines] for name in LANGUAGES}
    return Held(
        features=found.pooled[0, rows].float(),
        rows=rows,
        texts={"captions": [text for text, _ in captions], **texts},
        photos={"captions": [number for _, number in captions], **dict.fromkeys(LANGUAGES, of_lines)},
    )


def measured(images: Tensor, texts: Mapping[str, Tensor], held: Held) -> dict[str, Any]:
    """Recall both ways, shares from 0 to 1: the captions' at the top, and each language's.

    `images` (N, D), `texts` (M, D) of each kind, all with L2 norm 1.
    """
    found = {
        name: retrieval(vectors.numpy(), images.numpy(), held.photos[name])
        for name, vectors in texts.items()
        if len(vectors)
    }
    languages = {name: ways["text_to_image"] for name, ways in found.items() if name != "captions"}
    return {**found.get("captions", {}), **({"languages": languages} if languages else {})}
