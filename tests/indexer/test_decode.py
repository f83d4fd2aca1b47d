"""Reading and decoding in threads: bounded, in order, and every file accounted for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from indexer.decode import Decoder, Limits, Prepared
from library.fakes import FakeEncoder
from library.records import FailedFile, FileStamp, FileState, KnownPhoto
from tests.albums import picture

LIMITS = Limits(max_bytes=10**6, max_pixels=10**6, min_side_px=64, thumbnail_px=64)


def decoder(root: Path, known: frozenset[bytes] = frozenset()) -> Decoder:
    return Decoder(root, LIMITS, known, FakeEncoder().prepare)


def stamp_of(path: Path) -> FileStamp:
    status = path.stat()
    return FileStamp(os.fsencode(path.name), status.st_size, status.st_mtime_ns, status.st_ino)


def test_a_picture_is_decoded_once_for_everything(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture(1))
    made = decoder(tmp_path)(stamp_of(path))
    assert isinstance(made, Prepared)
    assert made.pixels.shape == (3, 32, 32)
    assert made.thumbnail[8:12] == b"WEBP"
    assert (made.facts.width, made.facts.height, made.facts.format) == (8, 8, "PNG")
    assert len(made.content_sha256) == 32


def test_known_content_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture(1))
    first = decoder(tmp_path)(stamp_of(path))
    assert isinstance(first, Prepared)

    def refuse(_: Image.Image) -> None:
        raise AssertionError("decoded")

    again = Decoder(tmp_path, LIMITS, {first.content_sha256}, refuse)(stamp_of(path))  # type: ignore[arg-type]
    assert again == KnownPhoto(stamp_of(path), first.content_sha256)


def test_every_failure_has_its_state_and_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(picture(1)[:40])
    failed = decoder(tmp_path)(stamp_of(broken))
    assert isinstance(failed, FailedFile)
    assert failed.state == FileState.UNREADABLE
    assert failed.reason

    gone = decoder(tmp_path)(FileStamp(b"gone.png", 5, 5, 5))
    assert isinstance(gone, FailedFile)
    assert gone.state == FileState.MISSING


def test_a_bug_in_the_preparation_is_one_files_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(_: Image.Image) -> None:
        raise RuntimeError("boom")

    path = tmp_path / "a.png"
    path.write_bytes(picture(1))
    failed = Decoder(tmp_path, LIMITS, set(), explode)(stamp_of(path))  # type: ignore[arg-type]
    assert isinstance(failed, FailedFile)
    assert (failed.state, "boom" in failed.reason) == (FileState.FAILED, True)
    assert "boom" in caplog.text


def test_a_file_that_grew_since_the_scan_has_its_true_size(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture(1))
    before = FileStamp(b"a.png", 10, 1, 1)
    made = decoder(tmp_path)(before)
    assert isinstance(made, Prepared)
    assert (made.stamp.size_bytes, made.stamp.mtime_ns) == (path.stat().st_size, 1)
