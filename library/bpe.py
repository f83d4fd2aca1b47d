"""Words -> tokens as CLIP's own tokenizer makes them, without open_clip, which would load torch.

Byte pair encoding: Sennrich et al. 2016, section 3.2; over bytes instead of letters: Radford et al. 2019, section 2.2.
A vocabulary file has a title line, then a pair of symbols a line, most frequent first; a pair's token is its place.
"""

from __future__ import annotations

import gzip
import html
import math
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

END = "</w>"  # marks the last symbol of a word
_BYTES = 256
_MOST_MERGES = 49_152 - _BYTES - 2  # CLIP reads no more, however long the file is
_BLOCK_BYTES = 1 << 18
_SPECIAL = ("<start_of_text>", "<end_of_text>")
_ENDINGS = "'s|'t|'re|'ve|'m|'ll|'d"
_ASCII_WORDS = re.compile(rf"{'|'.join(_SPECIAL)}|{_ENDINGS}|[a-z]+|[0-9]|[^\sa-z0-9]+", re.IGNORECASE)
_MOST_REMEMBERED = 50_000  # words whose tokens are kept; a vocabulary of labels has a few thousand


class BpeTokenizer:
    """CLIP's tokenizer for one vocabulary file. Any thread may use it."""

    def __init__(self, vocabulary: Path, context: int) -> None:
        """`context`: tokens a text has at most. Raises OSError, EOFError or ValueError for a file that is none."""
        pairs = _read_pairs(vocabulary)
        self.context = context
        self._ranks: dict[str, int] = dict(zip(pairs, range(len(pairs)), strict=True))
        letters = list(_letters().values())
        joined = "\n".join(pairs).replace(" ", "").split("\n")
        symbols = [*letters, *(letter + END for letter in letters), *joined, *_SPECIAL]
        self._tokens = dict(
            zip(symbols, range(len(symbols)), strict=True)
        )  # of equal symbols the last counts
        self._known: dict[str, tuple[int, ...]] = {word: (self._tokens[word],) for word in _SPECIAL}

    def __call__(self, texts: list[str]) -> NDArray[np.int64]:
        """N texts -> (N, context) int64: start, tokens, end, zeros; a longer text is cut and ends with the end."""
        start, end = (self._tokens[word] for word in _SPECIAL)
        found = np.zeros((len(texts), self.context), np.int64)
        for row, text in enumerate(texts):
            tokens = [start, *self._of(text), end]
            if len(tokens) > self.context:
                tokens = [*tokens[: self.context - 1], end]
            found[row, : len(tokens)] = tokens
        return found

    def _of(self, text: str) -> Iterator[int]:
        for word in _words(text):
            known = self._known.get(word)
            if known is None:
                known = self._merged("".join(_letters()[byte] for byte in word.encode()))
                if len(self._known) < _MOST_REMEMBERED:
                    self._known[word] = known
            yield from known

    def _merged(self, word: str) -> tuple[int, ...]:
        """The tokens of a word: of all neighbours the most frequent pair is joined, until none is known."""
        symbols = [*word[:-1], word[-1] + END]
        while len(symbols) > 1:
            pairs = [f"{first} {second}" for first, second in pairwise(symbols)]
            best = min(pairs, key=lambda pair: self._ranks.get(pair, math.inf))
            if best not in self._ranks:
                break
            symbols = _joined(symbols, *best.split(" "))
        return tuple(self._tokens[symbol] for symbol in symbols)


def _read_pairs(vocabulary: Path) -> list[str]:
    """The lines that count. CLIP's file has five times as many; reading all would take 0.05 s of a first search."""
    content = b""
    with gzip.open(vocabulary) as file:
        while content.count(b"\n") <= _MOST_MERGES and (block := file.read(_BLOCK_BYTES)):
            content += block
    lines = content.split(b"\n", _MOST_MERGES + 1)[1 : _MOST_MERGES + 1]
    return b"\n".join(lines).decode("utf-8").split("\n") if lines else []


def _joined(symbols: list[str], first: str, second: str) -> list[str]:
    """The symbols, each `first` that a `second` follows made one with it, from left to right."""
    found: list[str] = []
    place = 0
    while place < len(symbols):
        if symbols[place : place + 2] == [first, second]:
            found.append(first + second)
            place += 2
        else:
            found.append(symbols[place])
            place += 1
    return found


def _words(text: str) -> list[str]:
    """A text in lower case, its encoding repaired, split into what is merged by itself: words, digits, signs.

    What is plain ASCII needs no repair, and none of the packages for that, which take 60 ms to load.
    """
    if text.isascii() and text.isprintable() and "&" not in text:
        return _ASCII_WORDS.findall(text.lower())
    import ftfy

    repaired = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    found: list[str] = _all_words().findall(" ".join(repaired.split()).lower())
    return found


@cache
def _all_words() -> Any:
    import regex

    pattern = rf"{'|'.join(_SPECIAL)}|{_ENDINGS}|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"
    return regex.compile(pattern, regex.IGNORECASE)


@cache
def _letters() -> dict[int, str]:
    """A visible letter for each byte: itself where it is one, else one from U+0100 on. In the vocabulary's order."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(_BYTES) if byte not in own]
    letters = {byte: chr(byte) for byte in own}
    return letters | {byte: chr(_BYTES + place) for place, byte in enumerate(others)}
