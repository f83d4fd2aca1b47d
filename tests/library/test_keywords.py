"""Keywords that photos carry, as other programs write them: XMP, IPTC, EXIF, and sidecars."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from library import images
from library.errors import UnreadablePicture
from library.keywords import embedded_keywords, keywords_of
from library.sidecars import Keyword, write_keywords

exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")


def photo(path: Path) -> Path:
    Image.new("RGB", (32, 24), "navy").save(path)
    return path


def written(path: Path, *arguments: str) -> list[str]:
    """The keywords in a file after exiftool wrote to it."""
    photo(path)
    subprocess.run(["exiftool", "-overwrite_original", *arguments, path], check=True, capture_output=True)
    return keywords_of(path)[0]


@exiftool
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_xmp_inside_the_file(tmp_path: Path, suffix: str) -> None:
    arguments = (
        "-XMP-dc:Subject=kočka",
        "-XMP-dc:Subject=old town",
        "-XMP-lr:HierarchicalSubject=Europe|Brno",
    )
    assert written(tmp_path / f"a.{suffix}", *arguments) == ["kočka", "old town", "Brno"]


@exiftool
def test_iptc(tmp_path: Path) -> None:
    utf8 = ("-codedcharacterset=utf8", "-IPTC:Keywords=kočka", "-IPTC:Keywords=sea")
    assert written(tmp_path / "a.jpg", *utf8) == ["kočka", "sea"]
    assert written(tmp_path / "b.jpg", "-IPTC:Keywords=café") == ["café"]  # Latin-1
    assert written(tmp_path / "c.jpg", "-IPTC:Keywords=one") == ["one"]


@exiftool
def test_exif_of_windows(tmp_path: Path) -> None:
    assert written(tmp_path / "a.jpg", "-EXIF:XPKeywords=kočka;old town") == ["kočka", "old town"]


@exiftool
def test_the_same_keyword_in_several_places_counts_once(tmp_path: Path) -> None:
    arguments = ("-XMP-dc:Subject=Dog", "-IPTC:Keywords=dog", "-EXIF:XPKeywords=DOG;cat")
    assert written(tmp_path / "a.jpg", *arguments) == ["Dog", "cat"]


def test_sidecars_are_read_and_bad_ones_reported(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    write_keywords(tmp_path / "a.jpg.xmp", [Keyword("dog"), Keyword("only guessed", is_suggested=True)])
    (tmp_path / "a.xmp").write_text("not XML")
    names, problems = keywords_of(path)
    assert names == ["dog"]
    assert len(problems) == 1
    assert "a.xmp" in problems[0]


def test_a_photo_without_keywords_and_one_that_is_none(tmp_path: Path) -> None:
    assert keywords_of(photo(tmp_path / "a.jpg")) == ([], [])
    with pytest.raises(UnreadablePicture):
        embedded_keywords(b"no picture", name="a.jpg")


def test_the_keywords_beside_a_photo_count_when_it_cannot_be_read(tmp_path: Path) -> None:
    write_keywords(tmp_path / "a.jpg.xmp", [Keyword("dog")])
    (tmp_path / "a.jpg").write_text("no picture")
    names, problems = keywords_of(tmp_path / "a.jpg")
    assert names == ["dog"]
    assert len(problems) == 1
    assert "a.jpg: " in problems[0]


@exiftool
def test_of_a_jpeg_only_the_beginning_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> bytes:
        raise AssertionError("the whole file was read")

    monkeypatch.setattr(images, "read_bytes", refuse)
    assert written(tmp_path / "a.jpg", "-XMP-dc:Subject=Brno", "-IPTC:Keywords=sea") == ["Brno", "sea"]


def test_a_jpeg_of_an_odd_kind_is_read_whole(tmp_path: Path) -> None:
    content = photo(tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff" + content[2:])  # a fill byte before the first marker
    assert keywords_of(tmp_path / "a.jpg") == ([], [])
    (tmp_path / "cut.jpg").write_bytes(content[:300])
    assert len(keywords_of(tmp_path / "cut.jpg")[1]) == 1
