"""library.images: what cannot become a picture gives a reason, and nothing else happens."""

from __future__ import annotations

import builtins
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from library.errors import MissingExtra, PictureError, TooManyPixels, UnreadablePicture
from library.images import decode, read_bytes
from tests.decoding import decoded, heic_bytes
from tests.pictures import (
    IGNORED,
    INDEXED,
    camera_exif,
    file_bytes,
    hostile_folder,
    jpeg_bytes,
    photo,
    png_bomb,
)
from tests.rawfiles import dng_bytes

_MAX_BYTES = 10_000_000


class TestLimits:
    def test_a_bomb_is_refused_by_its_header(self) -> None:
        with pytest.raises(TooManyPixels, match="50000 x 50000 pixels are 2,500 megapixels") as caught:
            decoded(png_bomb())
        assert "max_megapixels" in caught.value.hint

    def test_the_limit_itself_is_allowed(self) -> None:
        data = file_bytes(photo(1), "PNG")
        assert decode(data, name="", max_pixels=320 * 240).image.size == (320, 240)
        with pytest.raises(TooManyPixels):
            decode(data, name="", max_pixels=320 * 240 - 1)

    def test_a_reduced_decode_does_not_pass_the_limit_by(self) -> None:
        with pytest.raises(TooManyPixels):
            decode(jpeg_bytes(photo(1)), name="", max_pixels=1000, min_side_px=8)

    def test_a_text_chunk_that_explodes(self) -> None:
        from PIL import PngImagePlugin

        texts = PngImagePlugin.PngInfo()
        texts.add_text("comment", "0" * 5_000_000, zip=True)
        with pytest.raises(UnreadablePicture, match=r"damaged: .*too large"):
            decoded(file_bytes(photo(1), "PNG", pnginfo=texts))


class TestDamage:
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "PPM"])
    def test_a_file_cut_in_half(self, format: str) -> None:
        data = file_bytes(photo(1), format)
        with pytest.raises(UnreadablePicture, match=r"cut off|damaged") as caught:
            decoded(data[: len(data) // 2])
        assert caught.value.__cause__ is not None

    @pytest.mark.parametrize("format", ["JPEG", "PNG"])
    def test_a_cut_file_says_so(self, format: str) -> None:
        data = file_bytes(photo(1), format)
        with pytest.raises(UnreadablePicture, match=r"^the file is cut off: "):
            decoded(data[: len(data) // 2], min_side_px=64)

    def test_heic_and_avif_cut_in_half(self) -> None:
        for data in (heic_bytes(photo(1)), file_bytes(photo(1), "AVIF"), file_bytes(photo(1), "WEBP")):
            with pytest.raises(UnreadablePicture):
                decoded(data[: len(data) // 2])

    @pytest.mark.parametrize(
        "data", [b"words, not light", b"\0" * 4096, b"{}", b"%PDF-1.7\n", b"BM and more"]
    )
    def test_no_picture_at_all(self, data: bytes) -> None:
        for name in ("x.jpg", "x.heic", "x.nef", "x"):
            with pytest.raises(UnreadablePicture, match=r"^not a picture \("):
                decoded(data, name)

    def test_only_a_header(self) -> None:
        with pytest.raises(UnreadablePicture):
            decoded(jpeg_bytes(photo(1))[:20])

    def test_nothing(self) -> None:
        with pytest.raises(UnreadablePicture, match=r"^the file is empty \(0 bytes\)$"):
            decoded(b"")

    @given(st.data())
    def test_flipped_bytes_raise_nothing_but_picture_errors(self, data: st.DataObject) -> None:
        original = data.draw(st.sampled_from(_SMALL_FILES))
        content = bytearray(original)
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        try:
            picture = decode(bytes(content), name="x.dng", max_pixels=10_000_000, min_side_px=32)
        except PictureError:
            return
        assert picture.image.mode == "RGB"

    # Pillow warns of damaged metadata before it carries on; the suite would make an exception of that.
    pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


_SMALL_FILES = [
    jpeg_bytes(photo(1, (64, 48)), exif=camera_exif()),
    *(file_bytes(photo(1, (64, 48)), format) for format in ("PNG", "GIF", "TIFF", "WEBP", "BMP", "JPEG2000")),
]


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    real = builtins.__import__

    def importing(name: str, *args: object, **options: object) -> object:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", importing)


class TestExtras:
    def test_heic_without_its_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = heic_bytes(photo(1))
        monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
        hide(monkeypatch, "pillow_heif")
        with pytest.raises(MissingExtra, match="HEIC") as caught:
            decoded(data)
        assert caught.value.extra == "heic"

    def test_raw_without_its_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hide(monkeypatch, "rawpy")
        with pytest.raises(MissingExtra, match="RAW") as caught:
            decoded(dng_bytes(photo(1)), "x.dng")
        assert caught.value.extra == "raw"


def test_the_hostile_folder(tmp_path: Path) -> None:
    expected = hostile_folder(tmp_path)
    assert set(expected) == set(os.listdir(os.fsencode(tmp_path)))
    for name, outcome in expected.items():
        path = os.path.join(os.fsencode(tmp_path), name)
        if outcome == INDEXED:
            data = read_bytes(path, max_bytes=_MAX_BYTES)
            assert decoded(data, os.fsdecode(name)).image.size == (320, 240), name
        elif name.endswith(b".txt"):
            assert outcome == IGNORED
        else:
            with pytest.raises(PictureError):
                decoded(read_bytes(path, max_bytes=_MAX_BYTES), os.fsdecode(name))
