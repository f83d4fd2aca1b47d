"""oko train vqgan as a person uses it: a folder of pictures becomes a network that paints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from generate.load import load_vqgan
from library.models import Registry
from library.presets import ModelSpec
from oko.cli import main
from tests.training import shapes

TINY = {
    "ch": 8,
    "ch_mult": "1,2",
    "num_groups": 4,
    "z_channels": 8,
    "embed_dim": 4,
    "n_embed": 32,
    "measure_px": 16,
    "unquantised": 2,
    "warmup": 1,
    "adversarial_from": 0.5,
    "discriminator_ch": 4,
}
QUICK = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]
QUICK += ["--crop", "16", "--batch", "4", "--precision", "fp32", "--steps", "6"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return shapes.tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path / "library"


def train(library: Path, *arguments: object) -> int:
    return main(["train", "vqgan", *map(str, arguments), "--library", str(library)])


def test_a_folder_becomes_a_network(
    library: Path, tmp_path: Path, tiny: ModelSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    library.mkdir()
    assert tiny.weights is not None
    Registry(library).add("eye", arch="", weights=tiny.weights)
    data = shapes.folder_of(tmp_path / "data", 40)
    (data / "broken.png").write_bytes(b"no picture")
    assert train(library, data, "--name", "mine", "--features", "eye", "--hold-back", 0.2, *QUICK) == 0
    out, err = capsys.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines()] == ["PSNR", "perplexity", "codes in use"]
    assert "broken.png: not a picture" in err
    assert "oko generate --vqgan mine" in err
    spec = Registry(library).resolve("mine")
    assert (spec.kind, spec.arch) == ("vqgan", "VQGAN f4, 32 codes")
    assert load_vqgan(spec.weights).factor == 4
    assert spec.weights == library / "models" / "mine"
    assert load_vqgan(spec.weights).config.n_embed == 32
    # On with it, from what it is:
    further = ["--from", "mine", "--out", tmp_path / "further", "--features", "none", "--json"]
    assert train(library, data, *further, *QUICK) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["model"], result["steps"], result["folder"]) == (None, 6, str(tmp_path / "further"))
    assert result["held_out"]["psnr_db"] > 0
    assert load_vqgan(tmp_path / "further").config.n_embed == 32
    # Never in place of another one, and not to find pictures with:
    assert train(library, data, "--name", "mine", *QUICK) == 2
    assert train(library, data, "--out", tmp_path / "further", *QUICK) == 2
    assert main(["index", "--library", str(library), "--model", "mine", str(data)]) == 2
    assert "cannot find them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "say where the network goes"),
        (["--out", "x", "--recipe", "vast"], "there is no recipe 'vast'"),
        (["--out", "x", "--crop", "100"], "crop must be a multiple of 8"),
        (["--out", "x", "--set", "ch=7"], "such a network cannot be built"),
        (["--out", "x", "--hold-back", "2"], "--hold-back must lie between"),
        (["--out", "x", "--from", "builtin"], "cannot be trained to paint"),
    ],
)
def test_what_makes_no_sense(
    arguments: list[str],
    why: str,
    library: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    data = shapes.folder_of(tmp_path / "data", 3)
    assert train(library, data, *arguments) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
