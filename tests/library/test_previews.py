"""library.previews: thumbnails are small and true, perceptual hashes near for copies and far for others."""

from __future__ import annotations

import sqlite3
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from library.images import decode
from library.previews import hamming, perceptual_hash, thumbnail
from tests.pictures import file_bytes, jpeg_bytes, photo

_SIGNED = st.integers(-(2**63), 2**63 - 1)


def opened(data: bytes) -> Image.Image:
    picture = decode(data, name="", max_pixels=1_000_000)
    assert picture.facts.format == "WEBP"
    return picture.image


class TestThumbnail:
    @pytest.mark.parametrize(
        ("size", "shown"),
        [
            ((1000, 500), (256, 128)),
            ((500, 1000), (128, 256)),
            ((256, 256), (256, 256)),
            ((3000, 2), (256, 1)),
        ],
    )
    def test_fits(self, size: tuple[int, int], shown: tuple[int, int]) -> None:
        assert opened(thumbnail(photo(1, size))).size == shown

    def test_is_not_enlarged(self) -> None:
        assert opened(thumbnail(photo(1, (40, 30)))).size == (40, 30)

    def test_looks_like_the_picture_and_is_small(self) -> None:
        data = thumbnail(photo(2, (1024, 768)))
        reference = photo(2, (1024, 768)).resize((256, 192), Image.Resampling.LANCZOS)
        gap = np.abs(np.asarray(opened(data)).astype(float) - np.asarray(reference).astype(float)).mean()
        assert gap < 4
        assert len(data) < 10_000

    def test_side(self) -> None:
        assert opened(thumbnail(photo(1), side_px=64)).size == (64, 48)


class TestPerceptualHash:
    @pytest.mark.parametrize("seed", range(10))
    def test_copies_are_near(self, seed: int) -> None:
        original = photo(seed, (800, 600))
        copies = [
            original.resize((400, 300)),
            original.resize((123, 97)),
            decode(jpeg_bytes(original, quality=40), name="", max_pixels=10**6).image,
            decode(jpeg_bytes(original), name="", max_pixels=10**6, min_side_px=80).image,
            opened(thumbnail(original)),
        ]
        for copy in copies:
            assert hamming(perceptual_hash(original), perceptual_hash(copy)) <= 6

    def test_other_pictures_are_far(self) -> None:
        hashes = [perceptual_hash(photo(seed)) for seed in range(24)]
        assert min(hamming(a, b) for a, b in combinations(hashes, 2)) > 10

    def test_is_imagehash_of_the_small_version(self) -> None:
        import imagehash

        for seed in range(8):
            plain = int(str(imagehash.phash(photo(seed, (900, 700)))), 16)
            assert hamming(perceptual_hash(photo(seed, (900, 700))), plain) <= 4

    def test_fits_into_sqlite_with_its_sign(self) -> None:
        hashes = [perceptual_hash(photo(seed)) for seed in range(12)]
        assert min(hashes) < 0  # the first bit is that of the mean brightness, so it is nearly always set
        with sqlite3.connect(":memory:") as connection:
            rows = [connection.execute("select ?", (value,)).fetchone()[0] for value in hashes]
        connection.close()
        assert rows == hashes

    @pytest.mark.parametrize("size", [(1, 1), (5000, 1), (63, 65), (64, 64)])
    def test_any_size(self, size: tuple[int, int]) -> None:
        assert -(2**63) <= perceptual_hash(Image.new("RGB", size, "red")) < 2**63

    def test_png_and_jpeg_of_one_picture_agree(self) -> None:
        pair = (file_bytes(photo(3), "PNG"), jpeg_bytes(photo(3)))
        first, second = (perceptual_hash(decode(d, name="", max_pixels=10**6).image) for d in pair)
        assert hamming(first, second) <= 4


class TestHamming:
    @given(_SIGNED, _SIGNED)
    def test_against_counting_by_hand(self, a: int, b: int) -> None:
        bits = zip(f"{a % 2**64:064b}", f"{b % 2**64:064b}", strict=True)
        assert hamming(a, b) == hamming(b, a) == sum(x != y for x, y in bits)

    def test_extremes(self) -> None:
        assert hamming(-1, 0) == 64
        assert hamming(-(2**63), 2**63 - 1) == 64
        assert hamming(-5, -5) == 0
