"""What the tests of training share: shapes on disk and a tiny model, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from library.presets import ModelSpec
from tests.training import shapes


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes.folder_of(tmp_path_factory.mktemp("shapes"), 240)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return shapes.tiny_model(tmp_path_factory.mktemp("tiny"))
