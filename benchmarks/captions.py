"""Which tags a caption names: any word form of a tag's name or of one of its other words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from library.vocabulary import TagSpec

IRREGULAR_PLURALS = {
    "man": "men", "woman": "women", "child": "children", "foot": "feet", "mouse": "mice", "goose": "geese",
    "leaf": "leaves", "person": "people", "policeman": "policemen", "fireman": "firemen", "fisherman": "fishermen",
    "calf": "calves", "wolf": "wolves", "knife": "knives", "shelf": "shelves", "fish": "fish", "sheep": "sheep",
    "deer": "deer",
}  # fmt: skip
PASTS = {
    "run": "ran", "ride": "rode", "swim": "swam", "sit": "sat", "eat": "ate", "drink": "drank", "throw": "threw",
    "swing": "swung", "slide": "slid", "leap": "leapt", "dig": "dug", "fight": "fought", "sing": "sang",
    "drive": "drove", "draw": "drew", "write": "wrote", "bite": "bit", "sleep": "slept", "lie": "lay",
}  # fmt: skip
LONGEST = 4  # words of a phrase
_OTHER = re.compile(r"[^a-z0-9' ]+")


def words_of(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return _OTHER.sub(" ", text.lower()).split()


def plural(word: str) -> str:
    """The plural of a noun, which is also the third person of a verb."""
    if word in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[word]
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(s|x|z|ch|sh)$", word) else "s")


def singulars(word: str) -> set[str]:
    """What a noun's singular may be."""
    found = {single for single, many in IRREGULAR_PLURALS.items() if many == word and single != "person"}
    if word.endswith("ies"):
        found.add(word[:-3] + "y")
    elif re.search(r"(s|x|z|ch|sh)es$", word):
        found.add(word[:-2])
    if re.search(r"[^s]s$", word):
        found.add(word[:-1])
    return found


def verb_forms(base: str) -> set[str]:
    """run -> run, runs, ran, running, runned: too many do no harm, for nobody writes them."""
    stem = base.removesuffix("e")
    doubled = base + base[-1] if re.search(r"[^aeiou][aeiou][bdgklmnprt]$", base) else stem
    past = {PASTS[base]} if base in PASTS else set()
    return {base, plural(base), stem + "ing", stem + "ed", doubled + "ing", doubled + "ed", *past}


def forms(phrase: str) -> set[str]:
    """Every form of a phrase: its last word in singular and plural, or its first as any form of a verb in -ing."""
    words = words_of(phrase)
    if not words:
        return set()
    *head, last = words
    found = {" ".join([*head, each]) for each in {last, plural(last)} | singulars(last)}
    if re.fullmatch(r"\w{3,}ing", words[0]):
        stem = words[0][:-3]
        bases = {stem, stem + "e"} | ({stem[:-1]} if len(stem) > 2 and stem[-1] == stem[-2] else set())
        found |= {" ".join([verb, *words[1:]]) for base in bases for verb in verb_forms(base)}
    return found


def naming(tags: Sequence[TagSpec]) -> dict[str, set[int]]:
    """Phrase -> positions of the tags that it names."""
    found: dict[str, set[int]] = defaultdict(set)
    for position, tag in enumerate(tags):
        for phrase in (tag.name, *tag.words):
            for form in forms(phrase):
                found[form].add(position)
    return found


def named(caption: str, table: dict[str, set[int]]) -> set[int]:
    """Positions of the tags that a caption names."""
    words = words_of(caption)
    found: set[int] = set()
    for length in range(1, LONGEST + 1):
        for start in range(len(words) - length + 1):
            found |= table.get(" ".join(words[start : start + length]), set())
    return found


def truth(captions: Iterable[Sequence[str]], tags: Sequence[TagSpec], *, least: int = 2) -> NDArray[np.bool_]:
    """(photos, tags): whether at least `least` captions of a photo (all, if it has fewer) name the tag."""
    table = naming(tags)
    rows = []
    for texts in captions:
        counts = Counter(position for text in texts for position in named(text, table))
        row = np.zeros(len(tags), bool)
        row[[p for p, n in counts.items() if n >= min(least, len(texts))]] = True
        rows.append(row)
    return np.stack(rows)


def counts(captions: Iterable[str], tags: Sequence[TagSpec]) -> NDArray[np.int64]:
    """(tags,): how many of the captions name each tag."""
    table = naming(tags)
    found = Counter(position for caption in captions for position in named(caption, table))
    return np.array([found[position] for position in range(len(tags))], np.int64)
