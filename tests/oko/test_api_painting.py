"""Painting from Python, with networks so small that a picture takes a moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import oko
from library.errors import UsageError
from library.fakes import FakeEncoder
from oko import jobs, recipes
from oko.api import Library
from oko.painting import Painted
from tests.generate.small_networks import register
from tests.oko.python_examples import count_models

SMALL = {"vqgan": "little", "clip": "tiny", "size": "48x32", "cutouts": 4, "steps": 3, "seed": "a seed"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("painting")
    register(base / "library", base / "networks")
    return base / "library"


@pytest.fixture
def library(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    monkeypatch.chdir(tmp_path)
    with oko.open_library(folder, device="cpu", painted_folder=str(tmp_path / "painted")) as library:
        yield library


def test_a_picture_is_a_file_an_image_and_a_recipe(library: Library) -> None:
    steps: list[int] = []
    painted = library.paint(
        "a red circle", output="a.png", progress=lambda s: steps.append(s.number), **SMALL
    )
    assert steps == [1, 2, 3]
    assert painted.path == Path("a.png")
    assert painted.image.size == (48, 32)
    assert painted._repr_png_().startswith(b"\x89PNG")
    assert recipes.read_recipe(painted.path) == painted.recipe
    with Image.open(jobs.sketch_path(library.folder)) as sketch:  # what the page shows meanwhile
        assert sketch.size == (48, 32)
    told = jobs.as_json(library.folder)["painting"]
    assert (told["phase"], told["done"], told["sketched"]) == ("done", 3, 1)
    again = library.paint(source="a.png", output="b.png")
    assert again.image.tobytes() == painted.image.tobytes()


def test_wishes_can_be_repeated_and_choices_are_checked(library: Library, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        Image.new("RGB", (40, 40), "red").save(tmp_path / name)
    painted = library.paint(
        image=[tmp_path / "one.png", "two.png:0.5"], overwrite=True, output="c.png", **SMALL
    )
    assert [prompt.weight for prompt in painted.recipe.scenes[0]] == [1.0, 0.5]
    with pytest.raises(UsageError, match="invalid choice: 'superb'"):
        library.paint("a lake", quality="superb")
    with pytest.raises(UsageError, match="no option 'colour'"):
        library.paint("a lake", colour="red")
    with pytest.raises(UsageError, match="device is a setting"):
        library.paint("a lake", device="cpu")
    with pytest.raises(UsageError, match="no prompt"):
        library.paint()
    assert library.paint("--zoom", output="d.png", **SMALL).recipe.scenes[0][0].content == "--zoom"


def test_a_thread_paints_too(library: Library) -> None:
    painted: list[Painted] = []
    thread = threading.Thread(target=lambda: painted.append(library.paint("a lake", output="t.png", **SMALL)))
    thread.start()
    thread.join(60)
    assert painted[0].path.exists()


def test_a_picture_in_the_library_is_found(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[FakeEncoder] = count_models(monkeypatch)
    monkeypatch.chdir(tmp_path)
    with oko.open_library(folder, device="cpu", painted_folder=str(tmp_path / "painted")) as library:
        painted = library.paint("a green hill", add=True, **SMALL)
        found = library.search("tag:generated")
    assert [photo.id for photo in found] == [painted.photo_id]
    assert painted.added is not None
    assert painted.added.parent == tmp_path / "painted"
    assert models
