"""A VQGAN set up for painting: frozen, its decoder in the quickest number format, whole or in tiles, there and back."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from generate.norms import freeze_norms
from generate.tiles import Tile, cut, fades
from generate.vqgan import VQGAN
from library.devices import Precision


@dataclass
class Easel:
    """Codes -> picture, and a picture's gradient -> the codes' gradient. `tile` is in codes, 0 for no tiles."""

    vqgan: VQGAN
    device: str
    dtype: torch.dtype
    tile: int = 0
    _low: Tensor = field(init=False)
    _high: Tensor = field(init=False)

    def __post_init__(self) -> None:
        codebook = self.vqgan.codebook.detach()  # (K, D)
        self._low = codebook.amin(0)[None, :, None, None]  # (1, D, 1, 1)
        self._high = codebook.amax(0)[None, :, None, None]
        self.spread = float(codebook.std(0).mean())  # the unit of the learning rate

    @classmethod
    def set_up(
        cls, vqgan: VQGAN, *, device: str, precision: Precision, recompute: bool = False, tile: int = 0
    ) -> Easel:
        """Freezes the network, in place, and moves it to the device. `recompute` saves memory and takes longer."""
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        vqgan.eval().requires_grad_(False).to(device)
        for part in (vqgan.decoder, vqgan.post_quant_conv):
            part.to(dtype).to(memory_format=torch.channels_last)
        freeze_norms(vqgan.decoder)
        vqgan.saves_memory = recompute
        return cls(vqgan, device, dtype, tile)

    def in_range(self, codes: Tensor) -> Tensor:
        """Codes (1, D, h, w) held between the codebook's least and greatest value in each dimension."""
        return codes.maximum(self._low).minimum(self._high)

    @torch.no_grad()
    def codes(self, picture: Tensor) -> Tensor:
        """A picture (1, 3, H, W) in 0..1, sides multiples of the factor -> codes (1, D, h, w) of the codebook."""
        z = self.vqgan.encode(picture.to(self.device) * 2 - 1)
        quantized = self.vqgan.quantize(z)
        codes: Tensor = quantized.codes
        return codes.detach().clone()

    def picture(self, codes: Tensor) -> Tensor:
        """Codes (1, D, h, w) -> a picture (1, 3, H, W) float32, about 0..1, not clipped. With gradient unless tiled."""
        if not self.tile:
            return self._decoded(codes)
        picture = codes.new_zeros(1, 3, *(side * self.vqgan.factor for side in codes.shape[2:]))
        with torch.no_grad():
            for part, fade in self._tiles(codes):
                part.of(picture, factor=self.vqgan.factor).add_(self._decoded(part.of(codes)) * fade)
        return picture

    def way_back(self, codes: Tensor, picture: Tensor, grad: Tensor) -> None:
        """Adds to `codes.grad` what the gradient of `picture` (1, 3, H, W) says. Tiles are decoded once more for it."""
        if not self.tile:
            picture.backward(grad)  # type: ignore[no-untyped-call]
            return
        for part, fade in self._tiles(codes):
            seen = self._decoded(part.of(codes))
            seen.backward(part.of(grad, factor=self.vqgan.factor) * fade)  # type: ignore[no-untyped-call]

    def _tiles(self, codes: Tensor) -> list[tuple[Tile, Tensor]]:
        height, width = codes.shape[2:]
        parts = cut(height, width, side=self.tile)
        weights = fades(parts, height, width, factor=self.vqgan.factor)
        return [(part, fade.to(codes.device)) for part, fade in zip(parts, weights, strict=True)]

    def _decoded(self, codes: Tensor) -> Tensor:
        nearest = self.vqgan.nearest(codes)  # (1, D, h, w)
        decoded = self.vqgan.decode(nearest.to(self.dtype, memory_format=torch.channels_last))
        return decoded.float().add(1).div(2)

    def moved(self, picture: Tensor, *, zoom: float, x_px: float, y_px: float) -> Tensor:
        """The picture (1, 3, H, W) seen from `zoom` times nearer and from so many pixels to the right and below."""
        height, width = picture.shape[2:]
        shift = torch.tensor([[[1 / zoom, 0, 2 * x_px / width], [0, 1 / zoom, 2 * y_px / height]]])
        grid = F.affine_grid(shift.to(picture.device), list(picture.shape), align_corners=False)
        return F.grid_sample(picture, grid, padding_mode="reflection", align_corners=False)
