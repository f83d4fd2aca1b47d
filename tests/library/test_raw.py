"""library.raw: camera RAW files come upright, by their preview or developed."""

from __future__ import annotations

import pytest

from library.errors import TooManyPixels, UnreadablePicture
from library.images import decode
from tests.decoding import correlation, decoded, difference, turned
from tests.pictures import (
    file_bytes,
    photo,
)
from tests.rawfiles import dng_bytes


class TestRaw:
    @pytest.mark.parametrize("orientation", [1, 3, 6, 8])
    @pytest.mark.parametrize("preview_size", [None, (640, 480), (160, 120)])
    def test_dng_is_upright(self, orientation: int, preview_size: tuple[int, int] | None) -> None:
        pytest.importorskip("rawpy")
        data = dng_bytes(photo(16, (960, 720)), orientation=orientation, preview_size=preview_size)
        picture = decoded(data, "x.DNG")
        shown = turned(photo(16, (960, 720)), orientation)
        assert (picture.facts.width, picture.facts.height) == shown.size
        assert (picture.facts.format, picture.facts.orientation) == ("RAW", orientation)
        assert picture.facts.taken_at == "2022-05-06T07:08:09"
        assert picture.facts.camera_model == "Okular RAW"
        assert min(picture.image.size) == (480 if preview_size == (640, 480) else 360)
        assert correlation(picture.image, shown.resize(picture.image.size)) > 0.85

    def test_a_preview_that_stands_already_is_left_alone(self) -> None:
        pytest.importorskip("rawpy")
        data = dng_bytes(photo(16, (960, 720)), orientation=6, preview_size=(480, 640))
        picture = decoded(data, "x.dng")
        assert difference(picture.image, photo(16, (960, 720)).resize((480, 640))) < 5

    def test_a_plain_tiff_named_raw(self) -> None:
        pytest.importorskip("rawpy")
        assert difference(decoded(file_bytes(photo(1), "TIFF"), "x.nef").image, photo(1)) == 0

    def test_the_pixel_limit_is_that_of_the_sensor(self) -> None:
        pytest.importorskip("rawpy")
        with pytest.raises(TooManyPixels):
            decode(dng_bytes(photo(1), preview_size=(64, 48)), name="x.dng", max_pixels=10_000)

    def test_cut_off(self) -> None:
        pytest.importorskip("rawpy")
        data = dng_bytes(photo(1))
        with pytest.raises(UnreadablePicture):
            decoded(data[:1000], "x.dng")
