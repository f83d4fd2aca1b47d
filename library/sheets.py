"""Contact sheets: pictures with captions on white, in titled sections, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from library.fonts import Typeface, typeface_for
from library.images import decode

_MARGIN_PX = 40
_GAP_PX = 24  # between cells, both ways
_SECTION_GAP_PX = 36
_RADIUS_PX = 10
_PAPER, _MAT = "#ffffff", "#f4f5f7"
_INK, _QUIET_INK, _EDGE, _ACCENT = "#1b1f24", "#6a727c", "#dfe3e8", "#1f6feb"
_TITLE_PX, _HEADING_PX, _CAPTION_PX = 30, 19, 14
_LINE_HEIGHT = 1.45  # of the font size
_SMOOTHING = 4  # corners are drawn this much larger, then shrunk, as Pillow draws without antialiasing
_MAX_CELL_PIXELS = 100_000_000
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture. The caption's first line is drawn dark, the further ones grey; all are cut to the width."""

    image: Image.Image | bytes  # RGB, or the content of a picture file such as a thumbnail
    caption: str = ""
    accent: bool = False  # a coloured frame: this one is meant


@dataclass(frozen=True, slots=True)
class Section:
    """A row of pictures, or several, under one title (none if empty)."""

    title: str
    cells: Sequence[Cell]


def contact_sheet(
    sections: Sequence[Section], *, columns: int = 5, cell_px: int = 220, title: str = ""
) -> Image.Image:
    """All sections below each other, RGB. The width is that of `columns` cells of `cell_px` pixels.

    Pictures keep their shape, centred in square cells, and are never enlarged beyond twice their size. Raises
    UnreadablePicture when a cell's bytes are not a picture.
    """
    if columns < 1 or cell_px < 16:
        raise ValueError("a sheet needs at least one column, and cells of at least 16 pixels")
    texts = [title, _ELLIPSIS, *(s.title for s in sections), *(c.caption for s in sections for c in s.cells)]
    return _Sheet(columns, cell_px, typeface_for(texts)).draw(sections, title)


