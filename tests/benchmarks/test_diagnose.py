"""The diagnosis on a small album of generated photos, with an encoder that sees nothing but colours."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import contenders, diagnose
from benchmarks.contenders import Contender
from benchmarks.measured import Figure, View, World
from library.errors import UnknownModel, UsageError
from library.fakes import FakeEncoder
from training.splits import is_held_out

COLOURS = ("red", "green", "blue", "yellow", "purple", "pink")


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Thirty held-out photos of one colour each, with two captions, and some that belong to training."""
    folder = tmp_path_factory.mktemp("data")
    keys = [f"{i:06}" for i in range(1200)]
    held = [key for key in keys if is_held_out(key)][:30]
    other = [key for key in keys if not is_held_out(key)][:5]
    with tarfile.open(folder / "flickr8k.tar", "w") as tar:
        for number, key in enumerate([*held, *other]):
            colour = COLOURS[number % len(COLOURS)]
            out = io.BytesIO()
            Image.new("RGB", (64, 48), colour).save(out, "WEBP")
            captions = [f"A {colour} dog on a bench", f"two {colour} dogs on a street"]
            add(tar, f"{key}.webp", out.getvalue())
            add(tar, f"{key}.json", json.dumps({"captions": captions}).encode())
    return World(folder)


@pytest.fixture(scope="module")
def figures(world: World) -> dict[str, Figure]:
    view = View(world, Contender("fake", FakeEncoder(), 1_000_000))
    return {figure.name: figure for figure in diagnose.measure(view, None)}


def test_only_held_out_photos_are_measured(world: World) -> None:
    assert len(world.photos) == 30
    assert all(is_held_out(photo.key) for photo in world.photos)
    assert len(world.captions) == 60


def test_an_encoder_that_sees_colours_scores_where_colours_are_asked(figures: dict[str, Figure]) -> None:
    assert figures["caption or another colour"].value > 80
    assert figures["English, text -> photo, R@10"].value > 50


def test_every_figure_is_a_share_or_says_its_unit(figures: dict[str, Figure]) -> None:
    assert len(figures) > 50
    for figure in figures.values():
        assert figure.count > 0
        assert figure.unit != "%" or 0 <= figure.value <= 100, figure
        assert figure.chance is None or 0 < figure.chance < 100, figure


def test_absent_shards_are_left_out(figures: dict[str, Figure]) -> None:
    assert not [name for name in figures if "Caltech" in name or "weather photos" in name or "Czech" in name]


def test_the_table_has_a_column_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    one = Figure("group", "recall", 12.34, 100, chance=1.0)
    two = Figure("group", "hubs", 0.5, 100, "cos", None, True)
    diagnose.print_table(["first", "second"], [[one, two], [one]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["n", "chance", "first", "second"]
    assert lines[3].split() == ["recall", "100", "1.0", "12.3", "12.3", "%"]
    assert lines[4].split()[:4] == ["hubs", "100", "0.500", "-"]


def test_the_sheet_answers_in_every_language(world: World, tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    diagnose.draw_sheet(View(world, Contender("fake", FakeEncoder())), file)
    with Image.open(file) as sheet:
        assert sheet.height > 32 * 140
    assert len({len(wishes) for wishes in diagnose.FIXED_QUERIES.values()}) == 1


def test_absent_data_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose.main(["builtin", "--data", str(tmp_path)]) == 0
    assert "no development photos" in capsys.readouterr().out


def test_a_model_is_a_name_a_folder_or_a_file_in_one(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text("{}")
    (folder / "open_clip_model.safetensors").write_bytes(b"last")
    (folder / "step10.safetensors").write_bytes(b"tenth")
    assert contenders.spec_of("builtin", "builtin", tmp_path).source == "builtin"
    assert contenders.spec_of(str(folder), "run", tmp_path).weights == folder
    chosen = contenders.spec_of(str(folder / "step10.safetensors"), "step10", tmp_path / "scratch").weights
    assert chosen is not None
    assert (chosen / "open_clip_model.safetensors").read_bytes() == b"tenth"
    assert (chosen / "open_clip_config.json").is_file()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no open_clip_config"):
        contenders.spec_of(str(tmp_path), "x", tmp_path)
    with pytest.raises(UnknownModel):
        contenders.spec_of("biultin", "x", tmp_path)


def test_names_differ(tmp_path: Path) -> None:
    for run in ("a", "b"):
        (tmp_path / run / "model").mkdir(parents=True)
    paths = [str(tmp_path / run / "model") for run in ("a", "b")]
    assert contenders.names_of([*paths, "builtin"]) == ["a-model", "b-model", "builtin"]
    with pytest.raises(UsageError, match="twice"):
        contenders.names_of([paths[0], paths[0]])
