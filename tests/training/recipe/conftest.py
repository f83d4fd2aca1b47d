"""One small rebuild for all tests here: it takes some seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.training.recipe import small_world
from training.recipe.rebuild import Places, Rebuild, Rebuilt
from training.run import Progress


@dataclass(frozen=True)
class Done:
    """A finished rebuild, with all that was told of it."""

    places: Places
    rebuilt: Rebuilt
    told: list[Progress]


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    for package in ("matplotlib", "tokenizers", "transformers"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install {package}")
    return small_world.places_in(tmp_path_factory.mktemp("small-world"))


@pytest.fixture(scope="session")
def done(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Done:
    mine = small_world.elsewhere(places, Path(tmp_path_factory.mktemp("whole")))
    told: list[Progress] = []
    return Done(mine, Rebuild(mine, small_world.SETTINGS, told.append).run(), told)
