"""A search text -> its words, with signs, quotes and places, before anything is known of what they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from library.errors import QueryError

SIGNS = {"+": "+", "-": "-", "\N{MINUS SIGN}": "-"}
# Opening quote -> what closes it; those that phones and word processors put in place of " count, too.
QUOTES = {'"': '"', "“": "”", "„": "“”", "«": "»"}
_NAME = re.compile(r"([^\W\d_][\w-]*):")  # a letter, then letters, digits, _ and -, in any script


@dataclass(frozen=True, slots=True)
class Value:
    """One of the values of `name:value,value`; `text` is without its quotes."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a search text, text[start:end] with its sign, or a sign that stands alone (`text` is empty)."""

    text: str  # without sign and quotes
    start: int
    end: int
    sign: str = ""  # "+", "-" or ""
    is_quoted: bool = False
    suffix: Value | None = None  # what follows a closing quote and a colon
    name: str = ""  # of name:value, as it was written
    values: tuple[Value, ...] = field(default=())

    @property
    def is_sign(self) -> bool:
        """Whether this is a sign that stands alone between spaces."""
        return bool(self.sign) and not self.text


def split(text: str) -> list[Word]:
    """The words of a search text. Raises QueryError for quotes that are not closed, or that nothing stands between."""
    words = []
    at = _skip_spaces(text, 0)
    while at < len(text):
        word = _word(text, at)
        words.append(word)
        at = _skip_spaces(text, word.end)
    return words


def listed(text: str) -> list[str]:
    """The values of `value,"another value"`, where nothing else stands beside them. Raises QueryError as `split`."""
    values, at = [], 0
    while True:
        at = _skip_spaces(text, at)
        if at < len(text) and text[at] in QUOTES:
            content, end = _quotation(text, at)
            end = _skip_spaces(text, end)
            if end < len(text) and text[end] != ",":
                raise QueryError("no comma after the closing quote", text=text, start=end, end=len(text))
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            content = text[at:end]
        values.append(content.strip())
        if end == len(text):
            return values
        at = end + 1


def quoted(text: str) -> str:
    """The text in quotes, so that `split` reads it literally."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def shortened(text: str, most: int = 200) -> str:
    """A sentence that may repeat what was typed, fit to be shown."""
    return text if len(text) <= most else f"{text[: most - 40]}…{text[-39:]}"


def _skip_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _end_of_word(text: str, at: int) -> int:
    while at < len(text) and not text[at].isspace():
        at += 1
    return at


def _word(text: str, start: int) -> Word:
    end = _end_of_word(text, start)
    if all(c in SIGNS for c in text[start:end]) and end - start > 1:
        return Word(text[start:end], start, end)  # a dash made of several
    sign = SIGNS.get(text[start], "")
    at = start + bool(sign)
    if at == end:
        return Word("", start, end, sign)
    if sign and text[at] in SIGNS:
        raise QueryError(
            "two signs in a row",
            text=text,
            start=start,
            end=at + 1,
            hint=shortened(
                f"One is enough. To search for the signs themselves, quote them: {quoted(text[start:end])}"
            ),
        )
    if text[at] in QUOTES:
        return _quoted_word(text, start, at, sign)
    match = _NAME.match(text, at)
    if match and match.end() < end:
        return _named_word(text, start, match, sign)
    return Word(text[at:end], start, end, sign)


def _quoted_word(text: str, start: int, at: int, sign: str) -> Word:
    content, after = _quotation(text, at)
    end = _end_of_word(text, after)
    if after == end:
        return Word(content, start, end, sign, is_quoted=True)
    if text[after] != ":":
        raise QueryError(
            "no space after the closing quote",
            text=text,
            start=after,
            end=end,
            hint="Put a space between, or a weight such as :2.",
        )
    suffix = Value(text[after + 1 : end], after + 1, end)
    return Word(content, start, end, sign, is_quoted=True, suffix=suffix)


def _named_word(text: str, start: int, match: re.Match[str], sign: str) -> Word:
    values = []
    at = match.end()
    while True:
        value = _value(text, at)
        values.append(value)
        if value.end == len(text) or text[value.end] != ",":
            break
        at = value.end + 1
    end = values[-1].end
    if end < len(text) and not text[end].isspace():
        raise QueryError(
            "no space after the closing quote", text=text, start=end, end=_end_of_word(text, end)
        )
    return Word(text[match.start() : end], start, end, sign, name=match[1], values=tuple(values))


def _value(text: str, at: int) -> Value:
    if at < len(text) and text[at] in QUOTES:
        content, end = _quotation(text, at)
        return Value(content, at, end)
    end = at
    while end < len(text) and text[end] != "," and not text[end].isspace():
        end += 1
    return Value(text[at:end], at, end)


def _quotation(text: str, start: int) -> tuple[str, int]:
    """What stands between the quotes from `start`, and where the text goes on behind them.

    A backslash before a quote or a backslash takes it literally; before anything else it is one.
    """
    closing, found, at = QUOTES[text[start]], [], start + 1
    while at < len(text) and text[at] not in closing:
        if text[at] == "\\" and at + 1 < len(text) and (text[at + 1] in closing or text[at + 1] in '\\"'):
            at += 1
        found.append(text[at])
        at += 1
    if at == len(text):
        raise QueryError(
            "the quote is not closed",
            text=text,
            start=start,
            end=start + 1,
            hint=f'Close it with {closing[-1]} or take it literally: "\\""',
        )
    content = "".join(found)
    if not content.strip():
        raise QueryError("there is nothing between the quotes", text=text, start=start, end=at + 1)
    return content, at + 1
