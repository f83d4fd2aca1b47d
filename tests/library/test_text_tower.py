"""The numpy tower beside open_clip's, in every shape that it claims to run, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from library import text_tower
from library.tensorfile import TensorFile
from library.text_tower import TextTower, TowerShape
from library.textual_export import _Refused, _shape

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

VISION = {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16}
TEXT = {"context_length": 12, "vocab_size": 99, "width": 32, "heads": 4, "layers": 3}
SHAPES: dict[str, dict[str, Any]] = {
    "like ViT-B-32": {},
    "quick gelu": {"quick_gelu": True},
    "a module of its own": {"custom_text": True},
    "like SigLIP": {
        "custom_text": True,
        "text": {
            "no_causal_mask": True,
            "pool_type": "last",
            "proj_bias": True,
            "act_kwargs": {"approximate": "tanh"},
        },
    },
    "the first token, another eps": {
        "custom_text": True,
        "text": {"no_causal_mask": True, "pool_type": "first", "norm_kwargs": {"eps": 1e-3}},
    },
    "an end token": {"text": {"pool_type": "eos", "eos_id": 7}},
    "no projection": {"embed_dim": 32, "custom_text": True, "text": {"proj_type": "none"}},
}
ODD: dict[str, dict[str, Any]] = {
    "layer scale": {"text": {"ls_init_value": 0.1}},
    "a class token": {"custom_text": True, "text": {"embed_cls": True}},
    "custom blocks": {"custom_text": True, "text": {"scale_heads": True}},
}


def built(options: dict[str, Any], path: Path) -> tuple[Any, TensorFile]:
    """An open_clip model with random weights, and their file."""
    from safetensors.torch import save_file

    torch.manual_seed(2)
    kind = open_clip.model.CustomTextCLIP if options.get("custom_text") else open_clip.model.CLIP
    module = kind(
        embed_dim=options.get("embed_dim", 24),
        vision_cfg=VISION,
        text_cfg=TEXT | options.get("text", {}),
        quick_gelu=options.get("quick_gelu", False),
    ).eval()
    for value in module.parameters():
        torch.nn.init.normal_(value, std=0.3)
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, path)
    return module, TensorFile(path)


def some_tokens(count: int, end: int) -> np.ndarray:
    """(N, 12): texts of many lengths, an end token behind each, zeros behind that."""
    random = np.random.default_rng(1)
    tokens = np.zeros((count, TEXT["context_length"]), np.int64)
    for row in tokens:
        length = int(random.integers(1, len(row)))
        row[:length] = random.integers(10, 98, length)
        row[length] = end
    return tokens


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("step_tokens", [text_tower._STEP_TOKENS, 20])
def test_vectors_equal_torchs(
    options: dict[str, Any], step_tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_tower, "_STEP_TOKENS", step_tokens)
    module, tensors = built(options, tmp_path / "model.safetensors")
    tokens = some_tokens(23, end=options.get("text", {}).get("eos_id", 98))
    with torch.inference_mode():
        theirs = module.encode_text(torch.from_numpy(tokens)).numpy()
    ours = TextTower(tensors, _shape(module, tensors))(tokens)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    unit = np.linalg.norm(theirs, axis=1, keepdims=True)
    assert np.abs(ours / unit - theirs / unit).max() <= 1e-5


@pytest.mark.parametrize("options", ODD.values(), ids=ODD)
def test_other_towers_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    module, tensors = built(options, tmp_path / "model.safetensors")
    with pytest.raises(_Refused):
        _shape(module, tensors)


def test_nothing_and_unknown_tokens(tmp_path: Path) -> None:
    module, tensors = built({}, tmp_path / "model.safetensors")
    tower = TextTower(tensors, _shape(module, tensors))
    assert tower(np.zeros((0, 12), np.int64)).shape == (0, 24)
    with pytest.raises(ValueError, match="99 rows"):
        tower(np.full((1, 12), 99))


def test_a_shape_that_is_none(tmp_path: Path) -> None:
    good = {"prefix": "", "layers": 1, "heads": 1, "activation": "gelu", "pool": "last", "eos_id": 0}
    good |= {"is_causal": True, "projection": "none", "eps": 1e-5}
    TowerShape(**good)  # type: ignore[arg-type]
    for name, wrong in {"pool": "mean", "activation": "relu", "projection": "mlp", "layers": 0}.items():
        with pytest.raises(ValueError, match="no text tower"):
            TowerShape(**good | {name: wrong})  # type: ignore[arg-type]


def test_the_error_function() -> None:
    import math

    x = np.linspace(-5, 5, 2001, dtype=np.float32)
    exact = np.array([math.erf(value) for value in x])
    assert np.abs(text_tower._erf(x) - exact).max() <= 5e-7
