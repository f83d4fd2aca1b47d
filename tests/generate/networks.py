"""Small VQGANs, and files as the authors' program left them: Lightning's checkpoints with all that is in them."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from generate.vqgan import VQGAN, VQGANConfig

TINY = VQGANConfig(
    ch=8,
    ch_mult=(1, 2),
    num_res_blocks=1,
    attn_resolutions=(8,),
    resolution=16,
    z_channels=8,
    embed_dim=6,
    n_embed=16,
    num_groups=4,
)
# As small as the authors' own shape allows: 32 groups.
SMALL = VQGANConfig(
    ch=32,
    ch_mult=(1, 2),
    num_res_blocks=1,
    attn_resolutions=(8,),
    resolution=16,
    z_channels=16,
    embed_dim=16,
    n_embed=24,
)
CALLBACK = ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")


def made(config: VQGANConfig = TINY, seed: int = 0) -> VQGAN:
    """Random weights, codes far enough apart that more than one is chosen."""
    torch.manual_seed(seed)
    model = VQGAN(config)
    with torch.no_grad():
        model.codebook.copy_(torch.randn(model.codebook.shape))
    return model.eval()


def pictures(count: int = 2, side_px: int = 16, seed: int = 1) -> Tensor:
    """(N, 3, H, W) float32 in -1..1."""
    return torch.rand(count, 3, side_px, side_px, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def yaml_of(config: VQGANConfig) -> str:
    """A .yaml as it comes with the authors' weights."""
    target = "GumbelVQ" if config.quantizer == "gumbel" else "VQModel"
    gumbel = "\n    kl_weight: 1.0e-08\n    temperature_scheduler_config:\n      target: taming.lr_scheduler.Lambda"
    return f"""model:
  base_learning_rate: 4.5e-06
  target: taming.models.vqgan.{target}
  params:
    embed_dim: {config.embed_dim}
    n_embed: {config.n_embed}{gumbel if config.quantizer == "gumbel" else ""}
    ddconfig:
      double_z: false
      z_channels: {config.z_channels}
      resolution: {config.resolution}
      in_channels: 3
      out_ch: 3
      ch: {config.ch}
      ch_mult: {list(config.ch_mult)}
      num_res_blocks: {config.num_res_blocks}
      attn_resolutions: {list(config.attn_resolutions)}
      dropout: 0.0
    lossconfig:
      target: taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator
      params:
        disc_conditional: false
        disc_start: 0
        disc_weight: 0.75
        codebook_weight: 1.0
"""


def losses() -> dict[str, Tensor]:
    """What the losses leave in a checkpoint: LPIPS with its VGG, and the discriminator with its batch norms."""
    names = ["loss.perceptual_loss.scaling_layer.shift", "loss.perceptual_loss.scaling_layer.scale"]
    names += [f"loss.perceptual_loss.net.slice1.{layer}.weight" for layer in (0, 2)]
    names += [f"loss.perceptual_loss.lin{layer}.model.1.weight" for layer in range(5)]
    names += ["loss.discriminator.main.0.weight", "loss.discriminator.main.0.bias"]
    names += [
        f"loss.discriminator.main.3.{what}" for what in ("weight", "running_mean", "num_batches_tracked")
    ]
    return {name: torch.ones(3) for name in names}


def checkpoint(path: Path, tensors: Mapping[str, Tensor], callback: tuple[str, str] = CALLBACK) -> Path:
    """A training checkpoint: the callbacks' state is kept under the callback's class, pickled by its name."""
    module, name = callback
    stand_in = type(name, (), {"__module__": module})
    modules = [".".join(module.split(".")[: depth + 1]) for depth in range(module.count(".") + 1)]
    kept = {each: sys.modules.get(each) for each in modules}
    try:
        for each in modules:
            sys.modules[each] = types.ModuleType(each)
        setattr(sys.modules[module], name, stand_in)
        torch.save(_lightning({**tensors, **losses()}, stand_in), path)
    finally:
        for each, old in kept.items():
            if old is None:
                del sys.modules[each]
            else:
                sys.modules[each] = old
    return path


def _lightning(tensors: Mapping[str, Tensor], callback: type) -> dict[str, Any]:
    moments = {"step": 7, "exp_avg": torch.zeros(4), "exp_avg_sq": torch.zeros(4)}
    return {
        "epoch": 11,
        "global_step": 1234,
        "pytorch-lightning_version": "1.0.8",
        "callbacks": {
            callback: {
                "monitor": "val/rec_loss",
                "best_model_score": torch.tensor(0.5),
                "best_model_path": "logs/vqgan/checkpoints/epoch=000011.ckpt",
                "dirpath": "logs/vqgan/checkpoints",
            }
        },
        "optimizer_states": [{"state": {0: moments}, "param_groups": [{"lr": 4.5e-06, "params": [0]}]}],
        "lr_schedulers": [],
        "state_dict": dict(tensors),
    }
