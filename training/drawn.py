"""Simple things drawn by code, of which colour, number and place are known: what captions seldom pin down.

The same arguments give the same picture everywhere: nothing is drawn from the system, and all chance is seeded.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter

SIDE_PX = 224
_SMOOTHING = 3  # drawn this much larger and shrunk: Pillow does not smooth edges itself

RGB = tuple[int, int, int]
Box = tuple[float, float, float, float]  # left, top, right, bottom
PAINTS: dict[str, RGB] = {
    "red": (205, 30, 40),
    "blue": (35, 80, 200),
    "green": (35, 145, 60),
    "yellow": (245, 210, 45),
    "black": (25, 25, 28),
    "white": (248, 248, 248),
    "brown": (120, 72, 40),
    "orange": (242, 130, 30),
    "pink": (245, 145, 185),
    "purple": (125, 55, 165),
}
_GROUNDS: tuple[tuple[RGB, RGB], ...] = (  # wall, floor: greys, so that they add no colour of their own
    ((182, 184, 186), (140, 141, 143)),
    ((160, 163, 166), (118, 118, 120)),
    ((196, 194, 190), (150, 147, 143)),
)
_GLASS, _DARK = (205, 225, 235), (40, 40, 42)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture and the text that is true of it; `wrong` are texts that are not, alike in all but one respect."""

    image: Image.Image
    text: str
    wrong: tuple[str, ...]


def coloured_things() -> list[Drawing]:
    """Each thing in each colour; the wrong texts name the other colours."""
    return [
        Drawing(
            _scene([(thing, colour, _centred(0.62))], seed=row * len(PAINTS) + column),
            f"{_article(colour)} {colour} {thing}",
            tuple(f"{_article(other)} {other} {thing}" for other in PAINTS if other != colour),
        )
        for row, thing in enumerate(THINGS)
        for column, colour in enumerate(PAINTS)
    ]


def counted_things() -> list[Drawing]:
    """One to five of each thing, not touching; the wrong texts say the other numbers."""
    drawings = []
    for row, thing in enumerate(THINGS):
        for number in range(1, len(_NUMBERS) + 1):
            random_ = random.Random(1000 + row * 10 + number)
            colour = random_.choice(list(PAINTS))
            cells = random_.sample([(x, y) for x in range(3) for y in range(2)], number)
            placed = [(thing, colour, _cell(x, y, random_)) for x, y in cells]
            texts = [_counted(n, thing) for n in range(1, len(_NUMBERS) + 1)]
            wrong = tuple(text for text in texts if text != texts[number - 1])
            drawings.append(Drawing(_scene(placed, seed=row), texts[number - 1], wrong))
    return drawings


def placed_things() -> list[Drawing]:
    """Two things above or beside each other; the wrong text has them the other way round."""
    drawings = []
    for seed, (one, two) in enumerate(_PAIRS):
        for first, second in ((one, two), (two, one)):
            for relation, (here, there) in _RELATIONS.items():
                paint = random.Random(seed)
                colours = paint.sample(list(PAINTS), 2)
                colour = dict(zip((one, two), colours, strict=True))
                placed = [(first, colour[first], here), (second, colour[second], there)]
                drawings.append(
                    Drawing(
                        _scene(placed, seed=seed),
                        f"a {first} {relation} a {second}",
                        (f"a {second} {relation} a {first}",),
                    )
                )
    return drawings


def _scene(placed: list[tuple[str, str, Box]], *, seed: int) -> Image.Image:
    """Things in their boxes (fractions of the side) before a grey wall, RGB, SIDE_PX square."""
    big = SIDE_PX * _SMOOTHING
    wall, floor = _GROUNDS[seed % len(_GROUNDS)]
    image = Image.new("RGB", (big, big), wall)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, big * 0.72, big, big), fill=floor)
    image = image.filter(ImageFilter.GaussianBlur(big / 60))
    pen = ImageDraw.Draw(image)
    for thing, colour, box in placed:
        left, top, right, bottom = (value * big for value in box)
        THINGS[thing](_Brush(pen, left, top, right - left, bottom - top), PAINTS[colour])
    return image.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)


@dataclass(frozen=True, slots=True)
class _Brush:
    """Draws in fractions of a box, with shades of one colour."""

    pen: ImageDraw.ImageDraw
    left: float
    top: float
    width: float
    height: float

    def at(self, *points: float) -> list[float]:
        """x, y, x, y ... in fractions -> pixels."""
        return [
            self.left + value * self.width if i % 2 == 0 else self.top + value * self.height
            for i, value in enumerate(points)
        ]

    def ellipse(self, box: Box, fill: RGB) -> None:
        self.pen.ellipse(self.at(*box), fill=fill)

    def rectangle(self, box: Box, fill: RGB, radius: float = 0.0) -> None:
        self.pen.rounded_rectangle(self.at(*box), radius * min(self.width, self.height), fill=fill)

    def polygon(self, points: tuple[float, ...], fill: RGB) -> None:
        self.pen.polygon(self.at(*points), fill=fill)

    def line(self, points: tuple[float, ...], fill: RGB, width: float) -> None:
        pixels = max(1, round(width * self.width))
        self.pen.line(self.at(*points), fill=fill, width=pixels, joint="curve")


