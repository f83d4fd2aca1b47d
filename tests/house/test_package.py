"""The wheel holds every package, their data and the command."""

from __future__ import annotations

import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house.source import PACKAGES, ROOT


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built by the backend itself: `pip wheel` would fetch it from the registry first."""
    build = pytest.importorskip(
        "hatchling.build", reason="hatchling is not installed: pip install 'hatchling'"
    )
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        name = build.build_wheel(str(folder))
    with zipfile.ZipFile(folder / name) as archive:
        yield archive


def package_contents() -> set[str]:
    files = (path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file())
    return {p.relative_to(ROOT).as_posix() for p in files if "__pycache__" not in p.parts}


def test_pyproject_lists_every_package(pyproject: dict[str, Any]) -> None:
    hatch = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(hatch) == set(PACKAGES)
    assert set(pyproject["tool"]["mypy"]["packages"]) == set(PACKAGES)


def test_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == package_contents() | {"oko/config.toml"}


def test_wheel_holds_the_default_settings(wheel: zipfile.ZipFile) -> None:
    assert wheel.read("oko/config.toml") == (ROOT / "config.toml").read_bytes()


def test_wheel_holds_the_builtin_weights(wheel: zipfile.ZipFile) -> None:
    for folder in ("library", "generate"):
        weights = [
            info for info in wheel.infolist() if Path(info.filename).match(f"{folder}/builtin/*.safetensors")
        ]
        assert weights
        assert all(info.file_size > 1_000_000 for info in weights), "a pointer instead of the weights?"


def test_wheel_brings_the_command(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    assert "oko = oko.cli:main" in wheel.read(entry_points).decode()
