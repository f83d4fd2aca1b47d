"""library.exif: dates, places and cameras, and nothing at all from broken bytes."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from library.exif import exif_of, exif_of_tiff, facts_from_exif, orientation_of
from library.images import decode
from library.records import ImageFacts
from tests.pictures import camera_exif, jpeg_bytes, photo

_GPS = ExifTags.GPS
_BASE = ExifTags.Base


def facts(exif: Image.Exif) -> ImageFacts:
    """The facts after a round through a file, as they are read in life."""
    return decode(jpeg_bytes(photo(1, (32, 24)), exif=exif), name="", max_pixels=10_000).facts


def direct(exif: Image.Exif) -> ImageFacts:
    """The facts of tags that Pillow would not write."""
    return facts_from_exif(exif, width=1, height=1, format="JPEG", orientation=1)


def is_sound(found: ImageFacts) -> bool:
    """Whether all that was read can be shown and stored, whatever the bytes were."""
    texts = (found.camera_make, found.camera_model, found.lens)
    return all(text is None or (text.isprintable() and 0 < len(text) <= 200) for text in texts) and (
        (found.latitude is None) == (found.longitude is None)
    )


def with_gps(**changes: object) -> ImageFacts:
    exif = camera_exif()
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    for name, value in changes.items():
        gps[getattr(_GPS, name)] = value
    return direct(exif)


def dated(text: object, offset: object = None, tag: int = _BASE.DateTimeOriginal) -> str | None:
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[tag] = text
    if offset is not None:
        details[_BASE.OffsetTimeOriginal] = offset
    return direct(exif).taken_at


def test_an_ordinary_camera() -> None:
    found = facts(camera_exif())
    assert found.taken_at == "2023-07-14T18:03:22+02:00"
    assert (found.camera_make, found.camera_model, found.lens) == ("Okular", "Okular X100", "35mm f/2")
    assert found.latitude == pytest.approx(50.0875, abs=1e-6)
    assert found.longitude == pytest.approx(14.4213, abs=1e-6)
    assert found.altitude_m == 191.5


def test_no_exif() -> None:
    assert facts(Image.Exif()) == ImageFacts(width=32, height=24, format="JPEG")


class TestDates:
    def test_falls_back_to_digitized_and_then_to_modified(self) -> None:
        exif = Image.Exif()
        exif[_BASE.DateTime] = "2001:01:01 01:01:01"
        assert facts(exif).taken_at == "2001-01-01T01:01:01"
        details = exif.get_ifd(ExifTags.IFD.Exif)
        details[_BASE.DateTimeDigitized] = "2002:02:02 02:02:02"
        assert facts(exif).taken_at == "2002-02-02T02:02:02"
        details[_BASE.DateTimeOriginal] = "2003:03:03 03:03:03"
        assert facts(exif).taken_at == "2003-03-03T03:03:03"

    def test_an_empty_original_does_not_hide_the_next(self) -> None:
        exif = camera_exif(taken_at="0000:00:00 00:00:00")
        exif[_BASE.DateTime] = "2001:01:01 01:01:01"
        assert facts(exif).taken_at == "2001-01-01T01:01:01"

    @pytest.mark.parametrize(
        "text",
        ["", "0000:00:00 00:00:00", "    :  :     :  :  ", "2023:13:01 00:00:00", "2023:02:30 10:00:00",
         "2023:01:01 24:00:00", "2023:01:01 10:60:00", "yesterday", 20230101, None, (1, 2), b"\xff\xfe"],
    )  # fmt: skip
    def test_garbage(self, text: object) -> None:
        assert dated(text) is None

    @pytest.mark.parametrize(
        "text", ["2023-07-14 18:03:22", "2023:07:14T18:03:22", "2023/07/14 18:03:22.25\0"]
    )
    def test_other_spellings(self, text: str) -> None:
        assert dated(text) == "2023-07-14T18:03:22"

    @pytest.mark.parametrize(("offset", "shown"), [("-05:30", "-05:30"), ("+14:00\0", "+14:00"), ("Z", ""),
                                                   ("+25:00", ""), ("   :  ", ""), (7, "")])  # fmt: skip
    def test_offsets(self, offset: object, shown: str) -> None:
        assert dated("2023:07:14 18:03:22", offset) == "2023-07-14T18:03:22" + shown


class TestPlaces:
    @given(st.floats(-89.999, 89.999), st.floats(-179.999, 179.999))
    def test_round_trip(self, latitude: float, longitude: float) -> None:
        found = direct(camera_exif(position=(latitude, longitude)))
        if (round(latitude, 5), round(longitude, 5)) != (0, 0):
            assert found.latitude == pytest.approx(latitude, abs=1e-6)
            assert found.longitude == pytest.approx(longitude, abs=1e-6)

    @pytest.mark.parametrize(
        "broken",
        [
            {"GPSLatitude": (91.0, 0.0, 0.0)},
            {"GPSLongitude": (180.0, 0.0, 1.0)},
            {"GPSLatitude": (50.0, 61.0, 0.0)},
            {"GPSLatitude": (float("nan"), 0.0, 0.0)},
            {"GPSLatitude": (float("inf"), 0.0, 0.0)},
            {"GPSLatitude": (-1.0, 0.0, 0.0)},
            {"GPSLatitude": ()},
            {"GPSLatitude": "fifty"},
            {"GPSLatitude": None},
            {"GPSLatitudeRef": "X"},
            {"GPSLatitudeRef": ""},
            {"GPSLongitudeRef": None},
        ],
    )
    def test_one_broken_part_spoils_the_place(self, broken: dict[str, object]) -> None:
        found = with_gps(**broken)
        assert (found.latitude, found.longitude, found.altitude_m) == (None, None, None)

    def test_no_fix_yet(self) -> None:
        assert with_gps(GPSLatitude=(0.0, 0.0, 0.0), GPSLongitude=(0.0, 0.0, 0.0)).latitude is None

    def test_zero_denominators_in_a_file(self) -> None:
        from PIL.TiffImagePlugin import IFDRational

        assert with_gps(GPSLatitude=(IFDRational(50, 0), IFDRational(0, 0), 0.0)).latitude is None

    @pytest.mark.parametrize(
        ("height", "ref", "shown"),
        [
            (100.0, b"\x01", -100.0),
            (100.0, 1, -100.0),
            (100.0, None, 100.0),
            (1e9, 0, None),
            ("high", 0, None),
        ],
    )
    def test_altitude(self, height: object, ref: object, shown: float | None) -> None:
        assert with_gps(GPSAltitude=height, GPSAltitudeRef=ref).altitude_m == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("NIKON\0junk", "NIKON"), ("  A \x07 B\n", "A B"), ("\0", None), ("   ", None), (b"Leica\xff", "Leica\ufffd"),
     (7, None), ("x" * 9000, "x" * 200)],
)  # fmt: skip
def test_texts_are_clean(text: object, shown: str | None) -> None:
    exif = Image.Exif()
    exif[_BASE.Make] = text
    assert direct(exif).camera_make == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(6, 6), (0, None), (9, None), ("6", None), ((6, 1), None), (None, None)]
)
def test_orientation(value: object, shown: int | None) -> None:
    exif = Image.Exif()
    exif[_BASE.Orientation] = value
    assert orientation_of(exif) == shown


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
class TestBrokenBytes:
    @given(st.binary(max_size=300))
    def test_random_tiff_never_raises(self, tail: bytes) -> None:
        for head in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"IIRO\x08\0\0\0", b""):
            assert is_sound(direct(exif_of_tiff(head + tail)))

    @given(st.data())
    def test_damaged_exif_never_raises(self, data: st.DataObject) -> None:
        content = bytearray(camera_exif().tobytes()[6:])
        for _ in range(data.draw(st.integers(1, 10))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        image = Image.new("RGB", (1, 1))
        image.info["exif"] = b"Exif\0\0" + bytes(content[: data.draw(st.integers(0, len(content)))])
        exif = exif_of(image)
        assert orientation_of(exif) in (None, *range(1, 9))
        assert is_sound(direct(exif))

    def test_a_folder_that_points_beyond_the_end(self) -> None:
        entry = struct.pack("<HHII", 0x8769, 4, 1, 0xFFFFFFF0)
        exif = exif_of_tiff(b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4))
        assert direct(exif).taken_at is None


def test_an_olympus_head_is_read_as_tiff() -> None:
    data = camera_exif().tobytes()[6:]
    sign = b"IIRO" if data[:2] == b"II" else b"MMOR"
    assert direct(exif_of_tiff(sign + data[4:])).camera_model == "Okular X100"


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("position", [(50.0875, 14.4213), (-33.8568, -70.6693)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_exiftool_says_the_same(tmp_path: Path, position: tuple[float, float], orientation: int) -> None:
    data = jpeg_bytes(photo(1, (32, 24)), exif=camera_exif(position=position), orientation=orientation)
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    command = ["exiftool", "-json", "-n", "-charset", "utf8", str(path)]
    theirs = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    ours = decode(data, name="a.jpg", max_pixels=10_000).facts
    assert (ours.camera_make, ours.camera_model) == (theirs["Make"], theirs["Model"])
    assert (ours.lens, ours.orientation) == (theirs["LensModel"], theirs.get("Orientation", 1))
    assert ours.latitude == pytest.approx(theirs["GPSLatitude"], abs=1e-7)
    assert ours.longitude == pytest.approx(theirs["GPSLongitude"], abs=1e-7)
    assert ours.altitude_m == pytest.approx(theirs["GPSAltitude"])
    assert ours.taken_at is not None
    taken = theirs["DateTimeOriginal"].replace(":", "-", 2).replace(" ", "T") + theirs["OffsetTimeOriginal"]
    assert ours.taken_at == taken
    stored = (theirs["ImageWidth"], theirs["ImageHeight"])
    assert (ours.width, ours.height) == (stored if orientation == 1 else stored[::-1])
