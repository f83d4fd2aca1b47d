"""The query language: a text -> what is looked for. docs/search.md describes it for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce

from library.errors import QueryError
from library.records import PhotoFilter
from search.direction import query_vector
from search.filters import FILTERS, advice, any_of, nearest
from search.parts import LIKE, PICTURE, SORT, Kind, Part, Query, Term
from search.rank import Sort
from search.words import Value, Word, quoted, shortened, split

__all__ = ["NAMES", "Kind", "Part", "Query", "Term", "parse", "query_vector"]

NAMES = (*FILTERS, LIKE, SORT, PICTURE)
"""Every word that has a meaning before a colon."""

MOST_WEIGHT = 100.0
MOST_CHARACTERS = 10_000
MOST_PARTS = 100  # each is embedded
MOST_VALUES = 200  # SQLite takes conditions up to 1,000 deep
_WEIGHT = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?|\.[0-9]{1,15}")
_LIKE_A_NUMBER = re.compile(r"[-+]?[0-9.,]+")
_CLOCK_OR_RATIO = re.compile(r"[\d.,/–-]+")  # before a colon: 10:30, 16:9, never a word with a weight


def parse(text: str) -> Query:
    """Read a search text. Raises QueryError, which knows the place, and nothing else."""
    if len(text) > MOST_CHARACTERS:
        raise QueryError(
            f"the query is longer than {MOST_CHARACTERS:,} characters",
            text=text,
            start=MOST_CHARACTERS,
            end=len(text),
        )
    reader = _Reader(text)
    for word in split(text):
        reader.take(word)
    return reader.finish()


class _Reader:
    """Puts words together to parts and filters, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[tuple[int, Part]] = []  # with where each begins
        self._terms: list[Term] = []
        self._filters: list[PhotoFilter] = []
        self._sort: Sort | None = None
        self._words: list[str] = []
        self._begin = 0
        self._sign = ""
        self._waiting: Word | None = None  # a sign that stands alone, with nothing behind it yet

    def take(self, word: Word) -> None:
        """The next word."""
        if word.sign and self._waiting is not None:
            raise self._error(
                "two signs in a row", self._waiting.start, word.start + 1, hint="One sign is enough."
            )
        if word.is_sign:
            self._flush()
            self._waiting, self._sign = word, word.sign
        elif word.name and not word.is_quoted:
            self._named(word)
        else:
            self._plain(word)

    def finish(self) -> Query:
        """The query."""
        if self._waiting is not None:
            sign = self._waiting
            raise self._error(
                f"there is nothing after {self._text[sign.start : sign.end]}",
                sign.start,
                sign.end,
                hint=f"Put words behind it, or quote it: {quoted(sign.sign)}",
            )
        self._flush()
        wanted = reduce(PhotoFilter.__and__, self._filters, PhotoFilter())
        parts = tuple(part for _, part in sorted(self._parts, key=lambda pair: pair[0]))
        return Query(parts, wanted, self._text, self._sort, tuple(self._terms))

    # Words

    def _plain(self, word: Word) -> None:
        weight: float | None = None
        text = word.text
        if word.suffix is not None:
            weight = self._weight(word.suffix)
        elif not word.is_quoted:
            before, colon, after = text.rpartition(":")
            is_clock = ":" in before or _CLOCK_OR_RATIO.fullmatch(before)
            if colon and after == "" and before.casefold() in NAMES:
                raise self._without_value(before, word)
            if before and not is_clock and _WEIGHT.fullmatch(after):
                weight = self._weight(Value(after, word.end - len(after), word.end))
                text = before
        self._add(word, text, weight)

    def _add(self, word: Word, text: str, weight: float | None) -> None:
        text = " ".join(_sound(text).split())
        if word.sign:
            self._part("text", text, word.sign, weight, word.start)
            return
        self._waiting = None
        if not self._words:
            self._begin = word.start
        self._words.append(text)
        if weight is not None:
            self._flush(weight)

    def _flush(self, weight: float | None = None) -> None:
        """The words so far are one part. Its sign goes on: after a weight a new part of the same kind begins."""
        if self._words:
            self._part("text", " ".join(self._words), self._sign, weight, self._begin)
            self._words = []

    def _part(self, kind: Kind, text: str, sign: str, weight: float | None, start: int) -> None:
        if len(self._parts) == MOST_PARTS:
            raise self._error(f"there are more than {MOST_PARTS} parts", start, len(self._text))
        size = 1.0 if weight is None else weight
        self._parts.append((start, Part(kind, text, -size if sign == "-" else size)))

    def _weight(self, value: Value) -> float:
        number = float(value.text) if _WEIGHT.fullmatch(value.text) else 0.0
        if not 0 < number <= MOST_WEIGHT:
            raise self._error(
                f"{value.text or 'nothing'} is not a weight",
                value.start,
                value.end,
                hint=f"A weight is a number such as 2 or 0.5, above 0 and up to {MOST_WEIGHT:.0f}. "
                "What is not wanted has a - before it.",
            )
        return number

    # name:value

    def _named(self, word: Word) -> None:
        name = word.name.casefold()
        value = word.values[0]
        if name not in NAMES and len(word.values) == 1 and self._is_weight(name, value.text):
            self._add(word, word.name, self._weight(value))
        elif name not in NAMES:
            self._unknown(word)
        elif name in (LIKE, PICTURE):
            self._example(word, name)
        elif name == SORT:
            self._order(word)
        else:
            self._filter(word, name)

    @staticmethod
    def _is_weight(name: str, text: str) -> bool:
        """Whether this is meant as a weight; year:2023 is a filter that is called otherwise."""
        is_number = _WEIGHT.fullmatch(text) is not None
        return is_number and (float(text) <= MOST_WEIGHT or nearest(name, NAMES) is None)

    def _unknown(self, word: Word) -> None:
        value = word.values[0]
        close = nearest(word.name, NAMES)
        literal = self._text[word.start + len(word.sign) : word.end]
        if value.text.startswith("//"):
            self._add(word, literal, None)  # an address
            return
        if close is None and len(word.values) <= 2 and _LIKE_A_NUMBER.fullmatch(value.text):
            raise self._error(
                f"{literal[len(word.name) + 1 :]} is not a weight",
                value.start,
                word.end,
                hint="A weight is a number such as 2 or 0.5. What is not wanted has a - before it.",
            )
        start = word.start + len(word.sign)
        raise self._error(
            f"there is no filter {word.name}:",
            start,
            start + len(word.name) + 1,
            hint=(f"Did you mean {close}:? " if close else f"There are {', '.join(sorted(NAMES))}. ")
            + f"To search for the words themselves, quote them: {quoted(literal)}",
        )

    def _sign_of(self, word: Word) -> str:
        """The sign of a name:value is the one directly before it, which is used up by that."""
        self._flush()
        sign = word.sign
        if self._waiting is not None:
            sign, self._sign, self._waiting = self._waiting.sign, "", None
        return sign

    def _example(self, word: Word, name: str) -> None:
        value = word.values[0]
        number, colon, weight = value.text.partition(":")
        size = self._weight(Value(weight, value.end - len(weight), value.end)) if colon else None
        least = int(name == PICTURE)
        if len(word.values) > 1 or not re.fullmatch(r"[0-9]{1,18}", number) or int(number) < least:
            hint = (
                "like:12 is the photo with the id 12 (oko search --json shows ids); "
                "write like:12 like:13 for two. For a file: --image FILE"
                if name == LIKE
                else "picture:1 is the first of the pictures that are handed in with the text."
            )
            raise self._error(f"{name}: needs a number", word.start + len(word.sign), word.end, hint=hint)
        kind: Kind = "photo" if name == LIKE else "picture"
        self._part(kind, str(int(number) - least), self._sign_of(word), size, word.start)

    def _order(self, word: Word) -> None:
        value = word.values[0]
        orders = [order.value for order in Sort]
        if len(word.values) > 1 or value.text.lower() not in orders:
            raise self._error(
                f"there is no order {self._text[value.start : word.end]}",
                value.start,
                word.end,
                hint=f"There are {', '.join(orders)}.",
            )
        if self._sign_of(word) == "-" or self._sort is not None:
            why = "there are two orders" if self._sort is not None else "an order cannot be left out"
            raise self._error(why, word.start, word.end, hint="Write one, such as sort:newest.")
        self._sort = Sort(value.text.lower())
        self._terms.append(Term(SORT, (self._sort.value,), False, word.start, word.end))

    def _filter(self, word: Word, name: str) -> None:
        kind = FILTERS[name]
        start = word.start
        if self._waiting is not None:
            start = self._waiting.start
        negated = self._sign_of(word) == "-"
        if negated and not kind.can_be_negated:
            raise self._error(f"{name}: cannot be negated", start, word.end, hint=advice(kind, ""))
        if sum(len(term.values) for term in self._terms) + len(word.values) > MOST_VALUES:
            raise self._error(f"there are more than {MOST_VALUES} filters", start, len(self._text))
        values = word.values if kind.takes_list else (_joined(word.values),)
        found = any_of(self._condition(name, value) for value in values)
        self._filters.append(PhotoFilter(excluded=(found,)) if negated else found)
        shown = tuple(_sound(value.text, paths=name == "folder").strip() for value in word.values)
        self._terms.append(Term(name, shown, negated, start, word.end))

    def _condition(self, name: str, value: Value) -> PhotoFilter:
        kind = FILTERS[name]
        text = _sound(value.text, paths=name == "folder").strip()
        if not text:
            place = Word("", value.start, value.end)
            raise self._without_value(name, place)
        try:
            return kind.read(text)
        except ValueError as e:
            raise self._error(str(e), value.start, value.end, hint=advice(kind, text)) from None

    def _without_value(self, name: str, word: Word) -> QueryError:
        known = FILTERS.get(name.casefold())
        example = known.example if known else "newest" if name.casefold() == SORT else "1"
        return self._error(
            f"{name}: needs a value, without a space before it",
            word.start,
            word.end,
            hint=f"For example {name}:{example}. To search for the word itself, quote it: {quoted(name + ':')}",
        )

    def _error(self, message: str, start: int, end: int, *, hint: str = "") -> QueryError:
        return QueryError(
            shortened(message), text=self._text, start=start, end=end, hint=shortened(hint, 400)
        )


def _joined(values: Sequence[Value]) -> Value:
    return Value(",".join(value.text for value in values), values[0].start, values[-1].end)


def _sound(text: str, *, paths: bool = False) -> str:
    """Without halves of surrogate pairs, which neither a tokenizer nor a database takes; file names may have them."""
    if paths:
        return text
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)
