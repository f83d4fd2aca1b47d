"""What a query is made of, and the one form in which it is written out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from library.records import PhotoFilter
from search.rank import Sort
from search.relevance import Nature
from search.words import quoted

Kind = Literal["text", "photo", "picture"]

LIKE, PICTURE, SORT = "like", "picture", "sort"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is looked for, or with a negative weight not wanted."""

    kind: Kind
    text: str  # the words; or the id of a photo of the library; or the place of a handed-in picture, from 0
    weight: float = 1.0

    @property
    def number(self) -> int:
        """The id or the place."""
        return int(self.text)


@dataclass(frozen=True, slots=True)
class Term:
    """A filter, or the order, as it stands in the text: for showing it, and for taking it out again."""

    name: str
    values: tuple[str, ...]
    negated: bool = False
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    def __str__(self) -> str:
        shown = ",".join(quoted_value(value) for value in self.values)
        return f"{'-' if self.negated else ''}{self.name}:{shown}"


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for. `str()` writes it in one fixed form that `parse` reads back to the same query."""

    parts: tuple[Part, ...] = ()
    wanted: PhotoFilter = field(default_factory=PhotoFilter)
    text: str = field(default="", compare=False)  # as it was typed
    sort: Sort | None = None
    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        shown: list[str] = []
        for part in self.parts:
            sign = "-" if part.weight < 0 else "+" if shown else ""
            shown += [sign, _part_text(part)] if sign else [_part_text(part)]
        return " ".join([*shown, *map(str, self.terms)])

    @property
    def nature(self) -> Nature:
        """How its relevance is judged; pictures that are handed in must have joined it (`with_pictures`)."""
        wanted = [part for part in self.parts if part.weight > 0]
        if not wanted:
            return Nature.UNWANTED
        return Nature.WORDS if all(part.kind == "text" for part in wanted) else Nature.PICTURES

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing at all."""
        return not self.parts and not self.terms

    def with_pictures(self, count: int) -> Query:
        """The query with those of so many handed-in pictures that it does not name as further wanted parts."""
        named = {part.number for part in self.parts if part.kind == "picture"}
        more = (Part("picture", str(at)) for at in range(count) if at not in named)
        return replace(self, parts=(*self.parts, *more))


def quoted_value(value: str) -> str:
    """A value as it is written behind `name:`, in quotes where it needs them."""
    plain = re.fullmatch(r"[^\s,\"“„«]\S*", value) and not re.search(r"[,\\]", value)
    return value if plain else quoted(value)


def _part_text(part: Part) -> str:
    if part.kind == "text":
        words = part.text.split(" ")
        plain = all(re.fullmatch(r"[^-+\N{MINUS SIGN}\"“„«:\s][^:\s]*", word) for word in words)
        shown = part.text if plain else quoted(part.text)
    else:
        number = part.number + (part.kind == "picture")
        shown = f"{LIKE if part.kind == 'photo' else PICTURE}:{number}"
    weight = abs(part.weight)
    return shown if weight == 1 else f"{shown}:{np.format_float_positional(weight, trim='-')}"
