"""library.images: every kind of file becomes an upright RGB picture."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from library.errors import PictureError, UnreadablePicture
from tests.decoding import decoded, difference, heic_bytes, pixels, turned
from tests.pictures import (
    deep_grey,
    file_bytes,
    jpeg_bytes,
    oriented_copies,
    photo,
    png_bomb,
)


class TestFormats:
    @pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "TGA", "QOI"])
    def test_lossless_formats_give_the_very_pixels(self, format: str) -> None:
        picture = decoded(file_bytes(photo(1), format), name="x." + format.lower())
        assert difference(picture.image, photo(1)) == 0
        assert (picture.facts.width, picture.facts.height, picture.facts.format) == (320, 240, format)

    @pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "JPEG2000", "GIF"])
    def test_lossy_formats_come_close(self, format: str) -> None:
        picture = decoded(file_bytes(photo(2), format))
        assert difference(picture.image, photo(2)) < 5
        assert picture.facts.format == format

    def test_heic(self) -> None:
        data = heic_bytes(photo(3))
        picture = decoded(data)
        assert difference(picture.image, photo(3)) < 4
        assert picture.facts.format == "HEIF"

    @pytest.mark.parametrize("orientation", [1, 3, 6, 8])
    def test_heic_is_turned_once(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = decoded(heic_bytes(photo(3), exif=exif.tobytes()))
        shown = photo(3) if orientation == 1 else turned(photo(3), orientation)
        assert difference(picture.image, shown) < 4
        assert (picture.facts.width, picture.facts.height) == shown.size

    @pytest.mark.parametrize("orientation", [1, 2, 6])
    def test_avif_is_turned_once(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = decoded(file_bytes(photo(3), "AVIF", exif=exif.tobytes()))
        shown = photo(3) if orientation == 1 else turned(photo(3), orientation)
        assert difference(picture.image, shown) < 4

    def test_the_content_counts_not_the_name(self) -> None:
        data = file_bytes(photo(4), "PNG")
        for name in ("x.jpg", "x.heic", "x.arw", "x", "x.tga"):
            assert difference(decoded(data, name).image, photo(4)) == 0

    def test_of_an_animation_the_first_frame(self) -> None:
        for format in ("GIF", "WEBP", "PNG", "AVIF"):
            data = file_bytes(photo(5), format, save_all=True, append_images=[photo(6), photo(7)])
            assert difference(decoded(data).image, photo(5)) < 5

    def test_a_jpeg_with_more_pictures_behind_it(self) -> None:
        data = file_bytes(photo(5), "MPO", save_all=True, append_images=[photo(6)])
        assert difference(decoded(data, min_side_px=64).image, photo(5).resize((160, 120))) < 5

    def test_postscript_is_never_run(self) -> None:
        with pytest.raises(UnreadablePicture, match="not a picture"):
            decoded(file_bytes(photo(1), "EPS"), name="x.eps")


class TestOrientation:
    def test_all_eight_show_the_same_picture(self) -> None:
        for orientation, data in oriented_copies(photo(8)).items():
            picture = decoded(data)
            assert difference(picture.image, photo(8)) < 4, orientation
            assert (picture.facts.width, picture.facts.height) == (320, 240)
            assert picture.facts.orientation == orientation

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_against_the_reference(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = decoded(file_bytes(photo(9), "PNG", exif=exif))
        assert difference(picture.image, turned(photo(9), orientation)) == 0

    def test_nothing_is_left_to_turn_it_again(self) -> None:
        image = decoded(jpeg_bytes(photo(8), orientation=6)).image
        assert image.getexif().get(0x0112) is None
        assert image.info == {}

    @pytest.mark.parametrize("nonsense", [0, 9, 4711])
    def test_nonsense_is_upright(self, nonsense: int) -> None:
        picture = decoded(jpeg_bytes(photo(8), orientation=nonsense))
        assert picture.image.size == (320, 240)
        assert picture.facts.orientation == 1


class TestModes:
    def test_transparent_parts_are_white(self) -> None:
        image = photo(10).convert("RGBA")
        image.paste((255, 0, 0, 0), (0, 0, 160, 240))
        for format in ("PNG", "WEBP", "TIFF", "AVIF"):
            shown = pixels(decoded(file_bytes(image, format)).image)
            assert shown[:, :150].min() > 245
            assert np.abs(shown[:, 170:] - pixels(photo(10))[:, 170:]).mean() < 5

    def test_half_transparent_black_is_grey(self) -> None:
        data = file_bytes(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG")
        assert decoded(data).image.getpixel((4, 4)) == (127, 127, 127)

    def test_palette_with_a_transparent_entry(self) -> None:
        image = photo(11).quantize(8)
        index = image.getpixel((0, 0))
        shown = decoded(file_bytes(image, "PNG", transparency=index)).image
        assert shown.getpixel((0, 0)) == (255, 255, 255)
        opaque = np.asarray(image) != index
        assert (pixels(shown)[opaque] == pixels(image.convert("RGB"))[opaque]).all()

    def test_palette_with_partial_transparency(self) -> None:
        image = photo(11).quantize(8)
        shown = decoded(file_bytes(image, "PNG", transparency=bytes([0] * 4 + [255] * 4))).image
        assert (pixels(shown)[np.asarray(image) < 4] == 255).all()

    def test_one_colour_of_rgb_declared_transparent(self) -> None:
        data = file_bytes(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
        assert decoded(data).image.getpixel((0, 0)) == (255, 255, 255)

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_deep_grey_is_scaled_not_clipped(self, format: str) -> None:
        image = deep_grey(12)
        shown = pixels(decoded(file_bytes(image, format)).image)[..., 0]
        wanted = np.asarray(image).astype(np.float64) / 257
        assert np.abs(shown - wanted).max() <= 0.51

    def test_32_bit_integers(self) -> None:
        ramp = np.arange(0, 65536, 256, dtype=np.int32).reshape(16, 16)
        shown = pixels(decoded(file_bytes(Image.fromarray(ramp), "TIFF")).image)[..., 0]
        assert np.abs(shown - ramp / 257).max() <= 0.51

    @pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
    def test_floating_point(self, top: float) -> None:
        ramp = np.linspace(0, top, 256, dtype=np.float32).reshape(16, 16)
        shown = pixels(decoded(file_bytes(Image.fromarray(ramp), "TIFF")).image)[..., 0]
        assert np.abs(shown.ravel() - np.arange(256)).max() <= 1

    def test_floating_point_of_odd_range_and_holes(self) -> None:
        ramp = np.linspace(-5, 5, 256, dtype=np.float32).reshape(16, 16)
        ramp[3, 3] = np.nan
        shown = pixels(decoded(file_bytes(Image.fromarray(ramp), "TIFF")).image)[..., 0]
        assert shown.min() == 0
        assert shown.max() == 255
        flat = Image.fromarray(np.full((4, 4), -2, np.float32))
        assert decoded(file_bytes(flat, "TIFF")).image.getpixel((0, 0)) == (0, 0, 0)

    @pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "CMYK", "YCbCr", "LAB"])
    def test_every_other_mode_becomes_rgb(self, mode: str) -> None:
        image = in_mode(photo(13), mode)
        picture = decoded(file_bytes(image, "TIFF"))
        reference = photo(13) if mode == "LAB" else image.convert("RGB")
        assert difference(picture.image, reference) < 3

    def test_cmyk_jpeg_is_not_a_negative(self) -> None:
        picture = decoded(file_bytes(photo(14).convert("CMYK"), "JPEG", quality=95))
        assert difference(picture.image, photo(14)) < 5


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode != "LAB":
        return image.convert(mode)
    from PIL import ImageCms

    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
    assert converted is not None
    return converted


class TestReducedDecode:
    def test_a_large_jpeg_comes_reduced_but_says_its_full_size(self) -> None:
        picture = decoded(jpeg_bytes(photo(15, (2000, 1500)), orientation=6), min_side_px=448)
        assert picture.image.size == (750, 1000)
        assert (picture.facts.width, picture.facts.height) == (1500, 2000)

    @pytest.mark.parametrize("side", [447, 448, 449, 895, 896, 900, 1800, 3584])
    def test_the_shorter_side_never_falls_below(self, side: int) -> None:
        data = jpeg_bytes(Image.new("RGB", (side + 7, side)))
        assert min(decoded(data, min_side_px=448).image.size) >= min(448, side)

    @pytest.mark.parametrize("seed", range(4))
    def test_what_the_model_sees_hardly_differs(self, seed: int) -> None:
        data = jpeg_bytes(noisy(photo(seed, (1999, 1501))))
        full, reduced = (
            pixels(decoded(data, min_side_px=side).image.resize((224, 224), Image.Resampling.BICUBIC))
            for side in (None, 448)
        )
        assert np.abs(full - reduced).mean() < 1.0
        full, reduced = full - full.mean(), reduced - reduced.mean()
        assert (full * reduced).sum() / np.linalg.norm(full) / np.linalg.norm(reduced) > 0.999

    def test_other_formats_come_whole(self) -> None:
        data = file_bytes(photo(15, (1000, 900)), "PNG")
        assert decoded(data, min_side_px=100).image.size == (1000, 900)


def noisy(image: Image.Image) -> Image.Image:
    grain = np.random.default_rng(0).normal(0, 8, (image.height, image.width, 3))
    return Image.fromarray((pixels(image) + grain).clip(0, 255).astype(np.uint8))


def test_many_threads_give_what_one_gives() -> None:
    files = [
        file_bytes(photo(n), format) for n in range(6) for format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF")
    ]
    files += [heic_bytes(photo(n)) for n in range(4)] + [png_bomb()] * 3

    def outcome(data: bytes) -> bytes | str:
        try:
            return decoded(data, min_side_px=64).image.tobytes()
        except PictureError as error:
            return error.message

    alone = [outcome(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, files * 3)) == alone * 3
