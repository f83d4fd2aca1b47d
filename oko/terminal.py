"""Photos drawn in the terminal, by whatever it can do: kitty's protocol, sixel (iTerm2 has both), else half blocks."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from library.errors import UsageError

if TYPE_CHECKING:
    from oko.context import Context

PREVIEW_COLUMNS = 40
THUMBNAIL_COLUMNS = 14
_MAX_PIXELS = 10_000_000
# A terminal is asked what it draws only if its variables say that it may draw at all: some print the question.
_DRAWING_TERMS = ("kitty", "ghostty", "foot", "mlterm", "contour", "wezterm", "rio", "sixel", "yaft")
_DRAWING_PROGRAMS = ("iterm", "wezterm", "ghostty", "kitty", "mintty", "contour", "rio", "warp")
_DRAWING_VARIABLES = ("KITTY_WINDOW_ID", "WEZTERM_PANE", "KONSOLE_VERSION", "XTERM_VERSION", "WT_SESSION")


class Pictures:
    """Makes pictures for rich tables and lists."""

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind

    def draw(self, thumbnail: bytes, *, columns: int) -> Any:
        """A renderable of a picture file's content, so many columns wide."""
        from library.images import decode

        picture = decode(thumbnail, name="thumbnail", max_pixels=_MAX_PIXELS).image
        return self._kind(picture, width=columns, height="auto")


def for_previews(context: Context) -> Pictures:
    """For --preview. Raises UsageError if standard output is no terminal with a size."""
    if not _is_terminal(context):
        raise UsageError(
            "--preview draws in a terminal, and this is none", hint="Use --contact-sheet FILE instead."
        )
    return Pictures(_library().Image)


def for_tables(
    context: Context, wanted: str, environment: Mapping[str, str] | None = None
) -> Pictures | None:
    """For a table with --thumbnails auto, always or never: with auto, only where real pictures are drawn."""
    environment = os.environ if environment is None else environment
    if wanted == "never" or not _is_terminal(context):
        return None
    if wanted == "always":
        return Pictures(_library().Image)
    if not may_draw(environment):
        return None
    found = _library()
    return Pictures(found.Image) if found.Image in (found.TGPImage, found.SixelImage) else None


def may_draw(environment: Mapping[str, str]) -> bool:
    """Whether the terminal is of a kind that draws pictures, by the variables it sets."""
    term = environment.get("TERM", "").lower()
    program = environment.get("TERM_PROGRAM", environment.get("LC_TERMINAL", "")).lower()
    return (
        any(name in term for name in _DRAWING_TERMS)
        or any(name in program for name in _DRAWING_PROGRAMS)
        or any(environment.get(name) for name in _DRAWING_VARIABLES)
    )


def _is_terminal(context: Context) -> bool:
    # Input, too: the terminal's answers to what it can do come from there.
    streams = (sys.__stdin__, sys.__stdout__)
    if not context.console.is_terminal or not all(s is not None and s.isatty() for s in streams):
        return False
    # `script`, and some that run in the background, make a terminal without a size: nothing can be drawn to scale.
    size = os.get_terminal_size()
    return bool(size.columns and size.lines)


def _library() -> Any:
    """textual_image, which asks the terminal when it is imported."""
    logging.getLogger("textual_image").setLevel(
        logging.ERROR
    )  # it warns of terminals that do not tell their cell size
    from textual_image import renderable

    return renderable
