"""CLIP as a torch module, with its tokenizer and preprocessing: the only file that imports open_clip.

For whoever needs the network itself (painting, training); everyone else uses `library.encoder`.
open_clip and torch are imported inside functions: they take seconds.
"""

from __future__ import annotations

import copy
import difflib
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from library.building import quiet, without_random_fill
from library.checkpoints import load_strictly, read_checkpoint
from library.devices import Precision
from library.errors import ModelError, ModelUnavailable, UnknownModel, WeightsInvalid
from library.precision import convert, make_fast
from library.presets import HUB_PREFIX, ModelSpec
from library.records import ModelStamp
from library.weights import (
    CONFIG_FILE,
    WEIGHTS_FILES,
    fetch_file,
    missing_transformers,
    require_transformers,
    sha256_of,
    unavailable,
)

if TYPE_CHECKING:
    import torch
    from PIL import Image

_Tokenize = Callable[[list[str]], "torch.Tensor"]

_PREPROCESSING = frozenset({"mean", "std", "interpolation", "resize_mode", "fill_color"})
# What open_clip, timm and transformers raise for a configuration they cannot build.
_BUILD_ERRORS = (ValueError, KeyError, TypeError, AttributeError, AssertionError, RuntimeError)


class Tokenizer:
    """Texts -> tokens, built on first use: some need the hub, and pictures need none. Thread-safe."""

    def __init__(self, make: Callable[[], _Tokenize]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._ready: _Tokenize | None = None

    def __call__(self, texts: list[str]) -> torch.Tensor:
        """N texts -> (N, context length) int64 on the CPU; longer texts are cut there.

        Raises ModelUnavailable when the tokenizer's files or its optional package are not here.
        """
        with self._lock:
            if self._ready is None:
                self._ready = self._make()
        return self._ready(texts)


@dataclass(frozen=True, slots=True)
class ClipModel:
    """A loaded CLIP. `module` is in eval mode on its device; only its image tower has `image_dtype`."""

    module: torch.nn.Module
    tokenizer: Tokenizer
    preprocess: Callable[[Image.Image], torch.Tensor]  # RGB picture -> (3, H, W) float32 on the CPU
    stamp: ModelStamp
    logit_scale: float  # the factor itself, already out of its logarithm
    logit_bias: float | None
    image_size: int  # the longer side of the tower's input, in pixels
    image_dtype: torch.dtype
    device: str
    config: dict[str, Any]  # what CONFIG_FILE says, or would say, of this model
    files: tuple[Path, ...] = ()  # its own vocabulary, which belongs beside CONFIG_FILE under the same name
    weights: Path | None = None  # the file that they came from


@dataclass(frozen=True, slots=True)
class _Recipe:
    """A spec with its files in place: what open_clip is to build, and what goes into it."""

    build_name: str
    tokenizer_name: str
    weights: Path
    folder: Path | None = None  # where CONFIG_FILE and the tokenizer's own files lie
    preprocess: dict[str, Any] = field(default_factory=dict)
    quick_gelu: bool = False
    resize_positions: bool = False  # published weights may be meant for another input size; files may not


def load_clip(
    spec: ModelSpec,
    *,
    device: str,
    precision: Precision,
    inference: bool = False,
    cache_dir: Path | None = None,
) -> ClipModel:
    """Builds the architecture, loads the weights strictly, and moves it all to `device`.

    The image tower is converted to `precision`; texts stay in float32, being one query at a time.
    `inference` trades what training needs for speed: the module then gives vectors, but can neither be
    trained nor saved. `cache_dir` replaces the ordinary hub cache.
    Raises UnknownModel (architecture or tag), ModelUnavailable (weights not here, hub unreachable, an
    optional package missing), WeightsInvalid (damaged, unsafe or of another architecture).
    """
    require_transformers(spec)
    with quiet():
        recipe = _locate(spec, cache_dir)
        module = _build(spec, recipe)
        _fill(module, recipe)
        dtype = _place(module, device, precision, inference)
        return _assemble(spec, recipe, module, dtype, device, cache_dir)


def blank_clip(folder: Path) -> ClipModel:
    """An untrained model as the folder's CONFIG_FILE describes it, in float32 on the processor.

    Its weights are random, by torch's seed, and its stamp names the configuration, as there are no weights to hash.
    Raises WeightsInvalid when there is no such file, or nothing can be built from it.
    """
    spec = ModelSpec(name="blank", source="local", weights=folder)
    with quiet():
        recipe = _folder_recipe(spec, folder, folder / CONFIG_FILE, f"local-dir:{folder}")
        module = _build(spec, recipe, is_filled=False)
        dtype = _place(module, "cpu", "fp32", inference=False)
        return _assemble(spec, recipe, module, dtype, "cpu", None)


def pretrained_files(arch: str, pretrained: str) -> tuple[str, tuple[str, ...]]:
    """Where open_clip keeps the weights of a tag: ("org/name" on the hub, file names in order of preference).

    Raises UnknownModel with the nearest names when there is no such architecture or tag.
    """
    with quiet():
        repo, name = _split_hub(_tag_config(arch, pretrained), f"{arch}/{pretrained}")
    return repo, name


def _locate(spec: ModelSpec, cache_dir: Path | None) -> _Recipe:
    if spec.source == "hub":
        config = fetch_file(spec.repo, (CONFIG_FILE,), what=spec.name, cache_dir=cache_dir)
        weights = fetch_file(spec.repo, WEIGHTS_FILES, what=spec.name, cache_dir=cache_dir)
        return _folder_recipe(spec, config.parent, weights, f"{HUB_PREFIX}{spec.repo}")
    if spec.source in ("preset", "open_clip"):
        tag = _tag_config(spec.arch, spec.pretrained)
        repo, names = _split_hub(tag, spec.name)
        return _Recipe(
            build_name=spec.arch,
            tokenizer_name=spec.arch,
            weights=fetch_file(repo, names, what=spec.name, cache_dir=cache_dir),
            preprocess=_preprocessing(tag),
            quick_gelu=bool(tag.get("quick_gelu")),
            resize_positions=True,
        )
    assert spec.weights is not None, "builtin and local specs say where their weights lie"
    if spec.weights.is_dir():
        return _folder_recipe(spec, spec.weights, _weights_in(spec.weights), f"local-dir:{spec.weights}")
    _known_architecture(spec.arch)
    return _Recipe(
        build_name=spec.arch,
        tokenizer_name=spec.arch,
        weights=spec.weights,
        preprocess=_usual_preprocessing(spec.arch),
    )


def _folder_recipe(spec: ModelSpec, folder: Path, weights: Path, tokenizer_name: str) -> _Recipe:
    if not (folder / CONFIG_FILE).is_file():
        raise WeightsInvalid(f"the model {spec.name} has no {CONFIG_FILE} in {folder}")
    return _Recipe(
        build_name=f"local-dir:{folder}", tokenizer_name=tokenizer_name, weights=weights, folder=folder
    )


def _weights_in(folder: Path) -> Path:
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    raise ModelUnavailable(
        f"there are no weights in {folder}", hint=f"It should hold {' or '.join(WEIGHTS_FILES)}."
    )


def _known_architecture(arch: str) -> None:
    import open_clip

    names = open_clip.list_models()
    if arch not in names:
        near = difflib.get_close_matches(arch, names, n=3, cutoff=0.5)
        hint = f"Nearest: {', '.join(near)}" if near else ""
        raise UnknownModel(f"open_clip has no architecture {arch!r}", hint=hint)


def _tag_config(arch: str, pretrained: str) -> dict[str, Any]:
    import open_clip

    _known_architecture(arch)
    config = open_clip.get_pretrained_cfg(arch, pretrained)
    if not config:
        tags = open_clip.list_pretrained_tags_by_model(arch)
        near = difflib.get_close_matches(pretrained, tags, n=3, cutoff=0.3) or tags[:5]
        hint = f"Nearest: {', '.join(f'{arch}/{tag}' for tag in near)}" if near else "It has none at all."
        raise UnknownModel(f"open_clip has no weights {pretrained!r} for {arch}", hint=hint)
    return cast(dict[str, Any], config)


def _preprocessing(tag: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tag.items() if key in _PREPROCESSING}


def _usual_preprocessing(arch: str) -> dict[str, Any]:
    """For weights from a file: what all published ones of the architecture agree on, else the default.

    open_clip itself would take that default even for SigLIP, which was trained on other pixels.
    """
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(arch)
    published = [_preprocessing(open_clip.get_pretrained_cfg(arch, tag)) for tag in tags]
    return published[0] if published and all(one == published[0] for one in published) else {}


def _split_hub(tag: dict[str, Any], what: str) -> tuple[str, tuple[str, ...]]:
    """open_clip writes "org/name/" for its usual file names, and "org/name/file" for another one."""
    org, _, rest = str(tag.get("hf_hub", "")).partition("/")
    name, _, file = rest.partition("/")
    if not name:
        raise ModelUnavailable(f"the weights of {what} are not on the model hub")
    if not file:
        return f"{org}/{name}", WEIGHTS_FILES
    return f"{org}/{name}", (str(PurePosixPath(file).with_suffix(".safetensors")), file)


def _build(spec: ModelSpec, recipe: _Recipe, *, is_filled: bool = True) -> torch.nn.Module:
    """The architecture; its weights are arbitrary when it `is_filled` later, else random."""
    import open_clip

    try:
        with without_random_fill() if is_filled else nullcontext():
            module = open_clip.create_model(
                recipe.build_name,
                load_weights=False,
                pretrained_text=False,
                force_quick_gelu=recipe.quick_gelu,
                force_preprocess_cfg=recipe.preprocess,
            )
    except OSError as error:  # a text tower whose configuration lies on the hub
        raise unavailable(spec.name, error) from error
    except _BUILD_ERRORS as error:
        if "transformers" in str(error):
            raise missing_transformers(spec.name) from error
        raise WeightsInvalid(f"the configuration of {spec.name} cannot be built: {error}") from error
    return cast("torch.nn.Module", module)


def _fill(module: torch.nn.Module, recipe: _Recipe) -> None:
    """Loads the weights, after the conversions that open_clip itself does for older files."""
    import torch
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed

    tensors = convert_state_dict(module, read_checkpoint(recipe.weights))
    if "positional_embedding" in tensors and not hasattr(module, "positional_embedding"):
        tensors = convert_to_custom_text_state_dict(tensors)
    own = module.state_dict()
    for name in ("logit_scale", "logit_bias"):  # saved as a scalar by some, as one element by others
        if name in tensors and name in own and tensors[name].numel() == 1:
            tensors[name] = tensors[name].reshape(own[name].shape)
    if "logit_bias" in own:
        tensors.setdefault("logit_bias", torch.zeros_like(own["logit_bias"]))
    position_ids = "text.transformer.embeddings.position_ids"  # saved by old versions of transformers
    if position_ids not in own:
        tensors.pop(position_ids, None)
    if recipe.resize_positions:
        resize_pos_embed(tensors, module)
        resize_text_pos_embed(tensors, module)
    load_strictly(module, tensors, what=str(recipe.weights))


def _place(module: torch.nn.Module, device: str, precision: Precision, inference: bool) -> torch.dtype:
    """Eval mode, device, and the number format of the image tower, which is returned."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    module.eval()
    (make_fast if inference else convert)(cast(torch.nn.Module, module.visual), dtype)
    try:
        module.to(device)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"the model does not run on {device}: {reason}", hint="Use --device cpu.") from error
    return dtype


def _assemble(
    spec: ModelSpec,
    recipe: _Recipe,
    module: torch.nn.Module,
    dtype: torch.dtype,
    device: str,
    cache_dir: Path | None,
) -> ClipModel:
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(**open_clip.get_model_preprocess_cfg(module))
    height, width = config.size if isinstance(config.size, (tuple, list)) else (config.size, config.size)
    model_config = cast(dict[str, Any], open_clip.get_model_config(recipe.build_name))
    stamp = ModelStamp(
        name=spec.canonical_name,
        weights_sha256=sha256_of(recipe.weights),
        dim=int(model_config["embed_dim"]),
        preprocessing=_describe(config, height, width),
    )
    scale, bias = cast(Any, module.logit_scale), cast(Any, getattr(module, "logit_bias", None))
    return ClipModel(
        module=module,
        tokenizer=Tokenizer(lambda: _make_tokenizer(spec, recipe, model_config, cache_dir)),
        preprocess=cast(Any, image_transform_v2(config, is_train=False)),
        stamp=stamp,
        logit_scale=float(scale.detach().exp().item()),
        logit_bias=None if bias is None else float(bias.detach().item()),
        image_size=max(height, width),
        image_dtype=dtype,
        device=device,
        config=_saved_config(recipe, model_config, config),
        files=_own_files(recipe, model_config),
        weights=recipe.weights,
    )


def _saved_config(recipe: _Recipe, model_config: dict[str, Any], config: Any) -> dict[str, Any]:
    """What open_clip needs to build the model again from a folder, without asking the hub."""
    model = copy.deepcopy(model_config)
    if recipe.quick_gelu:
        model["quick_gelu"] = True
    if "timm_model_name" in model["vision_cfg"]:
        model["vision_cfg"]["timm_model_pretrained"] = False
    pixels = {key: getattr(config, key) for key in (*sorted(_PREPROCESSING), "size")}
    return {"model_cfg": model, "preprocess_cfg": pixels}


def _own_files(recipe: _Recipe, model_config: dict[str, Any]) -> tuple[Path, ...]:
    own = model_config.get("text_cfg", {}).get("tokenizer_kwargs", {}).get("bpe_path")
    return (recipe.folder / str(own),) if recipe.folder is not None and own else ()


def _describe(config: Any, height: int, width: int) -> str:
    """The preprocessing as canonical text: equal texts mean equal pixels for the tower."""
    mean, std = (",".join(f"{value:.6g}" for value in values) for values in (config.mean, config.std))
    how = f"resize={config.resize_mode} interpolation={config.interpolation}"
    return f"size={height}x{width} {how} mean={mean} std={std}"


def _make_tokenizer(
    spec: ModelSpec, recipe: _Recipe, model_config: dict[str, Any], cache_dir: Path | None
) -> _Tokenize:
    """open_clip's tokenizer for the model; one with its own vocabulary file in the folder is built by hand,
    because open_clip would look for that file in the current directory."""
    import open_clip

    where = None if cache_dir is None else str(cache_dir)
    text = model_config.get("text_cfg", {})
    options = dict(text.get("tokenizer_kwargs", {}))
    with quiet():
        try:
            if recipe.folder is not None and "bpe_path" in options:
                own = str(options["bpe_path"])
                if spec.source == "hub":
                    fetch_file(spec.repo, (own,), what=spec.name, cache_dir=cache_dir)
                options["bpe_path"] = str(recipe.folder / own)
                length = text.get("context_length", 77)
                return cast(_Tokenize, open_clip.tokenizer.SimpleTokenizer(context_length=length, **options))
            return cast(_Tokenize, open_clip.get_tokenizer(recipe.tokenizer_name, cache_dir=where))
        except ImportError as error:
            raise missing_transformers(spec.name) from error
        except (OSError, *_BUILD_ERRORS) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelUnavailable(
                f"the tokenizer of {spec.name} could not be had: {reason}",
                hint="Check the network connection, or use the built-in model: --model builtin",
            ) from error
