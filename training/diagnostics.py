"""Captions turned wrong in one respect: a model that sees colours, counts and relations prefers the right one.

All of it is plain word matching on short English captions, and deterministic: which word replaces which is
drawn from a hash of the caption. Each function returns None where the caption gives nothing to swap.
Source of the idea: Yuksekgonul et al. 2023, "When and why vision-language models behave like bags-of-words".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence

COLOURS = ("red", "blue", "green", "yellow", "black", "white", "brown", "orange", "pink", "purple", "grey")
NUMBERS = ("two", "three", "four", "five")
_NOUNS = (
    "dog man woman boy girl child person player ball bench bike bicycle boat bridge building bus camera car cat "
    "chair cliff couch fence field fountain frisbee grass hat hill horse kite ladder lake log mountain motorcycle "
    "ocean pole pool puppy ramp river road rock rope sand sidewalk skateboard slide snow snowboard stick street "
    "surfboard swing table toy tree truck umbrella wall water wave"
)
NOUNS = frozenset(_NOUNS.split())
_DIRECTIONS = (
    "on onto in into inside under behind above over through across off from down up holding wearing riding "
    "throwing catching chasing carrying climbing pulling pushing kicking jumping"
)
# Between two nouns, these say who does what to whom: "a dog and a man" swapped would mean the same.
_ONE_WAY = frozenset(_DIRECTIONS.split())
_FUNCTION_WORDS = "a an the and at with of for to by near is are was that who while as his her its their next"
_AFTER_A_NOUN = _ONE_WAY | frozenset(_FUNCTION_WORDS.split())
_WORD = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*")
_SPELLINGS = {"gray": "grey"}


def words_of(text: str) -> list[str]:
    """The words in lower case; hyphenated ones are one word."""
    return [_spelled(word) for word in _WORD.findall(text)]


def mentions(captions: Collection[str], words: Collection[str]) -> bool:
    """Whether any of the captions contains any of the words."""
    return any(not set(words).isdisjoint(words_of(caption)) for caption in captions)


def colour_swapped(caption: str, siblings: Collection[str] = ()) -> str | None:
    """The caption with its one colour replaced by one that none of the picture's captions names."""
    return _replaced(caption, COLOURS, siblings)


def count_swapped(caption: str, siblings: Collection[str] = ()) -> str | None:
    """The caption with its one number, two to five, replaced by one that none of its siblings says."""
    return _replaced(caption, NUMBERS, siblings)


def colours_exchanged(caption: str) -> str | None:
    """The caption with its two different colours in each other's place: "a red hat and a blue coat"."""
    found = _found(caption, COLOURS)
    if len(found) != 2 or _spelled(found[0][0]) == _spelled(found[1][0]):
        return None
    things = [_next_word(caption, match) for match in found]
    if things[0] == things[1] or not {"and", "or", ""}.isdisjoint(things):
        return None  # "a black dog and a white dog", "a black and white dog": the exchange changes nothing
    return _articles_mended(_exchanged(caption, found[0], found[1]))


def nouns_exchanged(caption: str) -> str | None:
    """The caption with its two nouns in each other's place, where the order matters: "a dog on a bench"."""
    found = _found(caption, NOUNS)
    if len(found) != 2 or _spelled(found[0][0]) == _spelled(found[1][0]):
        return None
    between = set(words_of(caption[found[0].end() : found[1].start()]))
    if between.isdisjoint(_ONE_WAY) or "and" in between:
        return None
    if any(_is_compound(_next_word(caption, match)) for match in found):
        return None
    return _articles_mended(_exchanged(caption, found[0], found[1]))


def _replaced(caption: str, kind: Sequence[str], siblings: Collection[str]) -> str | None:
    found = _found(caption, kind)
    if len(found) != 1:
        return None
    said = {word for text in (caption, *siblings) for word in words_of(text)}
    others = [word for word in kind if word not in said]
    if not others:
        return None
    new = others[_draw(caption, len(others))]
    start, end = found[0].span()
    new = new.capitalize() if caption[start].isupper() else new
    return _articles_mended(caption[:start] + new + caption[end:])


def _found(caption: str, kind: Collection[str]) -> list[re.Match[str]]:
    return [match for match in _WORD.finditer(caption) if _spelled(match[0]) in kind]


def _next_word(caption: str, match: re.Match[str]) -> str:
    """The word right behind, in lower case; empty at the end and before a comma."""
    following = _WORD.match(caption[match.end() :].removeprefix(" "))
    return _spelled(following[0]) if following else ""


def _is_compound(following: str) -> bool:
    """Whether a noun followed by this word is perhaps only the first half of one, as in "sand dune"."""
    return bool(following) and following not in _AFTER_A_NOUN and not following.endswith(("ing", "s"))


def _exchanged(caption: str, first: re.Match[str], second: re.Match[str]) -> str:
    one, two = first[0].lower(), second[0].lower()
    two = two.capitalize() if first[0][0].isupper() else two
    return (
        caption[: first.start()] + two + caption[first.end() : second.start()] + one + caption[second.end() :]
    )


def _articles_mended(text: str) -> str:
    """ "a orange" -> "an orange": a wrong article would give the wrong caption away."""
    text = re.sub(r"\b([Aa])n (?![aeiouAEIOU])", r"\1 ", text)
    return re.sub(r"\b([Aa]) (?=orange\b|umbrella\b|ocean\b)", r"\1n ", text)


def _draw(text: str, choices: int) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % choices


def _spelled(word: str) -> str:
    low = word.lower()
    return _SPELLINGS.get(low, low)
