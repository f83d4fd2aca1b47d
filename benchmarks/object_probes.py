"""Probes of names of things, of robustness, and of photos that answer everything."""

from __future__ import annotations

import functools
import gzip
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.measured import Figure, View, World
from benchmarks.probes import Figures
from search.relevance import Judge, null_texts
from training.altered import CHANGES
from training.diagnostics import words_of
from training.evaluate import ranks, recall_at, row_cosines, top, zero_shot_accuracy

TRAINING_TEXTS = "text/flickr30k_train_en.txt.gz"
RARE, COMMON = 5, 100  # captions of TRAINING_TEXTS that contain the name: fewer than, at least
CHANGED_PHOTOS = 40
QUERIES = 1000
K = 10
_CALTECH_NAMES = {
    "Faces": "face",
    "Faces_easy": "face",
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
    "airplanes": "airplane",
    "car_side": "car",
    "cougar_body": "cougar",
    "cougar_face": "cougar",
    "crocodile_head": "crocodile",
    "flamingo_head": "flamingo",
    "water_lilly": "water lily",
    "gerenuk": "gerenuk",
    "bass": "bass fish",
    "inline_skate": "inline skate",
    "cellphone": "cell phone",
}


@dataclass(frozen=True, slots=True)
class Named:
    """A picture of a thing with a name, from `source`."""

    name: str
    image: Image.Image
    source: str


def things(world: World) -> list[Named]:
    """The held-out pictures of the two object shards, in the order of their keys."""
    caltech = [
        Named(_caltech_name(photo.facts["label"]), photo.image, "Caltech")
        for photo in world.shard("caltech101")
    ]
    tiny = [
        Named(re.sub(r"^a photo of an? ", "", photo.captions[0]), photo.image, "Tiny ImageNet")
        for photo in world.shard("tinyimagenet")
    ]
    return caltech + tiny


def object_names(view: View) -> Figures:
    """Name -> photo among one photo of each class, zero-shot classes, and rare names against common ones."""
    every = things(view.world)
    if not every:
        return
    vectors = view.contender.images(thing.image for thing in every)
    for source in ("Caltech", "Tiny ImageNet"):
        rows = [i for i, thing in enumerate(every) if thing.source == source]
        names = sorted({every[i].name for i in rows})
        texts = view.texts([f"a photo of a {name}" for name in names])
        labels = [names.index(every[i].name) for i in rows]
        for k, share in zero_shot_accuracy(vectors[rows], texts, labels).items():
            title = f"{source} zero-shot, {len(names)} names, top-{k}"
            yield Figure("object names", title, 100 * share, len(rows), chance=100 * k / len(names))
    firsts = {thing.name: i for i, thing in reversed(list(enumerate(every)))}
    names = sorted(firsts)
    pool = vectors[[firsts[name] for name in names]]
    truth = list(range(len(names)))
    for form in ("a photo of a {}", "{}"):
        shares = recall_at(view.texts([form.format(name) for name in names]), pool, truth, (1, 10))
        for k, share in shares.items():
            title = f"'{form.format('NAME')}' -> its one photo, R@{k}"
            yield Figure("object names", title, 100 * share, len(names), chance=100 * k / len(names))
    yield from _by_frequency(view, names, ranks(view.texts(names), pool, truth))


def _by_frequency(view: View, names: list[str], places: np.ndarray) -> Figures:
    """R@10 of the plain names by how many training captions contain them."""
    file = view.world.data / TRAINING_TEXTS
    if not file.is_file():
        return
    seen = _mentions(file, tuple(names))
    groups = {
        f"rare names (in fewer than {RARE} captions)": [i for i, n in enumerate(names) if seen[n] < RARE],
        "names in between": [i for i, n in enumerate(names) if RARE <= seen[n] < COMMON],
        f"common names (in {COMMON} captions or more)": [i for i, n in enumerate(names) if seen[n] >= COMMON],
    }
    for title, rows in groups.items():
        if rows:
            share = 100 * float(np.mean(places[rows] < K))
            yield Figure("rare objects", f"{title}, R@{K}", share, len(rows), chance=100 * K / len(names))


