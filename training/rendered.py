"""Documents and screenshots drawn by code: receipts, letters, tables, code, chats, maps, forms and charts.

People photograph and store many of these, and captioned photo sets hold hardly any. The same arguments give the
same picture everywhere: the font is the one that comes with Pillow, and all chance is seeded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from library.fonts import Font, Typeface

RGB = tuple[int, int, int]
_FACE = Typeface(None)
_INK: RGB = (35, 36, 40)
_GREY: RGB = (130, 134, 140)
_ACCENTS: tuple[RGB, ...] = ((36, 98, 200), (200, 60, 50), (40, 140, 90), (230, 150, 40), (120, 70, 170))
_PAPERS: tuple[RGB, ...] = ((255, 255, 255), (250, 248, 240), (246, 246, 248))
_PROSE = (
    "we are writing to you about the order that was placed last week and would like to thank you for your patience "
    "while our team looked into it please find the details below and let us know if there is anything else that "
    "you need before the end of the month as the office will be closed with kind regards from all of us here"
)
_GOODS_TEXT = "milk bread butter apples coffee tea rice pasta eggs cheese soap paper water juice sugar"
_WORDS, _GOODS = _PROSE.split(), _GOODS_TEXT.split()


@dataclass(frozen=True, slots=True)
class Page:
    """One drawn page. `on_screen`: a screenshot, otherwise a document."""

    kind: str
    image: Image.Image
    on_screen: bool


def pages(each: int = 8) -> list[Page]:
    """`each` different pages of every kind, RGB. Every second document lies on a desk, as if photographed."""
    drawn = []
    for kind, (draw, on_screen) in KINDS.items():
        for variant in range(each):
            random_ = random.Random(f"{kind} {variant}")
            image = draw(random_)
            if not on_screen and variant % 2:
                image = _photographed(image, random_)
            drawn.append(Page(kind, image, on_screen))
    return drawn


class _Pen:
    """Draws on one page with the page's own chance."""

    def __init__(self, size: tuple[int, int], paper: RGB) -> None:
        self.image = Image.new("RGB", size, paper)
        self.draw = ImageDraw.Draw(self.image)
        self.width, self.height = size

    def write(
        self, at: tuple[float, float], text: str, size_px: int, ink: RGB = _INK, anchor: str = "la"
    ) -> None:
        self.draw.text(at, text, fill=ink, font=_font(size_px), anchor=anchor)

    def box(
        self, box: tuple[float, float, float, float], fill: RGB | None, outline: RGB | None = None
    ) -> None:
        self.draw.rectangle(box, fill=fill, outline=outline)


def _font(size_px: int) -> Font:
    return _FACE.at(size_px)


def _sentence(random_: random.Random, words: int) -> str:
    start = random_.randrange(len(_WORDS))
    text = " ".join(_WORDS[(start + i) % len(_WORDS)] for i in range(words))
    return text.capitalize()


def _money(random_: random.Random) -> str:
    return f"{random_.uniform(0.5, 60):.2f}"


def _receipt(random_: random.Random) -> Image.Image:
    lines = random_.randint(7, 14)
    pen = _Pen((360, 330 + lines * 30), random_.choice(_PAPERS))
    middle = pen.width / 2
    pen.write(
        (middle, 30),
        random_.choice(("CORNER MARKET", "CITY FOODS", "CAFE LUNA", "THE GROCER")),
        28,
        anchor="ma",
    )
    pen.write((middle, 66), f"Main Street {random_.randint(1, 99)}", 16, _GREY, "ma")
    pen.write((middle, 90), f"RECEIPT No {random_.randint(1000, 9999)}", 17, anchor="ma")
    y = 128.0
    for _ in range(lines):
        pen.write((26, y), f"{random_.randint(1, 3)} x {random_.choice(_GOODS)}", 18)
        pen.write((pen.width - 26, y), _money(random_), 18, anchor="ra")
        y += 30
    pen.draw.line((26, y + 6, pen.width - 26, y + 6), fill=_INK, width=2)
    pen.write((26, y + 18), "TOTAL", 26)
    pen.write((pen.width - 26, y + 18), _money(random_), 26, anchor="ra")
    pen.write((26, y + 58), "CARD   VAT 21 %", 16, _GREY)
    for x in range(60, pen.width - 60, 4):  # the bar code
        if random_.random() < 0.6:
            pen.box((x, y + 92, x + random_.choice((1, 2, 3)), y + 138), _INK)
    pen.write((middle, y + 150), "Thank you!", 18, anchor="ma")
    return pen.image