def _shade(colour: RGB, factor: float) -> RGB:
    """Darker below 1, nearer to white above."""
    if factor <= 1:
        red, green, blue = (round(value * factor) for value in colour)
    else:
        red, green, blue = (round(255 - (255 - value) * (2 - factor)) for value in colour)
    return red, green, blue


def _ball(brush: _Brush, colour: RGB) -> None:
    for step in range(12):  # a round body: rings that grow lighter towards the upper left
        inset = step * 0.04
        box = (inset * 0.7, inset * 0.6, 1 - inset * 1.3, 1 - inset * 1.4)
        brush.ellipse(box, _shade(colour, 0.72 + step * 0.045))


def _car(brush: _Brush, colour: RGB) -> None:
    brush.polygon((0.2, 0.48, 0.32, 0.24, 0.66, 0.24, 0.82, 0.48), colour)
    brush.polygon((0.27, 0.46, 0.35, 0.29, 0.48, 0.29, 0.48, 0.46), _GLASS)
    brush.polygon((0.52, 0.46, 0.52, 0.29, 0.64, 0.29, 0.74, 0.46), _GLASS)
    brush.rectangle((0.03, 0.45, 0.97, 0.7), colour, 0.08)
    brush.rectangle((0.03, 0.62, 0.97, 0.7), _shade(colour, 0.75), 0.04)
    brush.rectangle((0.9, 0.5, 0.97, 0.56), (250, 240, 190))
    for x in (0.24, 0.76):
        brush.ellipse((x - 0.11, 0.58, x + 0.11, 0.8), _DARK)
        brush.ellipse((x - 0.055, 0.635, x + 0.055, 0.745), (170, 172, 175))


def _cup(brush: _Brush, colour: RGB) -> None:
    brush.ellipse((0.6, 0.3, 0.98, 0.7), _shade(colour, 0.8))
    brush.ellipse((0.68, 0.38, 0.89, 0.62), (165, 166, 168))
    brush.polygon((0.12, 0.2, 0.78, 0.2, 0.7, 0.88, 0.2, 0.88), colour)
    brush.polygon((0.6, 0.2, 0.78, 0.2, 0.7, 0.88, 0.58, 0.88), _shade(colour, 0.82))
    brush.ellipse((0.2, 0.82, 0.7, 0.94), _shade(colour, 0.86))
    brush.ellipse((0.12, 0.12, 0.78, 0.28), _shade(colour, 0.65))
    brush.ellipse((0.16, 0.15, 0.74, 0.27), (70, 45, 30))


def _house(brush: _Brush, colour: RGB) -> None:
    brush.rectangle((0.12, 0.42, 0.88, 0.98), colour)
    brush.polygon((0.04, 0.44, 0.5, 0.06, 0.96, 0.44), _shade(colour, 0.6))
    brush.rectangle((0.43, 0.66, 0.59, 0.98), _DARK)
    for x in (0.2, 0.66):
        brush.rectangle((x, 0.54, x + 0.16, 0.72), _GLASS)
        brush.line((x + 0.08, 0.54, x + 0.08, 0.72), _DARK, 0.012)


def _shirt(brush: _Brush, colour: RGB) -> None:
    brush.polygon((0.3, 0.1, 0.02, 0.3, 0.13, 0.5, 0.28, 0.4, 0.28, 0.95, 0.72, 0.95, 0.72, 0.4), colour)
    brush.polygon((0.72, 0.4, 0.87, 0.5, 0.98, 0.3, 0.7, 0.1, 0.3, 0.1, 0.28, 0.4), colour)
    brush.ellipse((0.37, 0.02, 0.63, 0.2), _shade(colour, 0.6))
    for x in (0.28, 0.72):
        brush.line((x, 0.4, x, 0.62), _shade(colour, 0.75), 0.012)


def _balloon(brush: _Brush, colour: RGB) -> None:
    brush.line((0.5, 0.72, 0.54, 0.82, 0.46, 0.9, 0.5, 0.99), _DARK, 0.012)
    brush.ellipse((0.18, 0.02, 0.82, 0.7), colour)
    brush.polygon((0.5, 0.67, 0.44, 0.75, 0.56, 0.75), _shade(colour, 0.75))
    brush.ellipse((0.3, 0.12, 0.44, 0.3), _shade(colour, 1.45))