class _Sheet:
    """One sheet being drawn: measures first, then draws from top to bottom."""

    def __init__(self, columns: int, cell_px: int, typeface: Typeface) -> None:
        self._columns = columns
        self._cell_px = cell_px
        self._typeface = typeface
        self._inner_px = columns * cell_px + (columns - 1) * _GAP_PX
        self._corners = _rounded_mask(cell_px)

    def draw(self, sections: Sequence[Section], title: str) -> Image.Image:
        size = (self._inner_px + 2 * _MARGIN_PX, self._height(sections, title))
        self._image = Image.new("RGB", size, _PAPER)
        self._pen = ImageDraw.Draw(self._image)
        y = _MARGIN_PX
        if title:
            self._write(title, (_MARGIN_PX, y), _TITLE_PX, _INK, self._inner_px)
            y += _line_px(_TITLE_PX) + _GAP_PX // 2
        for number, section in enumerate(sections):
            y = self._draw_section(section, y + (_SECTION_GAP_PX if number else 0))
        return self._image

    def _height(self, sections: Sequence[Section], title: str) -> int:
        heights = [_line_px(_TITLE_PX) + _GAP_PX // 2] if title else []
        heights += [self._section_height(section) for section in sections]
        return 2 * _MARGIN_PX + sum(heights) + _SECTION_GAP_PX * max(0, len(sections) - 1)

    def _section_height(self, section: Section) -> int:
        rows = [self._row_height(row) for row in self._rows(section)]
        return _heading_height(section) + sum(rows) + _GAP_PX * max(0, len(rows) - 1)

    def _rows(self, section: Section) -> list[Sequence[Cell]]:
        return [section.cells[at : at + self._columns] for at in range(0, len(section.cells), self._columns)]

    def _row_height(self, row: Sequence[Cell]) -> int:
        lines = max(len(_lines(cell)) for cell in row)
        return self._cell_px + (_GAP_PX // 3 + lines * _line_px(_CAPTION_PX) if lines else 0)

    def _draw_section(self, section: Section, y: int) -> int:
        if section.title:
            self._write(section.title, (_MARGIN_PX, y), _HEADING_PX, _INK, self._inner_px)
            y += _heading_height(section)
        for number, row in enumerate(self._rows(section)):
            y += _GAP_PX if number else 0
            for column, cell in enumerate(row):
                self._draw_cell(cell, _MARGIN_PX + column * (self._cell_px + _GAP_PX), y)
            y += self._row_height(row)
        return y

    def _draw_cell(self, cell: Cell, x: int, y: int) -> None:
        side = self._cell_px
        tile = Image.new("RGB", (side, side), _MAT)
        picture = _fitted(_opened(cell.image), side)
        tile.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        if cell.accent:
            self._frame(x - 4, y - 4, side + 8, _ACCENT, 3)
        self._image.paste(tile, (x, y), self._corners)
        if not cell.accent:
            self._frame(x, y, side, _EDGE, 1)
        top = y + side + _GAP_PX // 3
        for number, line in enumerate(_lines(cell)):
            ink = _QUIET_INK if number else (_ACCENT if cell.accent else _INK)
            self._write(line, (x, top + number * _line_px(_CAPTION_PX)), _CAPTION_PX, ink, side)

    def _frame(self, x: int, y: int, side: int, colour: str, width_px: int) -> None:
        """A smooth ring with rounded corners."""
        big = side * _SMOOTHING
        ring = Image.new("L", (big, big), 0)
        box = (0, 0, big - 1, big - 1)
        radius = (_RADIUS_PX + (side - self._cell_px) // 2) * _SMOOTHING
        ImageDraw.Draw(ring).rounded_rectangle(box, radius, outline=255, width=width_px * _SMOOTHING)
        self._image.paste(colour, (x, y), ring.resize((side, side), Image.Resampling.BOX))

    def _write(self, text: str, at: tuple[int, int], size_px: int, ink: str, room_px: int) -> None:
        """One line of text from its upper left corner, cut to the room."""
        x, y = at
        font = self._typeface.at(size_px)
        shown = self._cut(self._typeface.drawable(text), size_px, room_px)
        self._pen.text((x, y + _line_px(size_px) * 0.72), shown, fill=ink, font=font, anchor="ls")

    def _cut(self, text: str, size_px: int, room_px: int) -> str:
        """The longest beginning of the text that fits with an ellipsis, or all of it."""
        font = self._typeface.at(size_px)
        if font.getlength(text) <= room_px:
            return text
        ellipsis = self._typeface.drawable(_ELLIPSIS)
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if font.getlength(text[:middle].rstrip() + ellipsis) <= room_px:
                low = middle
            else:
                high = middle - 1
        return text[:low].rstrip() + ellipsis


def _opened(image: Image.Image | bytes) -> Image.Image:
    if isinstance(image, bytes):
        return decode(image, name="", max_pixels=_MAX_CELL_PIXELS).image
    return image if image.mode == "RGB" else image.convert("RGB")


def _fitted(image: Image.Image, side_px: int) -> Image.Image:
    scale = min(side_px / image.width, side_px / image.height, 2.0)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _rounded_mask(side_px: int) -> Image.Image:
    big = side_px * _SMOOTHING
    mask = Image.new("L", (big, big), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, big - 1, big - 1), _RADIUS_PX * _SMOOTHING, fill=255)
    return mask.resize((side_px, side_px), Image.Resampling.BOX)


def _lines(cell: Cell) -> list[str]:
    return cell.caption.split("\n") if cell.caption else []


def _line_px(size_px: int) -> int:
    return round(size_px * _LINE_HEIGHT)


def _heading_height(section: Section) -> int:
    return _line_px(_HEADING_PX) + _GAP_PX // 2 if section.title else 0
