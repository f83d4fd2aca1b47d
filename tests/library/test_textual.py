"""Records of models: made when torch has loaded one, believed while nothing has changed, remade when damaged."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest

from library import textual, textual_export
from library.encoder import FEW_TEXTS, ClipEncoder, load_encoder
from library.errors import ConfigError
from library.presets import BUILTIN, BUILTIN_FOLDER, ModelSpec
from library.textual import read_record, record_path, recorded
from library.textual_export import PROBES

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder for this test alone."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: folder)
    return folder


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    """The built-in model in a folder of its own, whose files a test may change."""
    folder = tmp_path / "model"
    shutil.copytree(BUILTIN_FOLDER, folder, ignore=shutil.ignore_patterns("vqgan*"))
    return ModelSpec(name="mine", source="local", weights=folder)


def encoder(spec: ModelSpec, **options: Any) -> ClipEncoder:
    return load_encoder(spec, **{"device": "cpu", "precision": "fp32"} | options)


def by_torch(spec: ModelSpec, texts: list[str]) -> np.ndarray:
    """What torch says, whatever is recorded."""
    model = encoder(spec).clip
    return ClipEncoder(lambda: model).encode_texts(texts)


def refusal(spec: ModelSpec) -> str:
    """Why the recorded model's texts need torch."""
    record = read_record(spec)
    assert record is not None
    return record.refused


def test_texts_need_no_torch_once_a_model_was_loaded(spec: ModelSpec) -> None:
    first = encoder(spec)
    assert first.words is None
    facts = (first.stamp, first.logit_scale, first.logit_bias, first.min_side_px)
    assert first.loaded
    second = encoder(spec)
    assert (second.stamp, second.logit_scale, second.logit_bias, second.min_side_px) == facts
    texts = [*PROBES, "another text", "ještě jeden"]
    vectors = second.encode_texts(texts)
    assert not second.loaded
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.abs(vectors - by_torch(spec, texts)).max() <= 1e-5
    assert second.encode_texts([]).shape == (0, second.stamp.dim)


def test_a_real_architecture_with_random_weights(tmp_path: Path) -> None:
    """ViT-B-32's own text tower and vocabulary, on a small image tower's model."""
    from safetensors.torch import save_file

    torch.manual_seed(4)
    path = tmp_path / "weights.safetensors"
    module = open_clip.create_model("ViT-S-32-alt", load_weights=False)
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, path)
    mine = ModelSpec(name="mine", source="local", arch="ViT-S-32-alt", weights=path)
    theirs = by_torch(mine, list(PROBES))
    words = encoder(mine)
    assert np.abs(words.encode_texts(list(PROBES)) - theirs).max() <= textual_export.MOST_APART
    assert not words.loaded


def test_the_record_is_its_owners_alone(spec: ModelSpec) -> None:
    _ = encoder(spec).clip
    path = record_path(spec)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_config.json", "bpe_*.txt.gz"])
def test_a_changed_file_ends_it(spec: ModelSpec, name: str) -> None:
    _ = encoder(spec).clip
    assert spec.weights is not None
    file = next(spec.weights.glob(name))
    time_ns = file.stat().st_mtime_ns
    os.utime(file, ns=(time_ns, time_ns + 1_000_000_000))
    assert recorded(spec) is None
    _ = encoder(spec).clip
    assert recorded(spec) is not None
    file.unlink()
    assert recorded(spec) is None


def test_other_weights_of_the_same_size_and_time_end_it(spec: ModelSpec) -> None:
    _ = encoder(spec).clip
    assert spec.weights is not None
    file = spec.weights / "open_clip_model.safetensors"
    times, content = file.stat(), bytearray(file.read_bytes())
    content[-8:] = reversed(content[-8:])
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert recorded(spec) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"heads": 4', '"heads": 2'),
        lambda text: json.dumps({"sha256": "x", "record": []}),
        lambda text: "[]",
    ],
)
def test_a_damaged_record_is_made_again(spec: ModelSpec, damage: Any) -> None:
    _ = encoder(spec).clip
    path = record_path(spec)
    good = path.read_text()
    path.write_text(damage(good))
    assert read_record(spec) is None
    _ = encoder(spec).clip
    assert json.loads(path.read_text()) == json.loads(good)


def test_what_gives_other_vectors_is_refused(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("library.text_tower._erf", np.tanh)
    model = encoder(spec)
    vectors = by_torch(spec, ["a dog"])
    found = read_record(spec)
    assert found is not None
    assert "vectors would differ" in found.refused
    monkeypatch.undo()
    assert np.array_equal(model.encode_texts(["a dog"]), vectors), "torch was asked"


def test_another_tokenizer_and_other_files_are_refused(spec: ModelSpec) -> None:
    model = encoder(spec).clip
    other = replace(spec, name="other")
    config = {"model_cfg": {"text_cfg": {"hf_tokenizer_name": "org/name"}}}
    assert textual_export.remember(other, replace(model, config=config, files=())) is None
    assert "from the hub" in refusal(other)
    other = replace(spec, name="another")
    assert textual_export.remember(other, replace(model, files=())) is None  # with open_clip's own vocabulary
    assert "tokenizer is another one" in refusal(other)
    other = replace(spec, name="pickled")
    pickled = (spec.weights or Path()) / "weights.bin"
    pickled.write_bytes(b"x")
    assert textual_export.remember(other, replace(model, weights=pickled)) is None
    assert ".safetensors" in refusal(other)


def test_weights_that_turn_out_unsound_leave_it_to_torch(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = by_torch(spec, ["a dog"])
    monkeypatch.setattr(textual, "TensorFile", lambda path: (_ for _ in ()).throw(ValueError("torn")))
    model = encoder(spec)
    with caplog.at_level(logging.DEBUG):
        assert np.abs(model.encode_texts(["a dog"]) - expected).max() <= 1e-6
    assert "torn" in caplog.text
    assert model.loaded


def test_a_cache_that_cannot_be_written_is_no_error(spec: ModelSpec, cache: Path) -> None:
    cache.write_text("a file, where a folder should be")
    assert encoder(spec).encode_texts(["a dog"]).shape == (1, encoder(spec).stamp.dim)
    assert recorded(spec) is None


def test_a_device_or_format_that_was_asked_for_is_torchs(spec: ModelSpec) -> None:
    _ = encoder(spec).clip
    for options in ({"device": "cuda:7"}, {"precision": "fp16"}, {"precision": "int3"}):
        with pytest.raises(ConfigError):
            encoder(spec, **options).encode_texts(["a dog"])
    assert encoder(spec, device="auto", precision="auto").words is not None


def test_many_texts_ask_torch_which_may_have_a_gpu(spec: ModelSpec) -> None:
    _ = encoder(spec).clip
    model = encoder(spec)
    model.encode_texts(["a dog"] * (FEW_TEXTS // 10))
    assert not model.loaded
    vectors = model.encode_texts(["a dog"] * (FEW_TEXTS + 1))
    assert model.loaded
    assert len(vectors) == FEW_TEXTS + 1


def test_old_records_are_forgotten(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textual, "_MOST_RECORDS", 2)
    model = encoder(spec).clip
    for number in range(4):
        textual_export.remember(replace(spec, name=f"number {number}"), model)
    assert len(list(record_path(spec).parent.iterdir())) == 2


def test_the_built_in_model_is_recorded_too() -> None:
    assert np.abs(by_torch(BUILTIN, ["a dog"]) - encoder(BUILTIN).encode_texts(["a dog"])).max() <= 1e-5
    assert not encoder(BUILTIN).loaded
    assert recorded(BUILTIN) is not None
