"""A model of the user's own beside the built-in one, in one library, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oko.cli import main
from tests.pictures import photo, save_jpeg

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

PHOTOS = 3
ARCH = "ViT-B-32"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Random weights of a real architecture: 303 MB in half precision."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    module = open_clip.create_model(ARCH, load_weights=False, precision="fp16")
    path = tmp_path / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, path)
    return path


def test_two_models_in_one_library(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(PHOTOS):
        save_jpeg(photos / f"{seed}.jpg", photo(seed))

    def oko(command: str, *more: str) -> Any:
        capsys.readouterr()
        assert main([command, "--library", str(tmp_path / "library"), *more]) == 0
        out = capsys.readouterr().out
        return json.loads(out) if "--json" in more else out

    def embedded(model: str) -> int:
        return int(oko("index", str(photos), "--model", model, "--device", "cpu", "--json")["embedded"])

    def answers(*more: str) -> dict[str, float]:
        rows = oko("search", "a red house", "--all", "--device", "cpu", "--json", *more)
        return {Path(row["path"]).name: row["score"] for row in rows}

    assert embedded("builtin") == PHOTOS
    oko("models", "add", "mine", "--arch", ARCH, "--weights", str(weights))
    assert embedded("mine") == PHOTOS
    assert (embedded("builtin"), embedded("mine"), embedded("builtin")) == (0, 0, 0)

    names = {f"{seed}.jpg" for seed in range(PHOTOS)}
    own, mine = answers("--model", "builtin"), answers("--model", "mine")
    assert own.keys() == mine.keys() == names
    assert own != mine
    weights.unlink()
    assert answers("--model", "builtin") == own
