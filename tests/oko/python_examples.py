"""A small library for the examples in the documents and docstrings of the Python API."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import oko
from library.config import Config
from library.fakes import FakeEncoder
from library.models import ModelSpec
from oko import assemble
from oko.api import Library
from tests.libraries import paint

PICTURES = {"red.png": "red", "green.png": "green", "blue.png": "blue", "again.jpg": "red"}
BEGAN_S = 1_700_000_000


def count_models(monkeypatch: pytest.MonkeyPatch) -> list[FakeEncoder]:
    """Every model that is made from now on is a fake, and in this list."""
    made: list[FakeEncoder] = []

    def make_encoder(spec: ModelSpec, config: Config) -> FakeEncoder:
        made.append(FakeEncoder(name=spec.canonical_name))
        return made[-1]

    monkeypatch.setattr(assemble, "make_encoder", make_encoder)
    return made


def example_photos(base: Path) -> Path:
    """A folder of four pictures of one colour each, a day apart."""
    folder = paint(base / "photos", PICTURES)
    for day, name in enumerate(PICTURES):
        os.utime(folder / name, (BEGAN_S + day * 86_400,) * 2)
    return folder


def opened(base: Path) -> AbstractContextManager[Library]:
    """The library that the examples use, not indexed yet."""
    return oko.open_library(base / "library", model="builtin", batch_size=8, decode_workers=1)
