"""VQGAN weights from files: the authors' releases (.ckpt with .yaml) and our own form (.safetensors with .json).

A .ckpt of theirs is a training checkpoint: besides the network it holds the discriminator, the perceptual
network (`loss.*`), the optimisers' state, and objects of the training program Lightning. Only the network is taken,
strictly, and nothing in the file is run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generate.architecture import VQGANConfig
from library.building import without_random_fill
from library.checkpoints import load_strictly, read_checkpoint
from library.errors import ModelUnavailable, WeightsInvalid

if TYPE_CHECKING:
    from torch import Tensor

    from generate.vqgan import VQGAN

VQGAN_CONFIG_FILE = "vqgan_config.json"
VQGAN_WEIGHTS_FILE = "vqgan.safetensors"
BUILTIN_FOLDER = Path(__file__).parent / "builtin"
_FORMAT = 1
_MAX_CONFIG_BYTES = 1_000_000

# Not part of the network: the losses' own networks, averages (taken apart below), the random colours of
# segmentation maps, and the codes that a transformer was told of (our indices are always those of the whole codebook).
_LEFT_OUT = ("loss.", "model_ema.", "colorize", "quantize.used")
# Below any score that a network gives, and within float16.
_NEVER_CHOSEN = -1e4


def _stand_in(module: str, name: str) -> type:
    """An empty class under a foreign name: whatever the file would put into it is thrown away."""

    def ignore(self: object, *args: object, **more: object) -> None:
        return None

    return type(
        name, (), {"__module__": module, "__qualname__": name, "__init__": ignore, "__setstate__": ignore}
    )


# What Lightning's checkpoints name in their pickles, as the keys of the callbacks' states.
_STAND_INS = [
    _stand_in(module, name)
    for package in ("pytorch_lightning.callbacks", "lightning.pytorch.callbacks")
    for module, name in (
        (package, "ModelCheckpoint"),
        (f"{package}.model_checkpoint", "ModelCheckpoint"),
        (f"{package}.early_stopping", "EarlyStopping"),
    )
]


@dataclass(frozen=True, slots=True)
class _Described:
    """What a configuration file says: the network, and what its names begin with in the weights file."""

    config: VQGANConfig
    prefix: str = ""


def load_vqgan(checkpoint: Path, config: Path | None = None) -> VQGAN:
    """The network in a weights file, in float32 on the processor, in eval mode, without gradients for its weights.

    `checkpoint` is a .ckpt, .pt or .safetensors file, or a folder as `oko train vqgan` makes it; `config` its .yaml
    or .json, by default the one beside it. Of a checkpoint with averaged weights (EMA), the averages are taken; of one
    with a transformer for the codes, the VQGAN inside it. Keys and shapes must be exactly those of the network.
    Raises ModelUnavailable (no such file), WeightsInvalid (damaged, unsafe, does not fit, no configuration).
    """
    from generate.vqgan import VQGAN

    checkpoint = _weights_file(checkpoint)
    described = _read_config(config or config_beside(checkpoint))
    with without_random_fill():
        model = VQGAN(described.config)
    tensors = _network(read_checkpoint(checkpoint, stand_ins=_STAND_INS), described, list(model.state_dict()))
    load_strictly(model, tensors, what=str(checkpoint))
    model.requires_grad_(False)
    return model.eval()


def builtin_vqgan() -> VQGAN:
    """The small network inside the package, as `load_vqgan` gives it. Raises ModelUnavailable when it has none."""
    if not (BUILTIN_FOLDER / VQGAN_WEIGHTS_FILE).is_file():
        raise ModelUnavailable(
            "this package has no built-in VQGAN",
            hint="Add one: oko models add NAME FILE --config YAML (docs/painting.md).",
        )
    return load_vqgan(BUILTIN_FOLDER)


def read_config(checkpoint: Path, config: Path | None = None) -> VQGANConfig:
    """The shape of the network in a weights file or folder, without reading the weights; errors as `load_vqgan`."""
    return _read_config(config or config_beside(_weights_file(checkpoint))).config


def config_beside(checkpoint: Path) -> Path:
    """The configuration that belongs to a weights file, by its name. Raises WeightsInvalid when there is none."""
    names = [f"{checkpoint.stem}{ending}" for ending in (".yaml", ".yml", ".json")]
    names += [VQGAN_CONFIG_FILE, "model.yaml"]
    for name in names:
        if (checkpoint.parent / name).is_file():
            return checkpoint.parent / name
    raise WeightsInvalid(
        f"there is no configuration beside {checkpoint}",
        hint="Weights come with a .yaml or .json file that says their network's shape; name it with --config.",
    )


def to_json(config: VQGANConfig, **more: Any) -> str:
    """The content of our own configuration file; `more` is kept in it, and not read."""
    return (
        json.dumps({"format": _FORMAT, "kind": "vqgan", "network": config.as_json(), **more}, indent=1) + "\n"
    )


def _weights_file(checkpoint: Path) -> Path:
    file = checkpoint / VQGAN_WEIGHTS_FILE if checkpoint.is_dir() else checkpoint
    if not file.is_file():
        raise ModelUnavailable(f"the weights file {file} does not exist")
    return file


def _read_config(path: Path) -> _Described:
    import yaml

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_CONFIG_BYTES)
        text = data.decode("utf-8-sig")
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
        return _from_ours(content) if "network" in _mapping(content, "it") else _from_theirs(content)
    except OSError as error:
        raise ModelUnavailable(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsInvalid(
            f"{path} does not describe a VQGAN: {reason}",
            hint="It should be the .yaml or .json file that came with the weights.",
        ) from error


def _from_ours(content: Mapping[str, Any]) -> _Described:
    if content.get("format") != _FORMAT:
        raise ValueError(f"its format {content.get('format')!r} is not known to this version of oko")
    return _Described(VQGANConfig.from_json(_mapping(content["network"], "network")))


def _from_theirs(content: Mapping[str, Any]) -> _Described:
    """`model: {target, params: {ddconfig, n_embed, embed_dim}}`; of a transformer the `first_stage_config` inside."""
    model = _mapping(content.get("model", content), "model")
    params = _mapping(model.get("params", model), "model.params")
    prefix = ""
    if "first_stage_config" in params:
        model = _mapping(params["first_stage_config"], "first_stage_config")
        params = _mapping(model.get("params"), "first_stage_config.params")
        prefix = "first_stage_model."
    for name in ("ddconfig", "n_embed", "embed_dim"):
        if name not in params:
            raise ValueError(f"it has no {name}")
    is_gumbel = str(model.get("target", "")).rpartition(".")[2].startswith("Gumbel")
    values = {**_known(_mapping(params["ddconfig"], "ddconfig"), "ddconfig"), **_shared(params)}
    config = VQGANConfig(quantizer="gumbel" if is_gumbel else "vq", **values)
    config.check()
    return _Described(config, prefix)


def _known(ddconfig: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The settings that we have, each in its type; one that we lack may only be there when it is off."""
    kinds = {field.name: str(field.type) for field in fields(VQGANConfig)}
    missing = sorted({"ch", "ch_mult", "num_res_blocks", "attn_resolutions", "z_channels"} - ddconfig.keys())
    if missing:
        raise ValueError(f"{place} lacks {', '.join(missing)}")
    for name, value in ddconfig.items():
        if name not in kinds and value and (name, value) != ("attn_type", "vanilla"):
            raise ValueError(f"{place} asks for {name}: {value}, which oko's network does not have")
    return {name: _typed(name, value, kinds[name]) for name, value in ddconfig.items() if name in kinds}


