"""A whole run: it learns, goes on where it stopped as if it had not, and leaves a model that loads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from library.clip import load_clip
from library.errors import ModelError, UsageError
from library.presets import ModelSpec
from library.weights import CONFIG_FILE
from tests.training.shapes import VOCABULARY, divided, loaded
from training.clip import ClipRun, Listeners
from training.learner import Teacher
from training.options import ClipOptions
from training.photos import Photo, Source, Split
from training.run import Progress, checkpoint_file
from training.towers import copy_text_tower

torch = pytest.importorskip("torch")

# Small and quick; every run here differs from it in what it is about.
PLAIN = ClipOptions(batch=32, lr=1e-3, lock="none", steps=20, near=0, precision="fp32")


def run_of(
    tiny: ModelSpec, split: Split, folder: Path, options: ClipOptions = PLAIN, *, near: bool = False
) -> ClipRun:
    clip = loaded(tiny)
    return ClipRun(
        clip, split, options, folder, teacher=Teacher(copy_text_tower(clip), True) if near else None
    )


def losses(run: ClipRun) -> list[float]:
    return [line["loss"] for line in run.journal.lines("step")]


def interrupted_at(step: int) -> Listeners:
    def told(progress: Progress) -> None:
        if progress.phase == "train" and progress.done == step:
            raise KeyboardInterrupt

    return Listeners(told=told)


def test_it_learns_and_the_model_loads(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    split = divided(pictures)
    options = dataclasses.replace(PLAIN, steps=220, batch=64, lr=2e-3)
    run = run_of(tiny, split, tmp_path / "mine", options)
    trained = run.run()
    assert trained.before is not None
    assert trained.after is not None
    assert np.mean(losses(run)[-10:]) < 0.6 * losses(run)[0]
    # 24 kinds, so chance finds a right one of some 50 held-back pictures in 5 % of the cases.
    assert trained.before.text_to_image[1] < 0.2
    assert trained.after.text_to_image[1] > 0.5
    assert trained.after.image_to_text[5] > 0.5
    folder = trained.folder
    assert {path.name for path in folder.iterdir()} == {
        CONFIG_FILE,
        VOCABULARY,
        "open_clip_model.safetensors",
        "training",
    }
    assert [path.name for path in (folder / "training").iterdir()] == ["log.jsonl"]
    again = load_clip(ModelSpec(name="mine", source="local", weights=folder), device="cpu", precision="fp32")
    tokens = again.tokenizer(["a red circle", "a blue bar"])
    with torch.no_grad():
        ours = torch.nn.functional.normalize(run.towers.text_vectors(tokens))
        theirs = torch.nn.functional.normalize(again.module.encode_text(tokens))  # type: ignore[operator]
    assert torch.allclose(ours, theirs, atol=5e-3)  # float16 on disk
    assert again.stamp.weights_sha256 != loaded(tiny).stamp.weights_sha256


@pytest.mark.parametrize(
    "options",
    [
        dataclasses.replace(PLAIN, steps=12, average=0.9, keep=0.3, near=1.0),
        dataclasses.replace(PLAIN, steps=12, lock="image", unfreeze=2, views=3, loss="siglip"),
        dataclasses.replace(PLAIN, steps=12, piece=8),
    ],
    ids=["pixels, average, teacher", "cached features, siglip", "gradient caching"],
)
def test_going_on_gives_the_same_losses(
    tiny: ModelSpec, pictures: Path, tmp_path: Path, options: ClipOptions
) -> None:
    split = divided(pictures)
    whole = run_of(tiny, split, tmp_path / "whole", options, near=True)
    wanted = whole.run()
    clip = loaded(tiny)
    teacher = Teacher(copy_text_tower(clip), True)
    first = ClipRun(clip, split, options, tmp_path / "b", teacher=teacher, listeners=interrupted_at(6))
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert len(losses(first)) == 6
    first.journal.write("step", step=7, loss=99.0, lr=0, logit_scale=0)  # a step after the checkpoint
    second = run_of(tiny, split, tmp_path / "b", options, near=True)
    found = second.run(resume=True)
    assert losses(second) == losses(whole)
    assert found.after == wanted.after
    assert found.before == wanted.before
    weights = "open_clip_model.safetensors"
    assert (tmp_path / "whole" / weights).read_bytes() == (tmp_path / "b" / weights).read_bytes()


def test_a_kill_without_warning_leaves_the_last_checkpoint(
    tiny: ModelSpec, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = divided(pictures)
    options = dataclasses.replace(PLAIN, steps=8)
    wanted = run_of(tiny, split, tmp_path / "whole", options)
    wanted.run()
    monkeypatch.setattr("training.run.CHECKPOINT_S", 0.0)  # after every step
    clip = loaded(tiny)
    first = ClipRun(clip, split, options, tmp_path / "b", listeners=interrupted_at(5))
    # As after a kill: nothing is written on the way out, and the step in flight is lost.
    real = first._save_checkpoint
    monkeypatch.setattr(first, "_save_checkpoint", lambda: real() if first._step < 5 else None)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second = run_of(tiny, split, tmp_path / "b", options)
    second.run(resume=True)
    assert losses(second) == losses(wanted)


def test_another_run_is_not_gone_on_with(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    split = divided(pictures)
    first = ClipRun(loaded(tiny), split, PLAIN, tmp_path, listeners=interrupted_at(2))
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert checkpoint_file(tmp_path).exists()
    with pytest.raises(UsageError, match="lr"):
        run_of(tiny, split, tmp_path, dataclasses.replace(PLAIN, lr=1e-4)).run(resume=True)


def test_seeds(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    split = divided(pictures)
    runs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run = run_of(tiny, split, tmp_path / name, dataclasses.replace(PLAIN, steps=3, seed=seed))
        run.run()
        runs.append(losses(run))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_bad_pictures_stop_nothing(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    bad = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(bad):
        path.write_bytes(b"no picture %d" % number)
    split = divided(pictures, 0.1)
    extra = tuple(Photo(Source(path), ("a red circle",)) for path in bad)
    split = Split(split.training + extra[:2], split.held_back + extra[2:])
    for name, options in (
        ("cached", dataclasses.replace(PLAIN, lock="image", steps=10)),
        ("pixels", dataclasses.replace(PLAIN, steps=10)),
    ):
        run = run_of(tiny, split, tmp_path / name, options)
        trained = run.run()
        assert {problem.name for problem in trained.problems} == {str(path) for path in bad}
        assert len([line for line in run.journal.lines("problem") if "held" not in line]) == 3
        assert trained.after is not None
        assert trained.after.photos == len(split.held_back) - 1


def test_a_loss_that_is_no_number_is_said(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    run = run_of(tiny, divided(pictures), tmp_path)
    with torch.no_grad():
        next(iter(run.towers.tensors.values())).fill_(float("nan"))
    with pytest.raises(ModelError, match="no number"):
        run.run()


def test_what_is_locked_stays(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    def changed(options: ClipOptions, name: str) -> set[str]:
        before = {k: v.clone() for k, v in loaded(tiny).module.state_dict().items()}
        run = run_of(tiny, divided(pictures), tmp_path / name, options)
        run.run()
        after = run.towers.module.state_dict()
        return {key for key in before if not torch.equal(before[key], after[key])}

    few = dataclasses.replace(PLAIN, steps=2)
    image = changed(dataclasses.replace(few, lock="image", unfreeze=0), "image")
    assert not [key for key in image if key.startswith("visual.")]
    assert "text_projection" in image
    last = changed(dataclasses.replace(few, lock="image", unfreeze=1), "last")
    assert {key for key in last if key.startswith("visual.")} == {
        "visual.proj",
        "visual.ln_post.weight",
        "visual.ln_post.bias",
    }
    text = changed(dataclasses.replace(few, lock="text"), "text")
    assert not [key for key in text if not key.startswith(("visual.", "logit_scale"))]
    assert "visual.conv1.weight" in text


def test_keep_and_teacher_hold_the_model_near(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    split = divided(pictures)

    def moved(name: str, **changes: float) -> float:
        start = loaded(tiny)
        run = run_of(tiny, split, tmp_path / name, dataclasses.replace(PLAIN, **changes), near=True)  # type: ignore[arg-type]
        run.run()
        tokens = start.tokenizer(["a dog on the beach", "a red circle"])
        with torch.no_grad():
            was = torch.nn.functional.normalize(start.module.encode_text(tokens))  # type: ignore[operator]
            return float(1 - (was * run.towers.text_vectors(tokens)).sum(1).mean())

    free = moved("free")
    assert moved("near", near=20.0) < 0.5 * free
    assert moved("keep", keep=0.7) < 0.5 * free
    assert moved("all", keep=1.0) < 1e-3


def test_too_few_photos(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    split = divided(pictures)
    with pytest.raises(UsageError, match="too few"):
        run_of(tiny, Split(split.training[:1], ()), tmp_path).run()


def test_nothing_to_train(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is left"):
        run_of(tiny, divided(pictures), tmp_path, dataclasses.replace(PLAIN, lock="text", unfreeze=0))


@pytest.mark.parametrize(("name", "value"), [("keep", 2.0), ("batch", 1), ("lr", -1.0), ("unfreeze", -1)])
def test_options_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=name):
        dataclasses.replace(PLAIN, **{name: value}).check()  # type: ignore[arg-type]


def test_the_log_is_one_object_a_line(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    run = run_of(tiny, divided(pictures), tmp_path, dataclasses.replace(PLAIN, steps=7))
    run.run()
    lines = [json.loads(line) for line in run.journal.path.read_text().splitlines()]
    assert [line["kind"] for line in lines][:2] == ["start", "measured"]
    assert lines[-1]["kind"] == "end"
    assert [line["step"] for line in lines if line["kind"] == "step"] == list(range(1, 8))
    assert {line["when"] for line in lines if line["kind"] == "measured"} >= {"before", "epoch", "after"}
