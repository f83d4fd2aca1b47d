"""A whole rebuild in small: it learns, goes on where it stopped, and leaves a model that loads."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from library.clip import load_clip
from library.errors import UsageError
from library.presets import ModelSpec
from library.weights import CONFIG_FILE, WEIGHTS_FILES
from tests.training.recipe.conftest import Done
from tests.training.recipe.small_world import SETTINGS, elsewhere
from training.journal import Journal
from training.recipe.rebuild import Places, Rebuild, is_finished
from training.recipe.vocabulary import VOCABULARY
from training.run import Progress

torch = pytest.importorskip("torch")


def lines(folder: Path, name: str, kind: str) -> list[dict[str, Any]]:
    return list(Journal(folder / "training" / f"{name}.jsonl").lines(kind))


def weights(folder: Path) -> bytes:
    return (folder / WEIGHTS_FILES[0]).read_bytes()


# Of what "joint" weighs most is noise at first; that the tower comes nearer to the turned teacher is not.
@pytest.mark.parametrize(("name", "loss"), [("text", "total"), ("head", "total"), ("joint", "teacher")])
def test_each_step_learns(done: Done, name: str, loss: str) -> None:
    losses = [line[loss] for line in lines(done.places.out, name, "step")]
    assert sum(losses[-4:]) < 0.96 * sum(losses[:4])


def test_the_folder_is_a_model(done: Done) -> None:
    out = done.places.out
    assert {path.name for path in out.iterdir()} == {CONFIG_FILE, VOCABULARY, WEIGHTS_FILES[0], "training"}
    assert is_finished(out)
    clip = load_clip(ModelSpec(name="new", source="local", weights=out), device="cpu", precision="fp32")
    assert clip.image_size == SETTINGS.trunk_image_px
    with torch.no_grad():
        module: Any = clip.module
        words = module.encode_text(clip.tokenizer(["a red circle", "ein rotes Kreis"]), normalize=True)
        picture = module.encode_image(
            clip.preprocess(Image.new("RGB", (40, 30), "#d22"))[None], normalize=True
        )
    assert words.shape == (2, SETTINGS.text_embed_dim)
    assert not torch.allclose(words[0], words[1], atol=1e-3)
    assert torch.isfinite(picture).all()


def test_every_language_comes_near_the_teacher(done: Done) -> None:
    first, *_, last = lines(done.places.out, "text", "measured")
    for name in ("en", "de", "fr", "cs"):
        assert last["languages"][name]["cosine"] > first["languages"][name]["cosine"]


def test_figures_are_of_held_out_photos(done: Done) -> None:
    facts = json.loads((done.places.out / "training" / "figures.json").read_text())
    figures = facts["figures"]
    assert figures == json.loads(json.dumps(done.rebuilt.figures))
    assert figures["photos"] == 14  # of 120
    assert set(figures["languages"]) == {"en", "de", "fr", "cs"}
    assert figures["classes"]["photos"] == figures["labels"]["photos"] == 3
    # What the last step measured in float32 is what the folder gives in float16.
    last = lines(done.places.out, "joint", "measured")[-1]
    assert figures["languages"]["en"]["5"] == pytest.approx(last["languages"]["en"]["5"], abs=0.15)
    assert facts["settings"]["text_steps"] == SETTINGS.text_steps
    for name in ("head", "joint"):
        with Image.open(done.places.out / "training" / f"{name}.png") as curves:
            assert curves.width > 1000


def test_every_step_tells_of_its_progress(done: Done) -> None:
    last = {progress.phase: progress for progress in done.told}
    assert {"words", "teacher", "text", "head", "joint"} <= set(last)
    assert all(progress.done == progress.total for progress in last.values())


def test_a_finished_rebuild_repeats_nothing(done: Done, tmp_path: Path) -> None:
    """With the work folder of another one only the folder is written again, to the same bytes."""
    told: list[Progress] = []
    again = dataclasses.replace(done.places, out=tmp_path / "again")
    Rebuild(again, SETTINGS, told.append).run()
    assert weights(again.out) == weights(done.places.out)
    assert not {"text", "head", "joint"} & {progress.phase for progress in told}


def test_an_interrupted_rebuild_ends_the_same(done: Done, tmp_path: Path) -> None:
    """Ctrl-C in each step that trains, and while features are made."""
    mine = elsewhere(done.places, tmp_path)
    for phase, at in (("text", 7), ("features of flickr8k, view 2", 64), ("head", 5), ("joint", 3)):
        with pytest.raises(KeyboardInterrupt):
            Rebuild(mine, SETTINGS, lambda p, phase=phase, at=at: stop(p, phase, at)).run()  # type: ignore[misc]
    Rebuild(mine, SETTINGS).run()
    assert weights(mine.out) == weights(done.places.out)
    for name in ("text", "head", "joint"):
        assert lines(mine.out, name, "step") == lines(done.places.out, name, "step")
    assert not list(mine.work.glob("*.part.pt"))


def stop(progress: Progress, phase: str, at: int) -> None:
    if progress.phase == phase and progress.done >= at:
        raise KeyboardInterrupt


def test_a_setting_redoes_its_own_step(done: Done, tmp_path: Path) -> None:
    told: list[Progress] = []
    work = tmp_path / "work"
    shutil.copytree(done.places.work, work)
    mine = dataclasses.replace(done.places, out=tmp_path / "out", work=work)
    Rebuild(mine, dataclasses.replace(SETTINGS, joint_near=3.0), told.append).run()
    trained = {progress.phase for progress in told} & {"text", "head", "joint"}
    assert trained == {"joint"}
    assert weights(mine.out) != weights(done.places.out)


def test_the_upper_blocks_learn_when_they_are_told_to(done: Done, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(done.places.work, work)
    mine = dataclasses.replace(done.places, out=tmp_path / "out", work=work)
    settings = dataclasses.replace(SETTINGS, tail_steps=2)
    Rebuild(mine, settings).run()
    before, after = (tensors(places.out) for places in (done.places, mine))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    trunk = {name.removeprefix("visual.trunk.") for name in changed if name.startswith("visual.trunk.")}
    assert {name.split(".")[1] for name in trunk if name.startswith("blocks.")} == {"5", "6"}
    assert "conv_head.weight" in trunk
    assert not [name for name in trunk if "running" in name or name.startswith(("conv_stem", "bn1"))]
    assert (mine.out / "training" / "tail.png").exists()


def tensors(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / WEIGHTS_FILES[0])


def test_an_unreadable_picture_is_named_and_passed_over(places: Places, done: Done, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(places.data, data)
    content = (data / "flickr8k.tar").read_bytes()
    first = content.index(b"\x89PNG")
    (data / "flickr8k.tar").write_bytes(content[:first] + bytes(200) + content[first + 200 :])
    few = dataclasses.replace(SETTINGS, text_steps=2, head_epochs=0.5, joint_steps=2, view_count=1)
    mine = dataclasses.replace(places, data=data, out=tmp_path / "out", work=tmp_path / "work")
    rebuilt = Rebuild(mine, few).run()
    assert [problem.name for problem in rebuilt.problems] == [f"{data / 'flickr8k.tar'}:000000.png"]


def test_what_is_missing_is_said_first(places: Places, tmp_path: Path) -> None:
    for change, words in (
        ({"data": tmp_path}, "flickr8k.tar does not exist"),
        ({"wordnet": tmp_path}, "data.noun cannot be read"),
        ({"starts": tmp_path}, "there is no .* in"),
    ):
        mine = dataclasses.replace(elsewhere(places, tmp_path), **change)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=words) as caught:
            Rebuild(mine, SETTINGS).run()
        assert caught.value.hint
        assert not mine.out.exists()