def _shared(params: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"n_embed": "int", "embed_dim": "int", "kl_weight": "float"}
    return {name: _typed(name, params[name], kind) for name, kind in kinds.items() if name in params}


def _typed(name: str, value: Any, kind: str) -> Any:
    try:
        if kind.startswith("tuple"):
            return tuple(int(each) for each in value)
        return {"int": int, "float": float, "bool": bool}[kind](value)  # YAML reads 1e-8 as a text
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {value!r}") from error


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{place} holds no settings")
    return value


def _network(tensors: dict[str, Tensor], described: _Described, wanted: list[str]) -> dict[str, Tensor]:
    """The network's own tensors under their own names, out of everything that a training checkpoint holds."""
    if described.prefix:
        start = described.prefix
        tensors = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
    averages = {key: f"model_ema.{key.replace('.', '')}" for key in wanted}
    kept = {key: value for key, value in tensors.items() if not key.startswith(_LEFT_OUT)}
    if all(average in tensors for average in averages.values()):
        kept |= {key: tensors[average] for key, average in averages.items()}
    if described.config.quantizer == "gumbel" and "quantize.used" in tensors and "quantize.proj.bias" in kept:
        kept["quantize.proj.bias"] = _only(kept["quantize.proj.bias"], tensors["quantize.used"])
    return kept


def _only(bias: Tensor, used: Tensor) -> Tensor:
    """(K,) scores' bias -> the same with the codes that are not `used` (J,) out of the choice."""
    limited = bias.new_full(bias.shape, _NEVER_CHOSEN)
    limited[used.long()] = bias[used.long()]
    return limited