@functools.lru_cache(maxsize=1)
def _mentions(file: Path, names: tuple[str, ...]) -> Counter[str]:
    """How many captions contain each name or its plural."""
    forms = {tuple(words_of(form)): name for name in names for form in (name, f"{name}s", f"{name}es")}
    longest = max(len(form) for form in forms)
    seen: Counter[str] = Counter()
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            words = words_of(line)
            runs = {tuple(words[i : i + n]) for n in range(1, longest + 1) for i in range(len(words) - n + 1)}
            seen.update({forms[run] for run in runs if run in forms})
    return seen


def robustness(view: View) -> Figures:
    """How near a changed photo stays to itself, and whether it is still nearest to itself among all."""
    step = max(1, len(view.world.photos) // CHANGED_PHOTOS)
    rows = list(range(0, len(view.world.photos), step))[:CHANGED_PHOTOS]
    originals = view.photos[rows]
    strangers = float(np.mean(row_cosines(originals, np.roll(originals, 1, axis=0))))
    yield Figure("robustness", "cosine of two different photos", strangers, len(rows), "cos", None, True)
    found = []
    for name, change in CHANGES.items():
        changed = view.contender.images(change(view.world.photos[row].image) for row in rows)
        cosines = row_cosines(changed, originals)
        yield Figure("robustness", f"{name}, mean cosine", float(cosines.mean()), len(rows), "cos")
        yield Figure("robustness", f"{name}, least cosine", float(cosines.min()), len(rows), "cos")
        found.append(recall_at(changed, view.photos, rows, (1,))[1])
    count = len(rows) * len(found)
    yield Figure("robustness", "all of these, nearest to their own photo", 100 * float(np.mean(found)), count)


def hubs(view: View) -> Figures:
    """Whether few photos answer many queries, and whether blank pictures answer any: by cosine, and as oko ranks."""
    pool = np.concatenate([view.photos, view.blanks])
    texts = view.texts(mixed_queries(view.world))
    judge = Judge(view.texts(null_texts()), view.photos, len(view.photos))
    ways = {"": texts, " as oko ranks": np.stack([judge.direction(text) for text in texts])}
    for way, directions in ways.items():
        group = f"hubs: in the top {K} of {len(texts)} mixed queries{way}"
        yield from _hubs_among(top(directions, pool, K), len(view.photos), len(pool), group)


def _hubs_among(answers: NDArray[np.int64], photos: int, pool: int, group: str) -> Figures:
    """Of the K best of each query (Q, K): positions in a pool whose first `photos` are photos, the rest blank."""
    count = len(answers)
    often = np.bincount(answers.ravel(), minlength=pool) / count
    answered = float(np.mean((answers >= photos).any(axis=1)))
    shares = {
        "most frequent photo": float(often.max()),
        "tenth most frequent photo": float(np.sort(often)[-10]),
        "queries answered by a blank or noise picture": answered,
        "most frequent blank or noise picture": float(often[photos:].max()),
    }
    for name, share in shares.items():
        chance = None if name.startswith("queries") else 100 * K / pool
        yield Figure(group, name, 100 * share, count, "%", chance, True)


def mixed_queries(world: World) -> list[str]:
    """QUERIES different texts: captions of all lengths in four languages, plain words, names of things not there."""
    random_ = random.Random(0)
    captions = [text for _, text in world.captions]
    chosen = random_.sample(captions, min(400, len(captions)))
    for pairs in world.by_language.values():
        chosen += random_.sample([text for _, text in pairs], min(100, len(pairs)))
    words = sorted({word for text in captions for word in words_of(text) if len(word) > 3})
    chosen += random_.sample(words, min(150, len(words)))
    absent = world.data / "text/absent_queries.txt"
    if absent.is_file():
        chosen += absent.read_text(encoding="utf-8").split("\n")
    chosen = list(dict.fromkeys(text for text in chosen if text.strip()))
    rest = sorted(set(captions) - set(chosen))
    return (chosen + random_.sample(rest, min(QUERIES, len(rest))))[:QUERIES]


def _caltech_name(label: str) -> str:
    return _CALTECH_NAMES.get(label, label.replace("_", " "))
