"""A trained model on disk is the one in memory, for each way open_clip has of building one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from library.errors import ModelError
from library.presets import ModelSpec
from tests.training.shapes import TINY, loaded, tiny_model
from training.export import save_model
from training.towers import make_towers

torch = pytest.importorskip("torch")


def custom_text() -> dict[str, Any]:
    """Built as SigLIP is: a text tower of its own, and a bias beside the scale."""
    config = copy.deepcopy(TINY)
    config["model_cfg"] |= {"custom_text": True, "init_logit_scale": 2.3, "init_logit_bias": -10.0}
    return config


@pytest.mark.parametrize("config", [TINY, custom_text()], ids=["plain", "custom text"])
@pytest.mark.parametrize("loss", ["clip", "siglip"])
def test_saved_and_loaded(tmp_path: Path, config: dict[str, Any], loss: str) -> None:
    clip = loaded(tiny_model(tmp_path / "start", config))
    towers = make_towers(clip, lock="none", unfreeze=None, loss=loss, precision="fp32")
    with torch.no_grad():
        for value in towers.tensors.values():
            value.add_(0.01)
    save_model(clip, tmp_path / "end")
    again = loaded(ModelSpec(name="end", source="local", weights=tmp_path / "end"))
    wanted, found = clip.module.state_dict(), again.module.state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.allclose(wanted[key], found[key], atol=1e-3, rtol=1e-3) for key in wanted)
    assert again.stamp.preprocessing == clip.stamp.preprocessing
    assert again.tokenizer(["a red circle"]).tolist() == clip.tokenizer(["a red circle"]).tolist()
    has_bias = loss == "siglip" or "init_logit_bias" in config["model_cfg"]
    assert again.logit_bias == (pytest.approx(-9.99, abs=0.01) if has_bias else None)


def test_weights_that_float16_cannot_hold_are_refused(tmp_path: Path) -> None:
    clip = loaded(tiny_model(tmp_path / "start"))
    with torch.no_grad():
        next(clip.module.parameters()).fill_(1e6)
    with pytest.raises(ModelError, match="too large"):
        save_model(clip, tmp_path / "end")
    assert not (tmp_path / "end").exists()
