"""Perceptors: CLIP models that say how well what they see fits a prompt, with a gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from generate.backward import quicken
from library.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image

    from library.clip import ClipModel


class Perceptor:
    """One CLIP model. Its weights stay as they are: ask for the gradient of the picture only."""

    def __init__(self, clip: ClipModel) -> None:
        self.clip = clip
        self.name = clip.stamp.name
        self.side_px = clip.image_size
        self.dim = clip.stamp.dim
        clip.module.requires_grad_(False)
        # torch multiplies a transposed batch with a frozen matrix one by one, copying the matrix for each: ViT-B/32 in
        # bf16 spent 80 % of its time so. With a matrix that might learn it does not; no gradient is asked of it.
        for part in clip.module.modules():
            if isinstance(part, torch.nn.MultiheadAttention) and part.in_proj_weight is not None:
                part.in_proj_weight.requires_grad_(True)
        if clip.device == "cpu" and clip.image_dtype != torch.float32:
            quicken(clip.module)
        pixels = clip.config["preprocess_cfg"]
        # On 0..1 pictures: (x - mean) / std, in the tower's own number format.
        self._mean = torch.tensor(pixels["mean"], device=clip.device).view(1, 3, 1, 1)
        self._std = torch.tensor(pixels["std"], device=clip.device).view(1, 3, 1, 1)

    def see(self, cutouts: Tensor) -> Tensor:
        """Cutouts (N, 3, side, side) float32 in 0..1 -> (N, D) float32, L2 norm 1, with gradient."""
        pixels = ((cutouts - self._mean) / self._std).to(self.clip.image_dtype)
        vectors: Tensor = cast(Any, self.clip.module).encode_image(pixels)  # (N, D)
        return F.normalize(vectors.float(), dim=1)

    @torch.no_grad()
    def read(self, text: str) -> Tensor:
        """A text -> (D,) float32, L2 norm 1. Raises UsageError when it is longer than the model reads."""
        tokens = self.clip.tokenizer([text])  # (1, context)
        if self._fills(text):
            raise UsageError(self._too_long(text))
        vectors: Tensor = cast(Any, self.clip.module).encode_text(tokens.to(self.clip.device))  # (1, D)
        return F.normalize(vectors.float(), dim=1)[0]

    @torch.no_grad()
    def look(self, image: Image.Image) -> Tensor:
        """An upright RGB picture -> (D,) float32, L2 norm 1."""
        pixels = self.clip.preprocess(image)[None].to(self.clip.device, self.clip.image_dtype)
        vectors: Tensor = cast(Any, self.clip.module).encode_image(pixels)  # (1, D)
        return F.normalize(vectors.float(), dim=1)[0]

    def _fills(self, text: str) -> bool:
        """Whether no room is left behind a text's tokens, so that its end may have been cut off."""
        tokens, empty = self.clip.tokenizer([text, ""])  # (context,) each
        return bool(tokens[-1] != empty[-1])

    def _too_long(self, text: str) -> str:
        words = text.split()
        low, high = 0, len(words)
        while low < high:  # the most words that fit
            middle = (low + high + 1) // 2
            if self._fills(" ".join(words[:middle])):
                high = middle - 1
            else:
                low = middle
        return (
            f"the prompt is longer than {self.name} reads: of its {len(words)} words the first {low} fit, "
            f"up to ...{' '.join(words[max(0, low - 3) : low])!r}. Shorten it, or make it several prompts (a | b)"
        )
