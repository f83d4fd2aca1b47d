"""`oko train builtin` as it is typed; it goes on from the finished steps of the small rebuild."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oko.cli import main
from tests.training.recipe.conftest import Done
from tests.training.recipe.small_world import SETTINGS
from training.recipe.rebuild import is_finished

pytest.importorskip("torch")


@pytest.fixture
def command(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("oko.building.small", lambda settings: SETTINGS)
    places = done.places
    folders = {
        "starts": places.starts,
        "work": places.work,
        "wordnet": places.wordnet,
        "out": tmp_path / "out",
    }
    options = [part for name, folder in folders.items() for part in (f"--{name}", str(folder))]
    return ["train", "builtin", str(places.data), *options, "--small"]


def test_it_prints_what_the_model_is_worth(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    out, err = capsys.readouterr()
    rows = [line.split("  ")[0] for line in out.splitlines()]
    assert rows[1:7] == [
        "caption -> photo",
        "photo -> caption",
        "English -> photo",
        "German -> photo",
        "French -> photo",
        "Czech -> photo",
    ]
    assert "one of 4 labels: " in out
    assert "14 photos that it was not trained on" in err
    assert is_finished(tmp_path / "out")
    assert main(command) == 2  # a model is never overwritten
    assert "there is a model in" in capsys.readouterr().err


def test_json(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(tmp_path / "out")
    assert set(found["figures"]["text_to_image"]) == {"1", "5", "10"}
    assert found["problems"] == []


def test_wrong_settings_are_refused_before_anything_is_done(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--set", "text_step=5"]) == 2
    assert "no setting 'text_step'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tokenizers" else real(name)
    )
    assert main(command) == 1
    err = capsys.readouterr().err
    assert "needs the package tokenizers" in err
    assert "pip install" in err
    assert "oko retry" not in err
