"""library.sheets: pictures stand where they should, whole and undistorted, and captions stay in their cells."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from library import fonts
from library.errors import UnreadablePicture
from library.fonts import Typeface, typeface_for
from library.previews import thumbnail
from library.sheets import Cell, Section, contact_sheet
from tests.pictures import photo

_RED = (255, 0, 0)


def red(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, _RED)


def red_box(sheet: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of all that is purely red."""
    rows, columns = np.nonzero((np.asarray(sheet) == _RED).all(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


class TestLayout:
    def test_the_width_is_that_of_the_columns(self) -> None:
        few = contact_sheet([Section("", [Cell(photo(1))])], columns=4, cell_px=100)
        many = contact_sheet([Section("", [Cell(photo(1))] * 9)], columns=4, cell_px=100)
        assert few.mode == "RGB"
        assert few.width == many.width == 4 * 100 + 3 * 24 + 2 * 40
        assert many.height == few.height + 2 * (100 + 24)

    @pytest.mark.parametrize(("size", "shown"), [((400, 200), (200, 100)), ((200, 400), (100, 200))])
    def test_pictures_keep_their_shape_and_are_centred(
        self, size: tuple[int, int], shown: tuple[int, int]
    ) -> None:
        sheet = contact_sheet([Section("", [Cell(red(size))])], columns=1, cell_px=200)
        left, top, right, bottom = red_box(sheet)
        assert (right - left, bottom - top) == pytest.approx(shown, abs=2)  # the frame lies on the edge
        assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((140, 140), abs=1)

    def test_small_pictures_are_not_blown_up(self) -> None:
        left, _, right, _ = red_box(contact_sheet([Section("", [Cell(red((20, 20)))])], columns=1))
        assert right - left == 40

    def test_the_background_is_white_and_corners_are_round(self) -> None:
        sheet = contact_sheet([Section("", [Cell(red((50, 50)))])], columns=1, cell_px=50)
        assert sheet.getpixel((0, 0)) == sheet.getpixel((40, 40)) == (255, 255, 255)
        assert sheet.getpixel((65, 65)) == _RED

    def test_titles_and_captions_take_room(self) -> None:
        plain = contact_sheet([Section("", [Cell(photo(1))])])
        titled = contact_sheet([Section("cats", [Cell(photo(1))])])
        both = contact_sheet([Section("cats", [Cell(photo(1), "one\ntwo")])], title="pets")
        assert plain.height < titled.height < both.height

    def test_nothing_to_show(self) -> None:
        assert contact_sheet([]).size == contact_sheet([Section("", [])]).size

    @pytest.mark.parametrize("wrong", [{"columns": 0}, {"cell_px": 3}])
    def test_impossible_sizes(self, wrong: dict[str, int]) -> None:
        with pytest.raises(ValueError, match="at least one column"):
            contact_sheet([], **wrong)  # type: ignore[arg-type]


class TestCells:
    def test_bytes_are_decoded(self) -> None:
        sheet = contact_sheet([Section("", [Cell(thumbnail(red((300, 300))))])], columns=1)
        assert sheet.convert("L").getpixel((150, 150)) == pytest.approx(76, abs=4)  # the luma of pure red

    def test_bytes_that_are_no_picture(self) -> None:
        with pytest.raises(UnreadablePicture):
            contact_sheet([Section("", [Cell(b"words")])])

    def test_other_modes(self) -> None:
        sheet = contact_sheet([Section("", [Cell(photo(1).convert("L")), Cell(photo(2).convert("P"))])])
        assert sheet.mode == "RGB"

    def test_an_accent_shows(self) -> None:
        calm, marked = (contact_sheet([Section("", [Cell(photo(1), "a", accent=a)])]) for a in (False, True))
        blue = [int((np.asarray(s) == (31, 111, 235)).all(axis=2).sum()) for s in (calm, marked)]
        assert blue[0] == 0
        assert blue[1] > 1000

    @pytest.mark.parametrize("caption", ["w" * 500, "kočka — " * 40, "日本" * 60])
    def test_a_long_caption_stays_in_its_cell(self, caption: str) -> None:
        sheet = contact_sheet([Section("", [Cell(red((100, 100)), caption)])], columns=3, cell_px=120)
        ink = np.asarray(sheet.convert("L"))[162:, :]
        columns = np.nonzero((ink < 250).any(axis=0))[0]
        assert columns.min() >= 39
        assert columns.max() <= 161

    @pytest.mark.parametrize("caption", ["\x07\udcff\ud800", "a\tb", "\u200d", "😀🏳️‍🌈", "\n\n", ""])
    def test_odd_captions_never_raise(self, caption: str) -> None:
        assert contact_sheet([Section(caption, [Cell(photo(1), caption)])], title=caption).height > 0


class TestFonts:
    def test_plain_text_takes_the_font_that_ships_with_pillow(self) -> None:
        assert typeface_for(["A plain title", "IMG_0001.jpg"]) == Typeface(None)

    def test_what_the_font_has(self) -> None:
        assert Typeface(None).has("k")
        assert not Typeface(None).has("č")
        assert Typeface(None).drawable("kočka — 2×\x07") == "kocka - 2x?"

    def test_other_letters_take_a_font_of_the_system(self) -> None:
        found = typeface_for(["kočka — léto"])
        if found.file is None:
            pytest.skip("no font of this system has Czech letters")
        assert found.drawable("kočka — léto") == "kočka — léto"
        assert found.drawable("koc\u030cka") == "kočka"

    def test_without_any_font_of_the_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fonts, "_SYSTEM_FONTS", ("no-such-font.ttf",))
        assert typeface_for(["kočka"]) == Typeface(None)