def _letter(random_: random.Random) -> Image.Image:
    pen = _Pen((620, 860), random_.choice(_PAPERS))
    left = random_.randint(60, 80)
    for i, line in enumerate(("Anna Novak", f"{random_.randint(2, 80)} Garden Road", "Springfield")):
        pen.write((left, 60 + i * 24), line, 17, _GREY)
    pen.write(
        (pen.width - 70, 170), f"{random_.randint(1, 28)} March 20{random_.randint(10, 25)}", 17, anchor="ra"
    )
    pen.write((left, 230), random_.choice(("Dear Sir or Madam,", "Dear Peter,", "Dear customer,")), 19)
    y = 275.0
    for _ in range(random_.randint(2, 4)):
        for _ in range(random_.randint(3, 5)):
            pen.write((left, y), _sentence(random_, 9), 17)
            y += 26
        y += 18
    pen.write((left, y + 10), "Yours sincerely,", 19)
    points = [(left + i * 9, y + 70 + random_.uniform(-16, 16)) for i in range(16)]
    pen.draw.line(points, fill=(30, 40, 130), width=3, joint="curve")  # the signature
    return pen.image


def _table(random_: random.Random) -> Image.Image:
    columns, rows = random_.randint(4, 6), random_.randint(12, 18)
    pen = _Pen((860, 60 + rows * 34), (255, 255, 255))
    accent, width = random_.choice(_ACCENTS), (pen.width - 60) / columns
    pen.box((40, 30, pen.width - 20, 64), accent)
    for column in range(columns):
        head = ("Name", "Price", "Number", "Date", "Sum", "Share")[column]
        pen.write((48 + column * width, 38), head, 18, (255, 255, 255))
        for row in range(1, rows):
            cell = random_.choice(_GOODS).capitalize() if column == 0 else str(random_.randint(1, 9999))
            pen.write((48 + column * width, 38 + row * 34), cell, 17)
    for row in range(rows + 1):
        pen.draw.line((40, 30 + row * 34, pen.width - 20, 30 + row * 34), fill=(200, 203, 208))
        if 0 < row < rows:
            pen.write((34, 38 + row * 34), str(row), 14, _GREY, "ra")
    for column in range(columns + 1):
        x = 40 + column * width
        pen.draw.line((x, 30, x, 30 + rows * 34), fill=(200, 203, 208))
    return pen.image


def _code(random_: random.Random) -> Image.Image:
    dark = random_.choice((True, True, False))
    paper, ink = ((30, 32, 40), (212, 214, 220)) if dark else ((255, 255, 255), (40, 44, 52))
    pen = _Pen((640, 600), paper)
    pen.box((0, 0, pen.width, 34), (48, 51, 62) if dark else (228, 230, 235))
    for i, colour in enumerate(((235, 95, 86), (245, 190, 60), (95, 200, 80))):
        pen.draw.ellipse((14 + i * 24, 10, 28 + i * 24, 24), fill=colour)
    pen.write(
        (pen.width / 2, 8), random_.choice(("main.py", "index.js", "server.go", "parser.rs")), 15, ink, "ma"
    )
    indent, y = 0, 50.0
    for number in range(1, 23):
        pen.write((44, y), str(number), 16, _GREY, "ra")
        text = random_.choice(_CODE_LINES)
        indent = max(0, min(3, indent + (1 if text.endswith(":") else random_.choice((0, 0, -1)))))
        x = 62.0 + 28 * indent
        for word in text.split(" "):
            colour = _CODE_INKS.get(word, (152, 195, 121) if '"' in word else ink)
            x = _monospaced(pen, (x, y), word + " ", colour if dark or colour == ink else _darker(colour))
        y += 24
    return pen.image


def _monospaced(pen: _Pen, at: tuple[float, float], text: str, ink: RGB) -> float:
    """One letter a cell, as editors show code; returns where the next one goes."""
    x, y = at
    for letter in text:
        pen.write((x + 4.5, y), letter, 16, ink, "ma")
        x += 9.5
    return x


