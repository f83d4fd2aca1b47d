"""Texts embedded once on a machine: the same vectors from the file, and damage costs no more than time."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from library.fakes import FakeEncoder
from library.remembered import Remembered, kept_path

TEXTS = ["red", "green dots", "blue"]


class Counting(FakeEncoder):
    """Counts how often it is asked."""

    asked = 0

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        self.asked += 1
        return super().encode_texts(texts)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: folder)
    return folder


def test_the_same_texts_are_embedded_once() -> None:
    first, second = Counting(), Counting()
    vectors = Remembered(first).encode_texts(TEXTS)
    again = Remembered(second).encode_texts(TEXTS)
    assert np.array_equal(vectors, again)
    assert again.dtype == np.float32
    assert (first.asked, second.asked) == (1, 0)
    Remembered(second).encode_texts(TEXTS[:2])
    Remembered(third := Counting(name="other")).encode_texts(TEXTS)
    assert (second.asked, third.asked) == (1, 1)
    assert stat.S_IMODE(kept_path(first.stamp, TEXTS).stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-1], lambda b: b[:40] + b"\x00" + b[41:]])
def test_damage_is_mended(damage: object) -> None:
    encoder = Counting()
    vectors = Remembered(encoder).encode_texts(TEXTS)
    path = kept_path(encoder.stamp, TEXTS)
    content = path.read_bytes()
    path.write_bytes(damage(content))  # type: ignore[operator]
    assert np.array_equal(Remembered(encoder).encode_texts(TEXTS), vectors)
    assert encoder.asked == 2
    assert path.read_bytes() == content


def test_a_cache_that_cannot_be_written_is_no_error(cache: Path) -> None:
    cache.write_text("a file, where a folder should be")
    encoder = Counting()
    for _ in range(2):
        assert len(Remembered(encoder).encode_texts(TEXTS)) == len(TEXTS)
    assert encoder.asked == 2
