"""A font that can draw the given texts. Pillow's own is plain ASCII, so other letters need one of the system's."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import ImageFont

# Found by name in the folders where each system keeps its fonts; the first that has every letter is taken.
_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "segoeui.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "NotoSansCJK-Regular.ttc",
)
_PROBE_PX = 16
_UNASSIGNED = "\uffff"  # every font draws its sign for a missing letter here
_ASCII_FOR = str.maketrans(
    {"—": "-", "–": "-", "…": "...", "·": "-", "•": "-", "×": "x", "’": "'", "“": '"', "”": '"'}
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Typeface:
    """One font in any size. Of a letter it lacks it draws the nearest ASCII, or a question mark."""

    file: str | None  # None: the font that comes with Pillow

    def at(self, size_px: int) -> Font:
        """The font in one size."""
        return _load(self.file, size_px)

    def has(self, letter: str) -> bool:
        """Whether the font can draw the letter."""
        return _has(self.file, letter)

    def drawable(self, text: str) -> str:
        """The text with control characters, and letters that the font lacks, replaced."""
        return "".join(c if self.has(c) else self._substitute(c) for c in unicodedata.normalize("NFC", text))

    def _substitute(self, letter: str) -> str:
        if letter.isspace():
            return " "
        if unicodedata.category(letter) in ("Cf", "Mn"):  # joiners and marks; alone they mean nothing
            return ""
        parts = unicodedata.normalize("NFKD", letter.translate(_ASCII_FOR))
        plain = "".join(c for c in parts if not unicodedata.combining(c))
        return plain if plain and all(self.has(c) for c in plain) else "?"


def typeface_for(texts: Iterable[str]) -> Typeface:
    """The first typeface with all letters of the texts, or the one with most of them."""
    letters = {c for text in texts for c in unicodedata.normalize("NFC", text) if c.isprintable()}
    best, most = Typeface(None), -1
    for file in (None, *_SYSTEM_FONTS):
        if not _exists(file):
            continue
        count = sum(_has(file, letter) for letter in letters)
        if count > most:
            best, most = Typeface(file), count
        if count == len(letters):
            break
    return best


@functools.lru_cache(maxsize=64)
def _load(file: str | None, size_px: int) -> Font:
    return ImageFont.load_default(size_px) if file is None else ImageFont.truetype(file, size_px)


@functools.lru_cache(maxsize=16)
def _exists(file: str | None) -> bool:
    try:
        _load(file, _PROBE_PX)
    except OSError:
        return False
    return True


@functools.lru_cache(maxsize=4096)
def _has(file: str | None, letter: str) -> bool:
    if not letter.isprintable():
        return False
    if letter == " ":
        return True
    font = _load(file, _PROBE_PX)
    return bytes(font.getmask(letter)) != bytes(font.getmask(_UNASSIGNED))
