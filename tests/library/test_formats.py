"""library.formats: pictures are known by their suffix or their first bytes."""

from __future__ import annotations

import pytest

from library.images import PICTURE_SUFFIXES, RAW_SUFFIXES, looks_like_picture
from tests.decoding import heic_bytes
from tests.pictures import (
    file_bytes,
    photo,
)


class TestSuffixesAndHeads:
    def test_suffixes(self) -> None:
        assert RAW_SUFFIXES < PICTURE_SUFFIXES
        assert all(s.startswith(b".") and s == s.lower() for s in PICTURE_SUFFIXES)
        assert {b".jpg", b".heic", b".avif", b".cr3", b".tga"} <= PICTURE_SUFFIXES
        assert not PICTURE_SUFFIXES & {b".ico", b".txt", b".mp4", b".svg", b".pdf", b".xmp", b""}

    @pytest.mark.parametrize(
        "format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI"]
    )
    def test_known_heads(self, format: str) -> None:
        assert looks_like_picture(file_bytes(photo(1), format)[:32])

    def test_heads_of_heic_and_raw(self) -> None:
        assert looks_like_picture(heic_bytes(photo(1))[:32])
        assert looks_like_picture(b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom")
        assert looks_like_picture(b"FUJIFILMCCD-RAW 0201FF383501")

    @pytest.mark.parametrize(
        "head", [b"", b"\xff\xd8", b"#!/bin/sh\n", b"BMW is a car, not a bitmap....", b"P1 and P2 met",
                 b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", b"RIFF\0\0\0\0WAVEfmt ", b"PK\3\4"]
    )  # fmt: skip
    def test_heads_of_other_things(self, head: bytes) -> None:
        assert not looks_like_picture(head)
