"""Image towers taken apart give what they give whole, for each family; an unknown one stays in one piece."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from library.presets import BUILTIN
from tests.training.shapes import TINY, loaded, tiny_model
from training.groups import layer_groups, run_groups
from training.towers import make_towers

torch = pytest.importorskip("torch")


def with_trunk(name: str, pool: str, projection: str) -> dict[str, Any]:
    config = copy.deepcopy(TINY)
    config["model_cfg"]["vision_cfg"] = {
        "timm_model_name": name,
        "timm_pool": pool,
        "timm_proj": projection,
        "image_size": 224,
    }
    config["preprocess_cfg"]["size"] = [224, 224]
    return config


CONFIGS = {
    "plain transformer": (TINY, ["embeddings", "blocks.0", "blocks.1", "projection"]),
    "timm transformer": (
        with_trunk("test_vit", "token", "linear"),
        ["embeddings", *(f"blocks.{n}" for n in range(6)), "pool", "head"],
    ),
    "timm convolutions": (
        with_trunk("test_efficientnet", "avg", "mlp"),
        ["stem", *(f"blocks.{n}" for n in range(5)), "top", "head"],
    ),
    "timm, another kind": (with_trunk("test_resnet", "avg", "linear"), ["trunk", "head"]),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_parts_are_the_whole(name: str, tmp_path: Path) -> None:
    config, wanted = CONFIGS[name]
    clip = loaded(tiny_model(tmp_path, config))
    visual: Any = clip.module.visual
    pixels = torch.randn(2, 3, clip.image_size, clip.image_size)
    groups = layer_groups(visual, pixels[:1])
    assert [group.name for group in groups] == wanted
    with torch.no_grad():
        assert torch.allclose(run_groups(groups, pixels), visual(pixels), atol=1e-4)
    listed = [id(parameter) for group in groups for parameter in group.parameters]
    assert sorted(listed) == sorted(id(parameter) for parameter in visual.parameters())


def test_the_builtin_model_comes_apart() -> None:
    towers = make_towers(loaded(BUILTIN), lock="image", unfreeze=None, loss="clip", precision="fp32")
    assert [group.name for group in towers.trained] == ["head"]
    assert len(towers.frozen) == 9


def test_an_unknown_tower_stays_whole() -> None:
    tower = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4))
    (group,) = layer_groups(tower, torch.randn(1, 3, 8, 8))
    assert group.name == "tower"
    assert len(group.parameters) == 2


def test_bf16_keeps_depthwise_convolutions_in_float32(tmp_path: Path) -> None:
    config, _ = CONFIGS["timm convolutions"]
    clip = loaded(tiny_model(tmp_path, config))
    towers = make_towers(clip, lock="none", unfreeze=None, loss="clip", precision="bf16")
    kinds = {}
    for name, part in towers.module.visual.named_modules():
        if isinstance(part, torch.nn.Conv2d):
            real = part.forward
            part.forward = lambda x, name=name, real=real, part=part: (
                kinds.setdefault(  # type: ignore[method-assign, misc]
                    (part.groups > 1, name), (out := real(x)).dtype
                )
                and out
            )
    pixels = torch.randn(2, 3, clip.image_size, clip.image_size)
    vectors = towers.image_vectors(pixels)
    assert vectors.dtype == torch.float32
    assert {dtype for (is_depthwise, _), dtype in kinds.items() if is_depthwise} == {torch.float32}
    assert {dtype for (is_depthwise, _), dtype in kinds.items() if not is_depthwise} == {torch.bfloat16}
    vectors.sum().backward()
