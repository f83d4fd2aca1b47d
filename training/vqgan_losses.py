"""What tells a reconstruction from its picture: a network's features, and a discriminator that learns beside it.

Pictures are (N, 3, H, W) float32 tensors in -1..1. Source: Esser et al. 2021, section 3.1, equations 5 to 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from library.clip import ClipModel
from training.groups import Group, depthwise_in_float32, layer_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

_TINY = 1e-10
_MOST_LAYERS = 5  # of the early ones, which say where what is; the later ones only say what there is
_LEAST_GRADIENT = 1e-4  # 1e-6 in the paper's equation 7; this is what the authors' program has
_MOST_WEIGHT = 1e4


class Features:
    """How far apart two pictures are for the image tower of a CLIP, layer by layer.

    As in LPIPS (Zhang et al. 2018, equation 1): the activations of several layers, each place's vector brought to
    length 1, squared differences summed over channels and averaged over places. The weights that LPIPS learnt for
    its channels are not to be had for this network, so all count the same, and the layers are averaged.
    """

    def __init__(self, clip: ClipModel, *, crop: int) -> None:
        """`clip` in float32; its image tower is changed in place, and not learnt. `crop`: the pictures' side."""
        module = cast(Any, clip.module)
        module.requires_grad_(False)
        normalise = clip.config["preprocess_cfg"]
        self._mean = torch.tensor(normalise["mean"], device=clip.device).view(1, 3, 1, 1)
        self._std = torch.tensor(normalise["std"], device=clip.device).view(1, 3, 1, 1)
        grey = torch.zeros(1, 3, clip.image_size, clip.image_size, device=clip.device)
        grey += 0.1 * torch.randn(grey.shape, generator=torch.Generator().manual_seed(0)).to(clip.device)
        groups = layer_groups(module.visual, grey)
        depthwise_in_float32(module.visual)
        self._layers: Sequence[Group] = groups[:_MOST_LAYERS] if len(groups) > 1 else groups
        # A tower of convolutions takes pictures of any size; others only their own.
        self._side_px = crop if groups[0].name == "stem" else clip.image_size
        self.names = [group.name for group in self._layers]

    def of(self, images: Tensor) -> list[Tensor]:
        """Each layer's activations, every place's vector of length 1."""
        values = (images + 1) / 2  # (N, 3, H, W), 0..1
        if values.shape[-1] != self._side_px:
            size = (self._side_px, self._side_px)
            values = F.interpolate(values, size=size, mode="bilinear", antialias=True)
        values = (values - self._mean) / self._std
        found = []
        for layer in self._layers:
            values = layer.run(values)  # (N, C, H', W'), or (N, L, C) of a transformer, or (N, C)
            channels = 2 if values.ndim == 3 else 1
            found.append(F.normalize(values.float(), dim=channels, eps=_TINY))
        return found

    def distance(self, images: Tensor, made: Tensor) -> Tensor:
        """A scalar from 0 to 4; gradients go to `made` only."""
        with torch.no_grad():
            wanted = self.of(images)
        each = [
            (a - b).square().sum(2 if a.ndim == 3 else 1).mean()
            for a, b in zip(wanted, self.of(made), strict=True)
        ]
        return torch.stack(each).mean()


class Discriminator(nn.Module):
    """Judges each patch of a picture: above 0 for a photo, below for a reconstruction. A PatchGAN.

    Source: Isola et al. 2017, appendix 6.1.2, as the paper uses it.
    """

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(3, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        width = channels
        for number in range(1, layers + 1):
            before, width = width, channels * min(2**number, 8)
            stride = 2 if number < layers else 1
            parts += [
                nn.Conv2d(before, width, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(0.2),
            ]
        self.main = nn.Sequential(*parts, nn.Conv2d(width, 1, 4, padding=1))
        for part in self.main:
            if isinstance(part, nn.Conv2d):
                nn.init.normal_(part.weight, 0.0, 0.02)
            elif isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.weight, 1.0, 0.02)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.main(images))  # (N, 3, H, W) -> (N, 1, h', w')


def hinge_loss(photos: Tensor, made: Tensor) -> Tensor:
    """The discriminator's loss from its judgements of both, of any shapes. Lim and Ye 2017."""
    return (F.relu(1 - photos).mean() + F.relu(1 + made).mean()) / 2


def adaptive_weight(likeness: Tensor, fooling: Tensor) -> Tensor:
    """How much fooling the discriminator counts, from the gradients of both losses at the decoder's last layer.

    Equation 7 of the paper: the two then pull equally hard. A scalar from 0 to 10,000.
    """
    weight = likeness.norm() / (fooling.norm() + _LEAST_GRADIENT)
    return torch.clamp(weight, 0, _MOST_WEIGHT).detach()
