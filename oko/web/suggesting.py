"""Completions of a query that is being typed: filters, and the tags, folders, cameras and lenses of this library."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Query

from library.catalog import Connection, listing, reading, tagging
from library.catalog.tagging import CONFIRMED, SUGGESTED
from oko.aligned import count
from oko.web.answers import Suggestion, SuggestionsAnswer
from oko.web.failures import documented
from oko.web.serving import Desk, Serving
from search.filters import FILTERS
from search.parts import SORT
from search.rank import Sort
from search.words import QUOTES, SIGNS, quoted

router = APIRouter(prefix="/api", tags=["search"])

LONGEST_QUERY = 2_000  # characters
# Counting the folders of 300,000 photos takes half a second: not at every key, also while photos come in.
FRESH_S, LEAST_FRESH_S = 60.0, 5.0
_NAMED = re.compile(r"(?P<name>[^\W\d_][\w-]*):(?P<before>(?:.*,)?)(?P<value>[^,]*)", re.DOTALL)
_NEEDS_QUOTES = re.compile(r'[\s,"“”„«»\\]')
# What each filter's values are called here, and how a suggestion of one is called.
COUNTED = {"tag": "tag", "folder": "folder", "camera": "camera", "lens": "lens"}


@dataclass(frozen=True, slots=True)
class _Name:
    """What may stand before a colon; `choices` are all its values, where they can be listed."""

    name: str
    help: str
    example: str
    choices: tuple[str, ...] = ()


NAMES = {each.name: _Name(each.name, each.help, each.example, each.choices) for each in FILTERS.values()} | {
    SORT: _Name(SORT, "the order of the photos", "newest", tuple(each.value for each in Sort))
}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many photos each value of a filter has."""

    by_filter: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, c: Connection) -> Counts:
        """As the catalog is now."""
        tags = {
            name: states.get(SUGGESTED, 0) + states.get(CONFIRMED, 0)
            for name, states in tagging.tag_counts(c).items()
        }
        return cls(
            {
                "tag": {name: n for name, n in tags.items() if n},
                "folder": listing.folder_counts(c),
                "camera": listing.camera_counts(c),
                "lens": listing.lens_counts(c),
            }
        )


class CountsCache:
    """The counts of a library, made anew at most once a while. Any thread may use it."""

    def __init__(self) -> None:
        self._counts = Counts()
        self._made_at = float("-inf")
        self._revision = -1
        self._lock = threading.Lock()

    def get(self, c: Connection) -> Counts:
        """The counts, not older than a while."""
        with self._lock:
            age_s, revision = time.monotonic() - self._made_at, reading.revision(c)
            if age_s >= FRESH_S or (revision != self._revision and age_s >= LEAST_FRESH_S):
                self._counts, self._revision, self._made_at = Counts.of(c), revision, time.monotonic()
            return self._counts


@router.get("/suggestions", operation_id="list_suggestions", responses=documented(422))
def list_suggestions(
    serving: Desk,
    q: Annotated[str, Query(max_length=LONGEST_QUERY, description="the query up to the cursor")] = "",
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> SuggestionsAnswer:
    """How the query may go on; the cursor is at its end."""
    found = []
    for suggestion in suggestions(q, _counts(serving)):
        found.append(suggestion)
        if len(found) == limit:
            break
    return SuggestionsAnswer(suggestions=found)


def _counts(serving: Serving) -> Counts:
    with serving.store.catalog.reading() as c:
        return serving.counts.get(c)


def suggestions(text: str, counts: Counts) -> Iterator[Suggestion]:
    """Completions of the word that the text ends with, the likeliest first."""
    start = word_start(text)
    start += text[start : start + 1] in SIGNS
    word, end = text[start:], len(text)
    named = _NAMED.fullmatch(word)
    if named and named["name"].lower() in NAMES:
        value = named["value"].lstrip("".join(QUOTES))
        yield from _values(named["name"].lower(), value, counts, place=(start + named.start("value"), end))
        return
    yield from _filters(word, place=(start, end))
    if word:
        for name in ("tag", "folder", "camera"):
            yield from _counted(name, word, counts, place=(start, end), prefix=f"{name}:")


def word_start(text: str) -> int:
    """Where the last word of a text begins; a space between quotes separates nothing."""
    start, closing = 0, ""
    for at, character in enumerate(text):
        if closing:
            closing = "" if character in closing else closing
        elif character.isspace():
            start = at + 1
        elif character in QUOTES:
            closing = QUOTES[character]
    return start


def _filters(word: str, *, place: tuple[int, int]) -> Iterator[Suggestion]:
    for found in NAMES.values():
        if found.name.startswith(word.lower()):
            yield Suggestion(
                kind="filter",
                text=f"{found.name}:",
                label=f"{found.name}:{found.example}",
                detail=found.help,
                count=None,
                start=place[0],
                end=place[1],
            )


def _values(name: str, value: str, counts: Counts, *, place: tuple[int, int]) -> Iterator[Suggestion]:
    if name in COUNTED:
        yield from _counted(name, value, counts, place=place, prefix="")
        return
    found = NAMES[name]
    for choice in found.choices or (found.example,):
        if choice.startswith(value.lower()):
            yield Suggestion(
                kind="value",
                text=written(choice),
                label=choice,
                detail="" if len(found.choices) > 1 else found.help,  # which is of all of them together
                count=None,
                start=place[0],
                end=place[1],
            )


def _counted(
    name: str, value: str, counts: Counts, *, place: tuple[int, int], prefix: str
) -> Iterator[Suggestion]:
    values = counts.by_filter.get(name, {})
    for each in _by_likeness(value, values):
        yield Suggestion(
            kind=COUNTED[name],
            text=prefix + written(each),
            label=each,
            detail=count(values[each], "photo"),
            count=values[each],
            start=place[0],
            end=place[1],
        )


def _by_likeness(value: str, counts: dict[str, int]) -> Iterable[str]:
    """The names that contain the value: those that begin with it first, then those of which a word does."""
    folded = value.casefold()

    def rank(name: str) -> int:
        text = name.casefold()
        if text.startswith(folded):
            return 0
        return 1 if f" {folded}" in text else 2

    found = [name for name in counts if folded in name.casefold()]
    return sorted(found, key=lambda name: (rank(name), -counts[name], name))


def written(value: str) -> str:
    """A value as it stands in a query."""
    return quoted(value) if _NEEDS_QUOTES.search(value) else value
