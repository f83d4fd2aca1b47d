"""A CLIP being trained: what of it learns, its two towers as functions, and its number format."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from library.clip import ClipModel
from library.devices import cpu_has_fast_bf16
from library.errors import UsageError
from training.groups import Group, depthwise_in_float32, layer_groups, run_groups

if TYPE_CHECKING:
    from torch import Tensor, nn

Lock = Literal["image", "text", "none"]

_DROPS = ("Dropout", "DropPath", "PatchDropout")


@dataclass(slots=True)
class Towers:
    """The model, its image tower cut after the last frozen group: `frozen` never changes, `trained` learns."""

    clip: ClipModel
    frozen: list[Group]
    trained: list[Group]
    trains_text: bool
    use_bf16: bool
    tensors: dict[str, nn.Parameter] = field(default_factory=dict)  # name -> what learns

    @property
    def module(self) -> Any:
        """The open_clip module."""
        return self.clip.module

    @property
    def is_image_frozen(self) -> bool:
        """Whether no group of the image tower learns."""
        return not self.trained

    def frozen_part(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) float32 pixels -> what the frozen groups make of them, without gradients."""
        import torch

        with torch.no_grad(), self.number_format():
            return run_groups(self.frozen, pixels)

    def image_vectors(self, values: Tensor) -> Tensor:
        """The frozen part's output (N, ...) -> (N, D) float32 with L2 norm 1."""
        import torch

        with self.number_format(), torch.set_grad_enabled(torch.is_grad_enabled() and bool(self.trained)):
            return _unit(run_groups(self.trained, values))

    def text_vectors(self, tokens: Tensor) -> Tensor:
        """(N, context) int64 -> (N, D) float32 with L2 norm 1."""
        import torch

        with self.number_format(), torch.set_grad_enabled(torch.is_grad_enabled() and self.trains_text):
            return _unit(self.module.encode_text(tokens))

    @contextmanager
    def number_format(self) -> Iterator[None]:
        """Mixed precision where the device multiplies bfloat16 natively, float32 elsewhere."""
        import torch

        kind = self.clip.device.partition(":")[0]
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=self.use_bf16):
            yield

    def set_training(self, is_training: bool) -> None:
        """Dropout on or off in what learns. Batch norms keep their statistics: a batch of one person's photos
        is no sample of the world, and vectors must not depend on the others in the batch."""
        self.module.eval()
        learning = {id(value) for value in self.tensors.values()}
        for part in self.module.modules():
            parameters = {id(value) for value in part.parameters()}
            if parameters and parameters <= learning:
                for below in part.modules():
                    if type(below).__name__ in _DROPS:
                        below.training = is_training

    def scale(self) -> Tensor:
        """The factor of the cosines, at most 100 as in CLIP."""
        return cast("Tensor", self.module.logit_scale.exp().clamp(max=100))


def make_towers(clip: ClipModel, *, lock: Lock, unfreeze: int | None, loss: str, precision: str) -> Towers:
    """Freezes what is locked. `unfreeze`: how many of the last groups of the image tower learn; None means all
    of them, or with a locked image tower the last one.

    Raises UsageError when nothing is left to learn. Changes the module of `clip` in place.
    """
    import torch

    module = cast(Any, clip.module)
    if loss == "siglip" and getattr(module, "logit_bias", None) is None:
        module.logit_bias = torch.nn.Parameter(
            torch.full((), -10.0, device=clip.device)
        )  # as in Zhai et al. 2023
        clip.config["model_cfg"]["init_logit_bias"] = -10.0
    groups = layer_groups(module.visual, _any_picture(clip))
    count = (1 if lock == "image" else len(groups)) if unfreeze is None else min(unfreeze, len(groups))
    cut = len(groups) - count
    towers = Towers(clip, groups[:cut], groups[cut:], lock != "text", _bf16_pays(clip.device, precision))
    if towers.is_image_frozen and not towers.trains_text:
        raise UsageError(
            "nothing is left to train", hint="Leave out --lock text, or give --unfreeze 1 or more."
        )
    towers.tensors = _choose(module, towers)
    if towers.use_bf16:
        depthwise_in_float32(module.visual)
    return towers


def copy_text_tower(clip: ClipModel) -> ClipModel:
    """The same model with weights of its own, frozen: what the text tower was, to keep it near."""
    from dataclasses import replace

    module = copy.deepcopy(clip.module)
    module.requires_grad_(False)
    return replace(clip, module=module)


def _any_picture(clip: ClipModel) -> Tensor:
    import torch
    from PIL import Image

    pixels = clip.preprocess(Image.new("RGB", (clip.image_size, clip.image_size), (90, 120, 150)))
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    return (pixels + 0.1 * noise)[None].to(clip.device)


def _choose(module: Any, towers: Towers) -> dict[str, nn.Parameter]:
    """Marks what learns, and returns it by name."""
    learning = {id(value) for group in towers.trained for value in group.parameters}
    chosen = {}
    for name, value in module.named_parameters():
        is_text = not name.startswith(("visual.", "logit_"))
        value.requires_grad_(
            id(value) in learning or (is_text and towers.trains_text) or name.startswith("logit_")
        )
        if value.requires_grad:
            chosen[name] = value
    return chosen


def _bf16_pays(device: str, precision: str) -> bool:
    import torch

    if precision != "auto":
        return precision == "bf16"
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and cpu_has_fast_bf16()


def _unit(vectors: Tensor) -> Tensor:
    from torch.nn import functional as F

    return F.normalize(vectors.float(), dim=-1)
