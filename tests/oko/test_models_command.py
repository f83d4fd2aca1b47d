"""oko models: the list, and switching a library from one model to another without losing anything."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from library.errors import ModelUnavailable
from library.models import ModelSpec, Registry
from library.presets import PRESETS
from oko import modelling
from oko.cli import main
from tests.oko.small_library import SmallLibrary, make


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    return make(tmp_path, monkeypatch)


def listed(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert library.oko("models", "list", "--json") == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}


def own(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [name for name, row in listed(library, capsys).items() if row["is_library_model"]]


def test_list(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    rows = listed(library, capsys)
    assert {"builtin", *PRESETS, "one", "two"} <= rows.keys()
    assert (rows["one"]["photos"], rows["two"]["photos"]) == (3, 0)
    assert own(library, capsys) == ["one"]
    assert rows["builtin"]["cached"]
    assert not rows["balanced"]["cached"]
    assert rows["balanced"]["size_bytes"] == PRESETS["balanced"].download_bytes
    assert all(row["figures_source"] for row in rows.values() if row["figures"])


def test_list_is_what_comes_without_an_action(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    assert library.oko("models") == 0
    captured = capsys.readouterr()
    assert "* one " in captured.out
    assert "  two " in captured.out
    assert "this library's model: one" in captured.err
    assert library.oko("models", "--json") == 0
    assert json.loads(capsys.readouterr().out)["models"]


def test_common_options_before_and_after_the_action(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["models", "--library", str(library.folder), "--json", "list"],
        ["models", "list", "--library", str(library.folder), "--json"],
    ):
        assert main(arguments) == 0
        assert "one" in {row["name"] for row in json.loads(capsys.readouterr().out)["models"]}


def test_list_without_a_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--library", str(tmp_path / "none")]) == 0
    assert "no model yet" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_list_loads_no_torch(library: SmallLibrary) -> None:
    code = (
        "import sys; from oko.cli import main; "
        f"assert main(['models', '-q', '--library', {str(library.folder)!r}]) == 0; "
        "print(sorted({'torch', 'open_clip', 'faiss'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


def test_use_switches_and_switching_back_embeds_nothing(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    assert library.oko("models", "use", "two") == 0
    err = capsys.readouterr().err
    assert "Embedding 3 photos: about" in err
    assert "This library now uses two." in err
    assert own(library, capsys) == ["two"]
    assert listed(library, capsys)["two"]["photos"] == 3
    embedded = {name: fake.embedded for name, fake in library.encoders.items()}
    assert library.oko("models", "use", "one") == 0
    assert {name: fake.embedded for name, fake in library.encoders.items()} == embedded
    assert own(library, capsys) == ["one"]


def interrupt_after(library: SmallLibrary, photos: int) -> Callable[[], None]:
    """Make the fake "two" raise KeyboardInterrupt like Ctrl-C; returns what mends it."""
    fake = library.encoders["two"]
    real = fake.encode_images
    left = photos

    def encode(batch: Any) -> Any:
        nonlocal left
        left -= len(batch)
        if left < 0:
            raise KeyboardInterrupt
        return real(batch)

    fake.encode_images = encode  # type: ignore[method-assign]
    return lambda: setattr(fake, "encode_images", real)


def test_interruption_keeps_the_old_model_and_what_was_done(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    mend = interrupt_after(library, 1 + modelling.TIMED_PHOTOS + 2)
    assert library.oko("models", "use", "two", "--batch-size", "1") == 130
    assert "Not switched to two: it was interrupted" in capsys.readouterr().err
    assert own(library, capsys) == ["one"]
    assert listed(library, capsys)["two"]["photos"] == 2
    assert library.oko("search", "red") == 0
    mend()
    capsys.readouterr()
    assert library.oko("models", "use", "two", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["model"], result["switched"], result["reason"]) == ("two", True, None)
    assert result["report"]["embedded"] == 1


def test_offline_folder_blocks_the_switch(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    library.photos.rename(library.photos.with_name("away"))
    library.photos.mkdir()
    assert library.oko("models", "use", "two") == 1
    assert "seems to be offline" in capsys.readouterr().err
    assert own(library, capsys) == ["one"]
    assert library.oko("models", "use", "two", "--anyway") == 0
    assert own(library, capsys) == ["two"]


def test_model_that_cannot_embed_is_not_taken(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    library.encoders["two"].max_batch = 0
    assert library.oko("models", "use", "two") == 1
    assert own(library, capsys) == ["one"]
    assert library.index().failed == 0
    assert library.oko("status") == 0
    assert "4 indexed" in capsys.readouterr().out, "the old model finds every photo again"


def test_use_before_anything_is_indexed(
    library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = tmp_path / "fresh"
    library.encoders["builtin"] = library.encoders["two"]
    assert main(["models", "use", "builtin", "--library", str(fresh)]) == 0
    assert capsys.readouterr().err == "This library now uses builtin.\n"


def test_download_is_announced(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(registry: Registry, spec: ModelSpec, progress: Callable[[int, int | None], None]) -> Path:
        progress(1, 2)
        raise ModelUnavailable("no network")

    monkeypatch.setattr(Registry, "download", download)
    monkeypatch.setattr(modelling, "require_transformers", lambda spec: None)
    assert library.oko("models", "use", "fast") == 1
    err = capsys.readouterr().err
    assert "Downloading fast: 605 MB, about 1:36 at 50 Mbit/s" in err
    assert "no network" in err
    assert own(library, capsys) == ["one"]


def test_setting_that_goes_before_is_mentioned(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKO_MODEL", "one")
    assert library.oko("models", "use", "two") == 0
    assert "But OKO_MODEL says model = one" in capsys.readouterr().err


def test_remove(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    assert library.oko("models", "remove", "two") == 0
    assert "two" not in listed(library, capsys)
    assert library.oko("models", "remove", "one") == 2
    assert "this library uses one" in capsys.readouterr().err
    assert library.oko("models", "remove", "builtin") == 2
    assert library.oko("models", "remove", "never-added") == 1


def test_add_refuses_what_is_not_there(
    library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none.pt"
    assert library.oko("models", "add", "mine", "--arch", "ViT-B-32", "--weights", missing) == 1
    assert f"the weights file {missing} does not exist" in capsys.readouterr().err
    assert "mine" not in listed(library, capsys)


def test_unknown_name(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    assert library.oko("models", "use", "balancd") == 1
    assert "nearest: balanced" in capsys.readouterr().err


def test_add_a_vqgan(library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from generate.load import load_vqgan
    from tests.generate.networks import SMALL, checkpoint, made, yaml_of

    weights = checkpoint(tmp_path / "last.ckpt", made(SMALL).state_dict())
    (tmp_path / "shape.yaml").write_text(yaml_of(SMALL))
    assert library.oko("models", "add", "painter", weights, "--config", tmp_path / "shape.yaml") == 0
    assert "Added painter (VQGAN f2, 24 codes)" in capsys.readouterr().err
    row = listed(library, capsys)["painter"]
    assert (row["kind"], row["arch"], row["cached"]) == ("vqgan", "VQGAN f2, 24 codes", True)
    assert library.oko("models", "list") == 0
    assert "vqgan (for oko generate)" in capsys.readouterr().out
    spec = Registry(library.folder).resolve("painter")
    assert spec.weights is not None
    assert load_vqgan(spec.weights, spec.config).config == SMALL
    assert library.oko("models", "use", "painter") == 2
    assert "cannot find them" in capsys.readouterr().err


def test_add_a_vqgan_that_does_not_fit(
    library: SmallLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "last.ckpt"
    weights.write_bytes(b"not weights at all")
    assert library.oko("models", "add", "painter", weights) == 1
    assert "no configuration beside" in capsys.readouterr().err
    assert library.oko("models", "add", "painter") == 2
    assert library.oko("models", "add", "painter", weights, "--weights", weights) == 2
    assert library.oko("models", "add", "painter", weights, "--arch", "RN50", "--config", weights) == 2
    assert "painter" not in listed(library, capsys)