def _darker(colour: RGB) -> RGB:
    red, green, blue = (value * 2 // 3 for value in colour)
    return red, green, blue


def _chat(random_: random.Random) -> Image.Image:
    dark = random_.random() < 0.3
    paper: RGB = (22, 26, 32) if dark else (236, 239, 243)
    mine, theirs = random_.choice(_ACCENTS), ((52, 58, 68) if dark else (255, 255, 255))
    pen = _Pen((460, 860), paper)
    pen.box((0, 0, pen.width, 70), theirs)
    pen.draw.ellipse((18, 14, 60, 56), fill=random_.choice(_ACCENTS))
    ink: RGB = (240, 240, 242) if dark else _INK
    pen.write((76, 18), random_.choice(("Mum", "Tom", "Sarah", "Football team")), 22, ink)
    pen.write((76, 45), "online", 14, _GREY)
    y, is_mine = 90.0, False
    while y < pen.height - 150:
        is_mine = random_.random() < 0.5
        lines = [_sentence(random_, random_.randint(2, 4)) for _ in range(random_.randint(1, 3))]
        width = max(pen.draw.textlength(line, font=_font(18)) for line in lines) + 32
        left = pen.width - width - 16 if is_mine else 16
        bottom = y + 20 + 26 * len(lines)
        pen.draw.rounded_rectangle((left, y, left + width, bottom), 16, fill=mine if is_mine else theirs)
        for i, line in enumerate(lines):
            pen.write((left + 16, y + 8 + i * 26), line, 18, (255, 255, 255) if is_mine else ink)
        y = bottom + 14
    pen.draw.rounded_rectangle((16, pen.height - 62, pen.width - 76, pen.height - 16), 22, fill=theirs)
    pen.write((36, pen.height - 50), "Message", 18, _GREY)
    pen.draw.ellipse((pen.width - 64, pen.height - 62, pen.width - 18, pen.height - 16), fill=mine)
    return pen.image


def _map(random_: random.Random) -> Image.Image:
    pen = _Pen((760, 640), (240, 236, 226))
    for _ in range(3):  # parks
        x, y = random_.randrange(pen.width), random_.randrange(pen.height)
        pen.box((x, y, x + random_.randint(80, 200), y + random_.randint(60, 150)), (200, 226, 180))
    bend = [(x, pen.height * 0.5 + 150 * math.sin(x / 170 + random_.random())) for x in range(-40, 840, 40)]
    pen.draw.line(bend, fill=(160, 200, 230), width=random_.randint(30, 60), joint="curve")  # a river
    for _ in range(14):
        start = (random_.uniform(-50, 810), random_.choice((-20.0, 660.0)))
        end = (random_.uniform(-50, 810), 640.0 - start[1])
        _road(pen, start, end, random_.choice((6, 8)), (255, 255, 255))
    for _ in range(9):
        left = random_.uniform(0, 640)
        _road(
            pen,
            (-20, left),
            (780, left + random_.uniform(-120, 120)),
            random_.choice((6, 8)),
            (255, 255, 255),
        )
    _road(pen, (-20, random_.uniform(0, 640)), (780, random_.uniform(0, 640)), 14, (250, 205, 100))
    for name in random_.sample(_PLACES, 7):
        pen.write(
            (random_.randrange(60, 640), random_.randrange(30, 600)), name, random_.choice((15, 18, 24))
        )
    x, y = random_.randrange(200, 560), random_.randrange(160, 480)  # the pin
    pen.draw.polygon((x - 16, y - 36, x + 16, y - 36, x, y), fill=(220, 50, 40))
    pen.draw.ellipse((x - 18, y - 58, x + 18, y - 22), fill=(220, 50, 40))
    pen.draw.ellipse((x - 7, y - 47, x + 7, y - 33), fill=(255, 255, 255))
    return pen.image


def _road(pen: _Pen, start: tuple[float, float], end: tuple[float, float], width: int, fill: RGB) -> None:
    pen.draw.line((*start, *end), fill=(205, 200, 190), width=width + 4)
    pen.draw.line((*start, *end), fill=fill, width=width)


def _form(random_: random.Random) -> Image.Image:
    pen = _Pen((640, 860), random_.choice(_PAPERS))
    pen.write((50, 46), random_.choice(("APPLICATION FORM", "REGISTRATION", "TAX RETURN", "ORDER FORM")), 28)
    pen.write((50, 86), "Please complete in block letters", 16, _GREY)
    y = 130
    for label in random_.sample(_FIELDS, 7):
        pen.write((50, y), label, 16)
        pen.box((50, y + 22, 590, y + 56), (255, 255, 255), _GREY)
        if random_.random() < 0.5:
            pen.write((60, y + 29), _sentence(random_, 3).upper(), 18, (30, 40, 130))
        y += 76
    for i, label in enumerate(("Yes", "No", "I agree to the terms")):
        x = 50 + i * 110
        pen.box((x, y, x + 20, y + 20), (255, 255, 255), _INK)
        if random_.random() < 0.5:
            pen.draw.line((x + 3, y + 10, x + 9, y + 17, x + 18, y + 2), fill=(30, 40, 130), width=3)
        pen.write((x + 28, y + 1), label, 16)
    pen.draw.line((50, y + 90, 300, y + 90), fill=_INK)
    pen.write((50, y + 96), "Signature", 14, _GREY)
    return pen.image


def _chart(random_: random.Random) -> Image.Image:
    pen = _Pen((800, 560), (255, 255, 255))
    title = random_.choice(("Sales by month", "Visitors per year", "Temperature", "Revenue"))
    pen.write((pen.width / 2, 26), title, 28, anchor="ma")
    if random_.random() < 0.25:
        _pie(pen, random_)
        return pen.image
    for i in range(6):
        y = 460 - i * 70
        pen.draw.line((80, y, 760, y), fill=(222, 225, 230))
        pen.write((70, y), str(i * 20), 15, _GREY, "rm")
    values = [random_.randint(20, 340) for _ in range(9)]
    for i, month in enumerate(("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep")):
        pen.write((118 + i * 74, 470), month, 15, _GREY, "ma")
    if random_.random() < 0.5:
        accent = random_.choice(_ACCENTS)
        for i, value in enumerate(values):
            pen.box((94 + i * 74, 460 - value, 142 + i * 74, 460), accent)
    else:
        for accent in random_.sample(_ACCENTS, 2):
            line = [(118 + i * 74, 460 - random_.choice(values)) for i in range(9)]
            pen.draw.line(line, fill=accent, width=4, joint="curve")
    pen.draw.line((80, 100, 80, 460, 760, 460), fill=_INK, width=2)
    return pen.image


def _pie(pen: _Pen, random_: random.Random) -> None:
    angle = random_.uniform(0, 360)
    parts = [random_.uniform(0.5, 2) for _ in _ACCENTS]
    for i, (part, colour) in enumerate(zip(parts, _ACCENTS, strict=True)):
        turn = 360 * part / sum(parts)
        pen.draw.pieslice((120, 110, 500, 490), angle, angle + turn, fill=colour, outline=(255, 255, 255))
        pen.box((560, 180 + i * 44, 584, 204 + i * 44), colour)
        pen.write((596, 184 + i * 44), f"{_GOODS[i].capitalize()} {turn / 3.6:.0f} %", 18)
        angle += turn


def _photographed(page: Image.Image, random_: random.Random) -> Image.Image:
    """The page a little turned on a desk, with a shadow and uneven light."""
    width, height = page.width + 160, page.height + 160
    wood = random_.choice(((120, 84, 56), (90, 92, 98), (176, 146, 112), (60, 52, 48)))
    desk = Image.new("RGB", (width, height), wood)
    noise = np.random.default_rng(random_.getrandbits(32)).normal(128, 40, (height, width // 40 + 1))
    grain = Image.fromarray(noise.clip(0, 255).astype(np.uint8)).resize((width, height))
    desk = Image.blend(desk, Image.merge("RGB", (grain,) * 3), 0.12)
    mask = Image.new("L", (width, height), 0)
    mask.paste(255, (80, 80, 80 + page.width, 80 + page.height))
    sheet = desk.copy()
    sheet.paste(page, (80, 80))
    angle = random_.uniform(-12, 12)
    mask = mask.rotate(angle, Image.Resampling.BICUBIC)
    shadow = mask.filter(ImageFilter.GaussianBlur(14)).point(lambda value: value * 0.5)
    desk.paste((20, 18, 16), (8, 12), shadow)
    desk.paste(sheet.rotate(angle, Image.Resampling.BICUBIC), (0, 0), mask)
    light = Image.linear_gradient("L").rotate(random_.choice((0, 90, 180, 270))).resize(desk.size)
    dim = Image.eval(desk, lambda value: int(value * 0.7))
    return Image.composite(desk, dim, light)


_PLACES = (
    "Old Town",
    "Station",
    "Park",
    "River Street",
    "Harbour",
    "Mill Lane",
    "Museum",
    "High Street",
    "Airport",
)
_FIELDS = (
    "Surname",
    "First name",
    "Date of birth",
    "Address",
    "Town",
    "Telephone",
    "E-mail",
    "Account",
    "Nationality",
)
_CODE_LINES = (
    "def load(path, size):",
    "for item in items:",
    "if result is None:",
    "return value + 1",
    "import numpy as np",
    'print("done", count)',
    "while left < right:",
    "x = matrix[i, j] * 2",
    "# the last one wins",
    "class Reader(Base):",
    'raise ValueError("no such file")',
    "total += len(rows)",
    "",
)
_CODE_INKS: dict[str, RGB] = {
    **dict.fromkeys(
        ("def", "for", "in", "if", "is", "while", "class", "return", "raise", "import"), (198, 120, 221)
    ),
    **dict.fromkeys(("None", "1", "2", "as"), (209, 154, 102)),
    **dict.fromkeys(("#", "the", "last", "one", "wins"), (110, 118, 130)),
}
# What each page shows, how it is drawn, and whether it is a screenshot.
KINDS: dict[str, tuple[Callable[[random.Random], Image.Image], bool]] = {
    "receipt": (_receipt, False),
    "letter": (_letter, False),
    "form": (_form, False),
    "chart": (_chart, False),
    "table": (_table, True),
    "program code": (_code, True),
    "chat": (_chat, True),
    "map": (_map, True),
}