def _flower(brush: _Brush, colour: RGB) -> None:
    brush.line((0.5, 0.45, 0.5, 0.98), (60, 120, 60), 0.03)
    brush.ellipse((0.5, 0.7, 0.74, 0.8), (60, 120, 60))
    for x, y in ((0.5, 0.14), (0.7, 0.26), (0.66, 0.48), (0.34, 0.48), (0.3, 0.26)):
        brush.ellipse((x - 0.15, y - 0.13, x + 0.15, y + 0.13), colour)
    brush.ellipse((0.39, 0.23, 0.61, 0.43), (225, 190, 80))


def _umbrella(brush: _Brush, colour: RGB) -> None:
    brush.line((0.5, 0.1, 0.5, 0.86, 0.53, 0.93, 0.59, 0.93, 0.62, 0.86), _DARK, 0.022)
    brush.pen.pieslice(brush.at(0.04, 0.1, 0.96, 1.0), 180, 360, fill=colour)
    for start, end in ((0.04, 0.35), (0.35, 0.65), (0.65, 0.96)):  # the scalloped edge
        brush.pen.pieslice(brush.at(start, 0.48, end, 0.62), 180, 360, fill=_shade(colour, 0.78))
    brush.line((0.5, 0.04, 0.5, 0.12), _DARK, 0.02)


def _fish(brush: _Brush, colour: RGB) -> None:
    brush.polygon((0.68, 0.5, 0.98, 0.24, 0.9, 0.5, 0.98, 0.76), _shade(colour, 0.8))
    brush.polygon((0.32, 0.34, 0.52, 0.12, 0.6, 0.34), _shade(colour, 0.8))
    brush.ellipse((0.03, 0.26, 0.78, 0.74), colour)
    brush.ellipse((0.13, 0.38, 0.23, 0.48), (250, 250, 250))
    brush.ellipse((0.16, 0.41, 0.2, 0.46), _DARK)
    brush.pen.arc(brush.at(0.2, 0.3, 0.36, 0.7), -70, 70, fill=_shade(colour, 0.7), width=4)


def _chair(brush: _Brush, colour: RGB) -> None:
    brush.rectangle((0.22, 0.02, 0.74, 0.48), colour, 0.05)
    brush.polygon((0.2, 0.5, 0.76, 0.5, 0.86, 0.62, 0.12, 0.62), _shade(colour, 0.85))
    brush.rectangle((0.12, 0.61, 0.86, 0.66), _shade(colour, 0.65))
    for x in (0.14, 0.79):
        brush.rectangle((x, 0.64, x + 0.06, 0.99), _shade(colour, 0.7))
    for x in (0.27, 0.66):
        brush.rectangle((x, 0.64, x + 0.05, 0.9), _shade(colour, 0.55))


THINGS: dict[str, Callable[[_Brush, RGB], None]] = {
    "ball": _ball,
    "car": _car,
    "cup": _cup,
    "house": _house,
    "shirt": _shirt,
    "balloon": _balloon,
    "flower": _flower,
    "umbrella": _umbrella,
    "fish": _fish,
    "chair": _chair,
}
_NUMBERS = ("one", "two", "three", "four", "five")
_PLURALS = {"fish": "fish"}
_PAIRS: tuple[tuple[str, str], ...] = (
    ("ball", "chair"),
    ("car", "house"),
    ("cup", "flower"),
    ("fish", "balloon"),
    ("shirt", "ball"),
    ("balloon", "car"),
    ("flower", "chair"),
    ("house", "fish"),
    ("cup", "ball"),
    ("chair", "balloon"),
)
_RELATIONS: dict[str, tuple[Box, Box]] = {
    "above": ((0.29, 0.03, 0.71, 0.45), (0.29, 0.53, 0.71, 0.95)),
    "to the left of": ((0.04, 0.29, 0.46, 0.71), (0.54, 0.29, 0.96, 0.71)),
}


def _counted(number: int, thing: str) -> str:
    plural = _PLURALS.get(thing, f"{thing}s")
    return f"{_NUMBERS[number - 1]} {thing if number == 1 else plural}"


def _centred(share: float) -> Box:
    edge = (1 - share) / 2
    return edge, edge, 1 - edge, 1 - edge


def _cell(x: int, y: int, random_: random.Random) -> Box:
    """A box in one of 3 x 2 cells, a little off its middle."""
    left = x / 3 + 0.03 + random_.uniform(0, 0.03)
    top = y * 0.46 + 0.1 + random_.uniform(0, 0.08)
    return left, top, left + 0.26, top + 0.26


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
