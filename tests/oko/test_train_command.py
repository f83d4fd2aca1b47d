"""oko train clip as a person uses it: a folder with captions becomes a model that searches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from library.models import Registry
from library.presets import ModelSpec
from oko.cli import main
from tests.training import shapes
from training.run import checkpoint_file

QUICK = ["--lock", "none", "--batch", "48", "--precision", "fp32", "--lr", "2e-3", "--teacher", "none"]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return shapes.tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def library(tmp_path: Path, start: ModelSpec) -> Path:
    """A library folder in which the tiny model is called tiny."""
    assert start.weights is not None
    folder = tmp_path / "library"
    folder.mkdir()
    Registry(folder).add("tiny", arch="", weights=start.weights)
    return folder


def train(library: Path, *arguments: str) -> int:
    return main(["train", "clip", *arguments, "--library", str(library), "--from", "tiny"])


def test_a_folder_becomes_a_model(library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = shapes.folder_of(tmp_path / "data", 120)
    (data / "broken.png").write_bytes(b"no picture")
    (data / "broken.txt").write_text("a red circle\n")
    assert train(library, str(data), "--name", "mine", "--steps", "30", *QUICK) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["before", "after"]
    assert [line.split("best")[0].strip() for line in lines[1:]][::3] == [
        "caption -> photo  among the",
        "photo -> caption  among the",
    ]
    assert "held back to measure on" in err
    assert "broken.png: not a picture" in err
    assert "oko models use mine" in err
    folder = library / "models" / "mine"
    with Image.open(folder / "answers.png") as sheet:
        assert sheet.width > 700
    assert (folder / "training" / "log.jsonl").exists()
    assert not checkpoint_file(folder).exists()
    spec = Registry(library).resolve("mine")
    assert (spec.weights, spec.arch) == (folder, "from tiny")
    assert main(["index", "--library", str(library), "--model", "mine", str(data)]) == 0
    capsys.readouterr()
    assert main(["search", "--library", str(library), "--json", "a", "red", "circle"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 20
    # Never in place of another one:
    assert train(library, str(data), "--name", "mine", *QUICK) == 2
    assert "there is a model called mine already" in capsys.readouterr().err


def test_json_resume_eval_and_queries(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shapes.tar_of(tmp_path / "shapes.tar", 96)
    measured = shapes.folder_of(tmp_path / "measured", 30, seed=7)
    (tmp_path / "queries.txt").write_text("a red circle\na blue bar\n")
    out = tmp_path / "out"
    arguments = [
        str(data),
        "--name",
        "two",
        "--out",
        str(out),
        "--eval",
        str(measured),
        "--steps",
        "6",
        *QUICK,
    ]
    arguments += ["--queries", str(tmp_path / "queries.txt"), "--json", "-q"]
    with monkeypatch.context() as patch:
        patch.setattr("training.clip.save_model", interrupt)
        assert train(library, *arguments) == 130
    capsys.readouterr()
    assert train(library, *arguments, "--resume") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["model"], result["steps"], result["photos"]) == ("two", 6, 96)
    assert result["after"]["photos"] == 30
    assert set(result["after"]["text_to_image"]) == {"1", "5", "10"}
    assert (out / "answers.png").exists()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_run_goes_on(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shapes.folder_of(tmp_path / "data", 60)
    arguments = [str(data), "--name", "three", "--steps", "4", *QUICK]
    with monkeypatch.context() as patch:
        patch.setattr("training.clip.ClipRun._log_step", interrupt)
        assert train(library, *arguments) == 130
    assert "interrupted" in capsys.readouterr().err
    assert train(library, *arguments) == 2
    assert "add --resume" in capsys.readouterr().err
    assert train(library, *arguments, "--resume") == 0
    assert Registry(library).resolve("three").name == "three"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone", "--name", "x"], "does not exist"),
        (["library", "--name", "x"], "there is no library"),
        (["data", "--name", "builtin"], "there is a model called builtin already"),
        (["data", "--name", "x", "--keep", "3"], "--keep must lie"),
        (["data", "--name", "x", "--steps", "3", "--epochs", "3"], "not both"),
        (["data", "--name", "x", "--hold-back", "2"], "--hold-back must lie"),
        (["data", "--name", "x", "--lock", "text", "--unfreeze", "0"], "nothing is left to train"),
    ],
)
def test_wrong_usage(
    library: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    shapes.folder_of(tmp_path / "data", 4)
    monkeypatch.chdir(tmp_path)
    assert train(library, *arguments) in (1, 2)
    assert words in capsys.readouterr().err
    assert not (library / "models").exists()
