"""oko generate as a person uses it, with networks so small that a picture takes a moment."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageSequence

from generate.recipe import OPTIMISERS, QUALITIES, Recipe
from generate.sampler import Step
from generate.starts import STARTS
from oko import painting, recipes
from oko.cli import main
from oko.context import Context
from tests.generate.small_networks import register
from tests.oko import small_library

SMALL = ["--vqgan", "little", "--clip", "tiny", "--size", "48x32", "--cutouts", "4", "--seed", "a seed"]
Oko = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("painting")
    register(base / "library", base / "networks")
    return base / "library"


@pytest.fixture
def oko(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Oko:
    """Runs `oko generate` in an empty folder, which is the current one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return lambda *words: main(["generate", "--library", str(library), *map(str, words)])


def length_ms(film: Path) -> int:
    """How long a film shows its frames; those that hardly differ are one frame, shown for longer."""
    length = 0
    with Image.open(film) as frames:
        for frame in ImageSequence.Iterator(frames):
            frame.load()  # Pillow says no sooner how long a frame is shown
            length += frame.info["duration"]
    return length


def interrupt_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real Ctrl-C after so many steps."""
    bar = painting.step_bar

    @contextmanager
    def interrupting(context: Context) -> Iterator[Callable[[Step], None]]:
        with bar(context) as told:

            def watch(step: Step) -> None:
                told(step)
                if step.number == number:
                    os.kill(os.getpid(), signal.SIGINT)

            yield watch

    monkeypatch.setattr(painting, "step_bar", interrupting)


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def test_a_picture_its_recipe_and_its_repetition(oko: Oko, capsys: pytest.CaptureFixture[str]) -> None:
    assert oko("a red circle | grey:-0.5", *SMALL, "--steps", 5, "-o", "a.png") == 0
    out, err = capsys.readouterr()
    assert out == "a.png\n"
    assert "48 x 32 in 5 steps" in err
    with Image.open("a.png") as image:
        assert image.size == (48, 32)
        assert image.info["Description"] == "a red circle | grey:-0.5"
    recipe = recipes.read_recipe(Path("a.png"))
    assert (recipe.course.steps, recipe.course.seed, recipe.sight.perceptors) == (5, "a seed", ("tiny",))
    assert len(recipe.means.vqgan_sha256) == 64
    assert oko("--from", "a.png", "-o", "b.png", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["steps"], found["interrupted"]) == (5, False)
    assert Path("b.png").read_bytes() == Path("a.png").read_bytes()
    assert oko("--from", "a.png", "--seed", "another", "-o", "c.png") == 0
    assert pixels(Path("c.png")) != pixels(Path("a.png"))
    assert sorted(os.listdir()) == ["a.png", "b.png", "c.png"]


def test_ctrl_c_keeps_the_picture_and_resume_ends_it(
    oko: Oko, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    course = [*SMALL, "--steps", 6, "--video", "v.webp", "--seconds", 1]
    assert oko("a red circle", *course, "-o", "whole.png") == 0
    os.remove("v.webp")
    with monkeypatch.context() as patch:
        interrupt_at(3, patch)
        assert oko("a red circle", *course, "-o", "a.png") == 130
    err = capsys.readouterr().err
    assert "Interrupted after 3 of 6 steps; the best picture so far is kept" in err
    assert pixels(Path("a.png"))
    assert oko("a red circle", *course, "-o", "a.png") == 2
    assert oko("another", "--resume", "-o", "a.png") == 2
    assert oko("--resume", "-o", "a.png", "--video", "v.webp", "--seconds", 1) == 0
    assert pixels(Path("a.png")) == pixels(Path("whole.png"))
    assert length_ms(Path("v.webp")) == 6 * round(1000 / 15)
    assert sorted(os.listdir()) == ["a.png", "v.webp", "whole.png"]


def test_what_was_painted_is_kept_every_few_steps(
    oko: Oko, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = []
    save = painting.paintfiles.save_picture

    def watch(path: Path, *given: object, **more: object) -> None:
        save(path, *given, **more)  # type: ignore[arg-type]
        saved.append(pixels(path))

    monkeypatch.setattr(painting.paintfiles, "save_picture", watch)
    assert oko("a", *SMALL, "--steps", 5, "--save-every", 2, "--no-recipe", "-o", "a.png") == 0
    assert len(saved) == 3
    assert len(set(saved)) == 3
    assert oko("--from", "a.png", "-o", "b.png") == 2
    assert "a.png holds no recipe" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_a_film_by_ffmpeg(oko: Oko) -> None:
    assert oko("a ^ b", *SMALL, "--steps", 4, "--video", "v.mp4", "--zoom", 1.1, "--move-every", 2) == 0
    assert Path("v.mp4").read_bytes()[4:8] == b"ftyp"


def test_without_ffmpeg_a_film_is_webp(oko: Oko, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oko.films._has_ffmpeg", lambda: False)
    assert oko("A Red Circle!", *SMALL, "--steps", 2, "--video", "v.mp4") == 0
    assert sorted(os.listdir()) == ["a-red-circle.png", "v.webp"]


def test_many_wishes_at_once(oko: Oko, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 20), "red").save("red.png")
    Image.new("L", (8, 8), 255).save("mask.png")
    wishes = ["--image", "red.png:0.5", "--spot", "blue", "--spot-off", "green:0.5", "--mask", "mask.png"]
    wishes += ["--noise-prompt", "7:0.1", "--start-image", "red.png", "--keep", 1, "--palette", "red,#00f"]
    wishes += ["--smoothness", 0.1, "--symmetry", 1, "--saturation", 0.1, "--cutout-kind", "pooled"]
    small = [word for word in SMALL if word not in ("--size", "48x32")]
    assert (
        oko("a", *small, *wishes, "--steps", 2, "--optimiser", "radam", "--drops", "none", "-o", "a.png") == 0
    )
    recipe = recipes.read_recipe(Path("a.png"))
    assert [(p.kind, p.region, p.weight) for p in recipe.scenes[0]] == [
        ("text", "all", 1.0),
        ("text", "spot", 1.0),
        ("text", "rest", 0.5),
        ("image", "all", 0.5),
        ("noise", "all", 0.1),
    ]
    assert (recipe.canvas.width, recipe.canvas.height) == (360, 180)  # as large as the square, in its shape
    assert recipe.course.drops == ()
    Image.new("RGB", (40, 20), "green").save("red.png")
    assert oko("--from", "a.png", "-o", "b.png") == 2
    assert "red.png is not the one that the recipe was made with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([""], 2, "the prompt is empty"),
        ([], 2, "there is no prompt"),
        (["a:-1"], 2, "every prompt has a negative weight"),
        (["a", "--size", "20000x20000"], 2, "the width must lie between 16 and 8192"),
        (["a", "--size", "big"], 2, "--size 'big' makes no sense"),
        (["a", "--size", "32x32", "--aspect", "wide"], 2, "not both"),
        (["a", "--start-image", "gone.png"], 2, "the start picture gone.png cannot be read: No such file"),
        (["a", "--start-image", "text.txt"], 1, "text.txt: not a picture"),
        (["a", "-o", "nowhere/a.png"], 2, "the folder nowhere does not exist"),
        (["a", "-o", "a.jpg"], 2, "a.jpg does not end in .png"),
        (["a", "-o", "text.txt"], 2, "does not end in .png"),
        (["a", "-o", "there.png"], 2, "there.png is there already"),
        (["a", "--vqgan", "tiny"], 2, "tiny finds pictures, it cannot paint them"),
        (["a", "--clip", "little"], 2, "little paints pictures, it cannot judge them"),
        (["a", "--vqgan", "broken"], 1, "weights"),
        (["a", "--palette", "red,nocolour"], 2, "'nocolour' is no colour"),
        (["a", "--memory", "0.01"], 1, "painting does not fit into memory"),
        (["a", "--video", "v.gif"], 2, "v.gif does not end in .mp4 or .webp"),
        (["a ^ b ^ c", "--spot", "d ^ e"], 2, "different numbers of scenes"),
        (["--resume", "-o", "a.png"], 2, "no interrupted run of a.png was kept"),
        (["--from", "there.png"], 2, "there.png holds no recipe"),
        (["--from", "text.txt"], 1, "text.txt: not a picture"),
        ([" ".join(["word"] * 40)], 2, "the prompt is longer than tiny reads: of its 40 words the first"),
    ],
)
def test_what_cannot_be_painted_is_said_at_once(
    oko: Oko, library: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from library.models import Registry

    Path("text.txt").write_text("this is no picture")
    Image.new("RGB", (8, 8)).save("there.png")
    registry = Registry(library)
    if "broken" in words and "broken" not in [spec.name for spec in registry.list()]:
        broken = library.parent / "broken"
        shutil.copytree(library.parent / "networks" / "vqgan", broken)
        (broken / "vqgan.safetensors").write_bytes(b"no weights")
        registry.add("broken", arch="", weights=broken, kind="vqgan", check=lambda _: None)
    networks = [] if "--from" in words or "--resume" in words else ["--steps", "2", "--cutouts", "2"]
    if networks and "--vqgan" not in words:
        networks += ["--vqgan", "little"]
    if networks and "--clip" not in words:
        networks += ["--clip", "tiny"]
    before = sorted(os.listdir())
    assert oko(*words, *networks) == code
    assert said in capsys.readouterr().err
    assert sorted(os.listdir()) == before


def test_a_full_disk_leaves_no_half_file(
    oko: Oko, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.suffix == ".png":
            write(path, bytes(data)[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert oko("a", *SMALL, "--steps", 2, "-o", "a.png") == 1
    assert "no room for a.png: No space left on device" in capsys.readouterr().err
    assert os.listdir() == []


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(oko: Oko, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkdir("locked", 0o500)
    assert oko("a", *SMALL, "-o", "locked/a.png") == 2
    assert "locked/a.png cannot be written: Permission denied" in capsys.readouterr().err


def test_little_memory_changes_how_it_is_painted(oko: Oko, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["a", *SMALL, "--size", "256x256", "--steps", 1, "--memory"]
    assert oko(*words, 0.28, "-o", "a.png") == 0
    assert "are wanted and 0.3 GB free" in capsys.readouterr().err
    means = recipes.read_recipe(Path("a.png")).means
    assert means.piece < 8 or means.tile


def test_into_the_library_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = small_library.make(tmp_path, monkeypatch)
    register(small.folder, tmp_path / "networks")
    monkeypatch.setenv("OKO_PAINTED_FOLDER", str(tmp_path / "Painted"))
    monkeypatch.chdir(tmp_path)
    wishes = ["--like", "red:0.5", "--like-top", "2", "--add", "--json", "-o", "a.png"]
    assert small.oko("generate", "a red circle", *SMALL, "--steps", 2, *wishes) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert "Like red: " in err
    assert [p["weight"] for p in found["recipe"]["scenes"][0]] == [1.0, 0.25, 0.25]
    assert found["added"] == str(tmp_path / "Painted" / "a.png")
    assert Path(found["added"]).read_bytes() == Path("a.png").read_bytes()
    assert small.oko("search", "circle", "--tag", "generated", "--all", "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["id"], result["path"]) == (found["photo_id"], found["added"])


def test_every_option_is_in_the_documents_as_it_is() -> None:
    from oko.docs import ROOT, filled, painting_blocks

    page = (ROOT / "docs" / "painting.md").read_text(encoding="utf-8")
    assert "`--cut-power P`" in page
    assert filled(page, painting_blocks()) == page, "run: python -m oko.docs --write"


def test_the_parser_offers_what_the_painter_knows() -> None:
    import argparse

    from oko.commands import generate_

    parser = argparse.ArgumentParser()
    generate_.add_arguments(parser)
    choices = {action.dest: action.choices for action in parser._actions}
    assert tuple(choices["optimiser"] or ()) == OPTIMISERS
    assert {*(choices["start"] or ()), "image"} == set(STARTS)
    assert Recipe(scenes=()).course.optimiser == OPTIMISERS[0]
    about = next(action.help or "" for action in parser._actions if action.dest == "quality")
    assert re.findall(r"\d+", about.replace("192 x 192", "192")) == [
        str(number) for steps, _, side_px in QUALITIES.values() for number in (steps, side_px)
    ]
