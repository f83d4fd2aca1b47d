"""Weights files: as the authors released them, as we write them, and broken ones."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from generate import load
from generate.load import (
    VQGAN_CONFIG_FILE,
    VQGAN_WEIGHTS_FILE,
    builtin_vqgan,
    load_vqgan,
    read_config,
    to_json,
)
from generate.vqgan import VQGAN, VQGANConfig
from library.errors import ModelUnavailable, WeightsInvalid
from tests.generate.networks import SMALL, TINY, checkpoint, made, pictures, yaml_of

GUMBEL = dataclasses.replace(SMALL, quantizer="gumbel")


def released(folder: Path, config: VQGANConfig = SMALL, **tensors: torch.Tensor) -> tuple[Path, VQGAN]:
    """model.ckpt and model.yaml of a network, which comes along."""
    model = made(config)
    (folder / "model.yaml").write_text(yaml_of(config))
    return checkpoint(folder / "model.ckpt", {**model.state_dict(), **tensors}), model


@pytest.mark.parametrize("config", [SMALL, GUMBEL], ids=["vq", "gumbel"])
def test_a_checkpoint_of_the_authors(config: VQGANConfig, tmp_path: Path) -> None:
    path, model = released(tmp_path, config)
    found = load_vqgan(path, tmp_path / "model.yaml")
    assert found.config == config
    assert not found.training
    assert not any(parameter.requires_grad for parameter in found.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)
    assert torch.equal(found(pictures())[0], model(pictures())[0])


# From the published shapes: widths are ch x ch_mult, each level has blocks, the decoder one more than the encoder.
def keys_of(
    ch: int, mult: list[int], attention: set[int], z: int, entries: int, *, gumbel: bool
) -> dict[str, Any]:
    """Names and shapes written down level by level, with nothing taken from the network."""
    table: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int) -> None:
        table[f"{name}.weight"] = shape
        table[f"{name}.bias"] = shape[:1]

    def block(name: str, before: int, after: int) -> None:
        layer(f"{name}.norm1", before)
        layer(f"{name}.conv1", after, before, 3, 3)
        layer(f"{name}.norm2", after)
        layer(f"{name}.conv2", after, after, 3, 3)
        if before != after:
            layer(f"{name}.nin_shortcut", after, before, 1, 1)

    def attend(name: str, width: int) -> None:
        layer(f"{name}.norm", width)
        for part in ("q", "k", "v", "proj_out"):
            layer(f"{name}.{part}", width, width, 1, 1)

    last, top = len(mult) - 1, ch * mult[-1]
    for side in ("encoder", "decoder"):
        block(f"{side}.mid.block_1", top, top)
        attend(f"{side}.mid.attn_1", top)
        block(f"{side}.mid.block_2", top, top)
    layer("encoder.conv_in", ch, 3, 3, 3)
    layer("decoder.conv_in", top, z, 3, 3)
    before = ch
    for level, times in enumerate(mult):
        for number in range(2):
            block(f"encoder.down.{level}.block.{number}", before, ch * times)
            before = ch * times
            if level in attention:
                attend(f"encoder.down.{level}.attn.{number}", before)
        if level != last:
            layer(f"encoder.down.{level}.downsample.conv", before, before, 3, 3)
    layer("encoder.norm_out", top)
    layer("encoder.conv_out", z, top, 3, 3)
    before = top
    for level in range(last, -1, -1):
        for number in range(3):
            block(f"decoder.up.{level}.block.{number}", before, ch * mult[level])
            before = ch * mult[level]
            if level in attention:
                attend(f"decoder.up.{level}.attn.{number}", before)
        if level != 0:
            layer(f"decoder.up.{level}.upsample.conv", before, before, 3, 3)
    layer("decoder.norm_out", ch)
    layer("decoder.conv_out", 3, ch, 3, 3)
    layer("quant_conv", 256, z, 1, 1)
    layer("post_quant_conv", z, 256, 1, 1)
    if gumbel:
        layer("quantize.proj", entries, z, 1, 1)
        table["quantize.embed.weight"] = (entries, 256)
    else:
        table["quantize.embedding.weight"] = (entries, 256)
    return table


F16, F8 = [1, 1, 2, 2, 4], [1, 1, 2, 4]


@pytest.mark.parametrize(
    ("entries", "mult", "attention", "gumbel", "parameters"),
    [
        (1024, F16, {4}, False, 72_141_699),
        (16384, F16, {4}, False, 76_073_859),
        (8192, F8, {3}, True, 68_995_971),
    ],
    ids=["imagenet_f16_1024", "imagenet_f16_16384", "openimages_f8_gumbel"],
)
def test_names_and_shapes_of_the_released_networks(
    entries: int, mult: list[int], attention: set[int], gumbel: bool, parameters: int, tmp_path: Path
) -> None:
    wanted = keys_of(128, mult, attention, 256, entries, gumbel=gumbel)
    config = VQGANConfig(
        ch_mult=tuple(mult),
        attn_resolutions=(32,) if gumbel else (16,),
        n_embed=entries,
        quantizer="gumbel" if gumbel else "vq",
    )
    (tmp_path / "model.yaml").write_text(yaml_of(config))
    (tmp_path / "model.ckpt").write_bytes(b"only the configuration is read")
    assert read_config(tmp_path / "model.ckpt") == config
    with torch.device("meta"):
        model = VQGAN(config)
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == wanted
    assert sum(value.numel() for value in model.parameters()) == parameters


def test_a_transformer_has_a_vqgan_inside(tmp_path: Path) -> None:
    model = made(SMALL)
    lines = yaml_of(SMALL).removeprefix("model:\n").splitlines()
    inside = "\n".join(f"    {line}" for line in lines)
    head = "model:\n  target: taming.models.cond_transformer.Net2NetTransformer\n  params:\n    first_stage_config:\n"
    (tmp_path / "model.yaml").write_text(f"{head}{inside}\n")
    tensors = {f"first_stage_model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {"first_stage_model.loss.discriminator.main.0.bias": torch.ones(2)}
    tensors |= {"transformer.tok_emb.weight": torch.ones(2), "cond_stage_model.colorize": torch.ones(2)}
    found = load_vqgan(checkpoint(tmp_path / "model.ckpt", tensors))
    assert torch.equal(found(pictures())[0], model(pictures())[0])


def test_averaged_weights_are_taken(tmp_path: Path) -> None:
    averaged = made(SMALL, seed=5)
    names = {f"model_ema.{name.replace('.', '')}": value for name, value in averaged.state_dict().items()}
    counters = {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7)}
    path, _ = released(tmp_path, SMALL, **names, **counters)
    assert torch.equal(load_vqgan(path)(pictures())[0], averaged(pictures())[0])


def test_codes_that_were_renumbered(tmp_path: Path) -> None:
    used = torch.tensor([3, 5, 11])
    path, model = released(tmp_path, SMALL, **{"quantize.used": used, "colorize": torch.ones(3, 2, 1, 1)})
    assert torch.equal(load_vqgan(path)(pictures())[0], model(pictures())[0])
    path, _ = released(tmp_path, GUMBEL, **{"quantize.used": used})
    found = load_vqgan(path)
    assert set(found.quantize(found.encode(pictures())).indices.unique().tolist()) <= {3, 5, 11}


def test_our_own_form(tmp_path: Path) -> None:
    model = made(TINY)
    (tmp_path / VQGAN_CONFIG_FILE).write_text(to_json(TINY, trained={"steps": 3}))
    halves = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(halves, tmp_path / VQGAN_WEIGHTS_FILE)
    for place in (tmp_path, tmp_path / VQGAN_WEIGHTS_FILE):
        found = load_vqgan(place)
        assert found.config == TINY
        assert found.codebook.dtype == torch.float32
        torch.testing.assert_close(found.codebook, model.codebook, atol=2e-3, rtol=0)


def test_safetensors_with_their_yaml(tmp_path: Path) -> None:
    model = made(SMALL)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, tmp_path / "a.safetensors"
    )
    (tmp_path / "other.yml").write_text(yaml_of(SMALL))
    with pytest.raises(WeightsInvalid, match="no configuration beside") as caught:
        load_vqgan(tmp_path / "a.safetensors")
    assert "--config" in caught.value.hint
    assert load_vqgan(tmp_path / "a.safetensors", tmp_path / "other.yml").config == SMALL


class Trap:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def test_code_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    path, model = released(tmp_path)
    torch.save({"state_dict": model.state_dict(), "callbacks": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(WeightsInvalid, match=r"posix\.mkdir.*could run code"):
        load_vqgan(path)
    assert not (tmp_path / "sprung").exists()


def test_other_objects_than_lightnings_are_refused_by_name(tmp_path: Path) -> None:
    path, model = released(tmp_path)
    checkpoint(path, model.state_dict(), callback=("some.other.place", "ModelCheckpoint"))
    with pytest.raises(WeightsInvalid, match=r"some\.other\.place\.ModelCheckpoint"):
        load_vqgan(path)


def test_stand_ins_keep_nothing() -> None:
    for stand_in in load._STAND_INS:
        made = stand_in(1, name=2)
        made.__setstate__({"evil": 1})
        assert vars(made) == {}


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path, model = released(tmp_path)
    tensors = model.state_dict()
    del tensors["decoder.conv_out.bias"]
    tensors |= {"quantize.embedding.weight": torch.ones(3, 16), "surplus.weight": torch.ones(1)}
    checkpoint(path, tensors)
    with pytest.raises(WeightsInvalid) as caught:
        load_vqgan(path)
    for part in (
        "missing: decoder.conv_out.bias",
        "unknown: surplus.weight",
        "quantize.embedding.weight is (3, 16), not (24, 16)",
    ):
        assert part in caught.value.message


@pytest.mark.parametrize("content", ["", "half", "rubbish"])
def test_damaged_files(content: str, tmp_path: Path) -> None:
    path, _ = released(tmp_path)
    whole = path.read_bytes()
    path.write_bytes({"": b"", "half": whole[: len(whole) // 2], "rubbish": b"\0\1\2" * 999}[content])
    with pytest.raises(WeightsInvalid, match=re.escape(str(path))):
        load_vqgan(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="does not exist"):
        load_vqgan(tmp_path / "none.ckpt")
    path, _ = released(tmp_path)
    with pytest.raises(ModelUnavailable, match=r"none\.yaml"):
        load_vqgan(path, tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no settings"),
        ("model: 3", "model holds no settings"),
        ("model: {params: {n_embed: 3}}", "it has no ddconfig"),
        ("[1, 2", "does not describe a VQGAN"),
        ("a: !!python/object/apply:os.getcwd []", "does not describe a VQGAN"),
        (yaml_of(SMALL).replace("ch: 32", "ch: many"), "ch is 'many'"),
        (yaml_of(SMALL).replace("double_z: false", "double_z: true"), "without a codebook"),
        (yaml_of(SMALL).replace("out_ch: 3", "out_ch: 3\n      tanh_out: true"), "asks for tanh_out"),
        (yaml_of(SMALL).replace("in_channels: 3", "in_channels: 183"), "not for RGB pictures"),
        (yaml_of(SMALL).replace("n_embed: 24", "n_embed: 99999999999"), "n_embed is 99999999999"),
    ],
)
def test_configurations_that_say_nothing(text: str, why: str, tmp_path: Path) -> None:
    path, _ = released(tmp_path)
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(WeightsInvalid, match=re.escape(why)):
        load_vqgan(path)


def test_a_newer_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / VQGAN_CONFIG_FILE).write_text(to_json(TINY).replace('"format": 1', '"format": 2'))
    save_file({"a": torch.ones(1)}, tmp_path / VQGAN_WEIGHTS_FILE)
    with pytest.raises(WeightsInvalid, match="format 2 is not known"):
        load_vqgan(tmp_path)


def test_without_a_built_in_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BUILTIN_FOLDER", tmp_path)
    with pytest.raises(ModelUnavailable, match="no built-in VQGAN") as caught:
        builtin_vqgan()
    assert "oko models add" in caught.value.hint
