"""What CLIP models are weak in, one probe each: a `View` in, figures out.

Chance is what a model would score that tells nothing apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from benchmarks.measured import Figure, View
from training import diagnostics as swaps
from training.altered import LIGHTS
from training.drawn import PAINTS, coloured_things, counted_things, placed_things
from training.evaluate import (
    average_precision,
    balanced_accuracy,
    pairwise_accuracy,
    ranks,
    recall_at,
    retrieval,
)

Figures = Iterator[Figure]
WAYS = {"text_to_image": "text -> photo", "image_to_text": "photo -> text"}
SHORT_WORDS, LONG_WORDS = 4, 14
_INDOORS = "kitchen room bathroom bedroom couch sofa bed table desk restaurant indoor indoors"
_FOOD = "food eating eat plate bowl pizza cake sandwich fruit drink drinking meal cooking dinner"
_OUTDOORS = "street beach grass field snow mountain park water road hill forest ocean"
INSIDE = frozenset(_INDOORS.split()) | frozenset(_FOOD.split())
OUTDOORS = frozenset(_OUTDOORS.split())
CONDITIONS = {  # a query, and the words of a caption that make a photo an answer
    "at night": {"night", "nighttime", "dark"},
    "a sunset": {"sunset", "dusk", "sunrise"},
    "in the snow": {"snow", "snowy"},
    "rain": {"rain", "raining", "rainy", "wet"},
}
WEATHER = {  # other wordings than the shard's own
    "sunrise": "the sun rising at the horizon",
    "sunny": "sunny weather with a bright sun",
    "cloudy": "a sky full of grey clouds",
    "rainy": "rain is falling",
    "foggy": "a landscape in thick fog",
}
PAGE_QUERIES = {
    "receipt": "a receipt from a shop",
    "letter": "a letter",
    "form": "a form to fill in",
    "chart": "a chart",
    "table": "a spreadsheet",
    "program code": "program code on a screen",
    "chat": "a screenshot of a chat",
    "map": "a street map",
}
GENERAL_PAGE_QUERIES = ("a document", "a screenshot", "a page of text", "a sheet of paper with writing")
LIT_PHOTOS = 40


def retrieval_by_language(view: View) -> Figures:
    """Captions and photos, both ways, in each language."""
    for name, pairs in {"English": view.world.captions, **view.world.by_language}.items():
        if not pairs:
            continue
        rows, texts = zip(*pairs, strict=True)
        both = retrieval(view.texts(texts), view.photos, rows)
        for way, shares in both.items():
            for k, share in shares.items():
                yield Figure("retrieval", f"{name}, {WAYS[way]}, R@{k}", 100 * share, len(pairs))


def query_length(view: View) -> Figures:
    """Very short captions against long ones; a short one fits other photos too, so R@10 and the median place."""
    groups = {
        f"captions of at most {SHORT_WORDS} words": range(SHORT_WORDS + 1),
        f"captions of {SHORT_WORDS + 1} to {LONG_WORDS} words": range(SHORT_WORDS + 1, LONG_WORDS + 1),
        f"captions of more than {LONG_WORDS} words": range(LONG_WORDS + 1, 10_000),
    }
    for name, lengths in groups.items():
        pairs = [(row, text) for row, text in view.world.captions if len(text.split()) in lengths]
        if not pairs:
            continue
        rows, texts = zip(*pairs, strict=True)
        places = ranks(view.texts(texts), view.photos, rows)
        yield Figure("query length", f"{name}, R@10", 100 * float(np.mean(places < 10)), len(pairs))
        middle = float(np.median(places)) + 1
        yield Figure("query length", f"{name}, median place", middle, len(pairs), "", None, True)


def colours(view: View) -> Figures:
    """Captions with another colour, products, drawings, and the photos of one thing ranked by its colour."""
    yield from _swapped(view, "colours", "caption or another colour", swaps.colour_swapped)
    yield from _swapped(
        view, "colours", "caption or its two colours exchanged", _alone(swaps.colours_exchanged)
    )
    products = [photo for photo in view.world.shard("fashion") if photo.facts["labels"][0] in PAINTS]
    if products:
        names = list(PAINTS)
        right, vectors = 0, view.contender.images(photo.image for photo in products)
        for photo, vector in zip(products, vectors, strict=True):
            colour, kind = photo.facts["labels"][:2]
            scores = view.texts([f"{_article(one)} {one} {kind.lower()}" for one in names]) @ vector
            right += names[int(scores.argmax())] == colour
        share = 100 * right / len(products)
        yield Figure("colours", "colour of a product, 10 choices", share, len(products), chance=10)
    drawings = coloured_things()
    share = 100 * view.choices_right(drawings)
    yield Figure("colours", "colour of a drawn thing, 10 choices", share, len(drawings), chance=10)
    yield from _coloured_among(view, "dog", ("white", "brown", "black"))
    yield from _coloured_among(view, "shirt", ("red", "blue", "white", "yellow", "green", "pink", "black"))


def counts_and_relations(view: View) -> Figures:
    """Captions with another number or exchanged nouns, drawings of one to five things and of two in order."""
    group = "counts and relations"
    yield from _swapped(
        view, group, "caption or another number, averaged over numbers", swaps.count_swapped, True
    )
    yield from _swapped(view, group, "caption or its nouns exchanged", _alone(swaps.nouns_exchanged))
    counted, placed = counted_things(), placed_things()
    yield Figure(
        group, "drawn things, one to five", 100 * view.choices_right(counted), len(counted), chance=20
    )
    yield Figure(group, "drawn: above, left of", 100 * view.choices_right(placed), len(placed), chance=50)


def light_and_weather(view: View) -> Figures:
    """Real weather photos, development photos by what their captions say, and photos darkened or fogged by code."""
    group, photos = "light and weather", view.world.shard("weather")
    if photos:
        kinds = list(WEATHER)
        labels = [kinds.index(photo.facts["labels"][0]) for photo in photos]
        vectors = view.contender.images(photo.image for photo in photos)
        share = balanced_accuracy(vectors, view.texts(list(WEATHER.values())), labels)
        yield Figure(group, "weather photos, 5 classes", 100 * share, len(photos), chance=20)
    yield from _conditions(view, group)
    outdoors = [p.image for p in view.world.photos if swaps.mentions(p.captions[:1], OUTDOORS)][:LIT_PHOTOS]
    if not outdoors:
        return
    labels = [i for i in range(len(LIGHTS)) for _ in outdoors]
    vectors = view.contender.images(change(image) for change in LIGHTS.values() for image in outdoors)
    hit = ranks(vectors, view.texts([f"a photo taken {light}" for light in LIGHTS]), labels) == 0
    by_light = hit.reshape(len(LIGHTS), -1).mean(axis=1)
    yield Figure(group, "photos relit by code, 4 choices", 100 * float(hit.mean()), len(hit), chance=25)
    for light, share in zip(LIGHTS, by_light, strict=True):
        yield Figure(group, f"... {light}", 100 * float(share), len(outdoors), chance=25)


def indoors_and_food(view: View) -> Figures:
    """Captions of rooms and food, among the development and the COCO photos together."""
    pool = np.concatenate([view.photos, view.coco])
    first = len(view.photos)
    coco = [(first + i, text) for i, photo in enumerate(view.world.coco) for text in photo.captions]
    every = {"dev": view.world.captions, "COCO": coco}
    for source, pairs in every.items():
        inside = [(row, text) for row, text in pairs if swaps.mentions([text], INSIDE)]
        outside = [(row, text) for row, text in pairs if not swaps.mentions([text], INSIDE)]
        for name, some in (("rooms and food", inside), ("all other", outside)):
            if not some:
                continue
            rows, texts = zip(*some, strict=True)
            shares = recall_at(view.texts(texts), pool, rows, (1, 5))
            for k, share in shares.items():
                yield Figure("indoors and food", f"{source} captions, {name}, R@{k}", 100 * share, len(some))


def documents(view: View) -> Figures:
    """Drawn pages among the development photos."""
    group, drawn = "documents and screenshots", view.world.pages
    pool = np.concatenate([view.photos, view.pages])
    is_page = np.arange(len(pool)) >= len(view.photos)
    kinds = [""] * len(view.photos) + [page.kind for page in drawn]
    names = list(PAGE_QUERIES)
    queries = view.texts(list(PAGE_QUERIES.values()))
    general = view.texts(GENERAL_PAGE_QUERIES)
    precise = [average_precision(pool @ query, is_page) for query in general]
    chance = 100 * len(drawn) / len(pool)
    yield Figure(group, "any page for 'a document' ..., AP", 100 * float(np.mean(precise)), 4, chance=chance)
    each = [
        average_precision(pool @ query, np.array([kind == name for kind in kinds]))
        for name, query in zip(names, queries, strict=True)
    ]
    count = len(drawn) / len(names)
    yield Figure(
        group, "the kind asked for, AP", 100 * float(np.mean(each)), len(each), chance=100 * count / len(pool)
    )
    share = balanced_accuracy(view.pages, queries, [names.index(page.kind) for page in drawn])
    yield Figure(
        group, f"kind of a page, {len(names)} choices", 100 * share, len(drawn), chance=100 / len(names)
    )


def _swapped(
    view: View,
    group: str,
    name: str,
    swap: Callable[[str, Sequence[str]], str | None],
    by_number: bool = False,
) -> Figures:
    """How often a photo is nearer to its caption than to the swapped one."""
    rows, right, wrong = [], [], []
    for row, text in view.world.captions:
        other = swap(text, view.world.photos[row].captions)
        if other is not None:
            rows.append(row)
            right.append(text)
            wrong.append(other)
    if not rows:
        return
    images, ours, theirs = view.photos[rows], view.texts(right), view.texts(wrong)
    if not by_number:
        share = pairwise_accuracy(images, ours, theirs)
    else:  # "two" is by far the most frequent; a model that always takes it shall gain nothing
        said = np.array([next(w for w in swaps.words_of(t) if w in swaps.NUMBERS) for t in right])
        parts = [said == number for number in swaps.NUMBERS[:3] if number in said]
        share = float(np.mean([pairwise_accuracy(images[p], ours[p], theirs[p]) for p in parts]))
    yield Figure(group, name, 100 * share, len(rows), chance=50)


def _alone(swap: Callable[[str], str | None]) -> Callable[[str, Sequence[str]], str | None]:
    return lambda caption, _: swap(caption)


def _coloured_among(view: View, thing: str, names: Sequence[str]) -> Figures:
    """Average precision of "a COLOUR THING" among the photos of the thing, by two captions that agree."""
    said = [Counter(_colours_of(photo.captions, thing)) for photo in view.world.photos]
    rows = [
        row
        for row, photo in enumerate(view.world.photos)
        if sum(thing in swaps.words_of(caption) for caption in photo.captions) >= 2
    ]
    found, chances = [], []
    for colour in names:
        sure = [
            row
            for row in rows
            if said[row][colour] >= 2 or not swaps.mentions(view.world.photos[row].captions, [colour])
        ]
        relevant = np.array([said[row][colour] >= 2 for row in sure])
        if relevant.sum() >= 3:
            query = view.texts([f"a {colour} {thing}"])[0]
            found.append(average_precision(view.photos[sure] @ query, relevant))
            chances.append(relevant.mean())
    if found:
        name = f"'a COLOUR {thing}' among photos of a {thing}, AP"
        yield Figure(
            "colours", name, 100 * float(np.mean(found)), len(rows), chance=100 * float(np.mean(chances))
        )


def _colours_of(captions: Sequence[str], thing: str) -> list[str]:
    """The colours right before the thing, once a caption."""
    found = []
    for caption in captions:
        words = swaps.words_of(caption)
        found += sorted({a for a, b in pairwise(words) if b == thing and a in swaps.COLOURS})
    return found


def _conditions(view: View, group: str) -> Figures:
    for query, words in CONDITIONS.items():
        relevant = np.array(
            [sum(swaps.mentions([c], words) for c in p.captions) >= 2 for p in view.world.photos]
        )
        unsure = np.array([swaps.mentions(p.captions, words) for p in view.world.photos]) & ~relevant
        if relevant.sum() < 3:
            continue
        scores = view.photos[~unsure] @ view.texts([query])[0]
        value = average_precision(scores, relevant[~unsure])
        chance = 100 * float(relevant[~unsure].mean())
        yield Figure(group, f"dev photos for '{query}', AP", 100 * value, int(relevant.sum()), chance=chance)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
