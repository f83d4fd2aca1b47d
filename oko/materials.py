"""What a recipe names, read: the words of its prompts, its pictures, its mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from generate.perceptors import Perceptor
from generate.prompts import Prompt
from generate.recipe import Canvas, Recipe, seed_number
from generate.sampler import Materials, Target
from library.config import Config
from library.errors import UsageError
from library.records import display_path
from oko import assemble
from oko.recipes import file_hash

_DISC = 0.6  # of the shorter side: the mask when none is given


def gather(config: Config, recipe: Recipe, perceptors: Sequence[Perceptor]) -> Materials:
    """Reads and embeds everything. Raises UsageError (prompt too long, file changed), PictureError."""
    prompts = [prompt for scene in recipe.scenes for prompt in scene]
    pictures = {
        p.content: _picture(config, p.content, p.sha256, "picture") for p in prompts if p.kind == "image"
    }
    known: dict[tuple[int, str, str], Tensor] = {}

    def target(number: int, perceptor: Perceptor, prompt: Prompt) -> Target:
        key = (number, prompt.kind, prompt.content)
        if key not in known:
            known[key] = _direction(perceptor, prompt, pictures)
        return Target(known[key], prompt)

    targets = [
        [[target(number, perceptor, prompt) for prompt in scene] for scene in recipe.scenes]
        for number, perceptor in enumerate(perceptors)
    ]
    is_masked = any(prompt.region != "all" for prompt in prompts)
    return Materials(
        targets,
        image=_start_image(config, recipe.canvas) if recipe.canvas.start == "image" else None,
        mask=_mask(config, recipe.canvas) if is_masked else None,
    )


def _direction(perceptor: Perceptor, prompt: Prompt, pictures: dict[str, Image.Image]) -> Tensor:
    """(D,), L2 norm 1."""
    if prompt.kind == "text":
        return perceptor.read(prompt.content)
    if prompt.kind == "image":
        return perceptor.look(pictures[prompt.content])
    generator = torch.Generator().manual_seed(seed_number(prompt.content))
    return F.normalize(torch.randn(perceptor.dim, generator=generator), dim=0).to(perceptor.clip.device)


def _picture(config: Config, path: str, sha256: str, what: str) -> Image.Image:
    """An upright RGB picture, the same as when the recipe was made."""
    if sha256 and file_hash(Path(path), what) != sha256:
        raise UsageError(
            f"the {what} {display_path(Path(path))} is not the one that the recipe was made with",
            hint="Name the one to use now, and the picture will be a new one.",
        )
    return assemble.read_picture(Path(path), config)


def _start_image(config: Config, canvas: Canvas) -> Tensor:
    """(1, 3, H, W) in 0..1; what is outside the canvas's shape is cut off."""
    from PIL import ImageOps

    picture = _picture(config, canvas.image, canvas.image_sha256, "start picture")
    size = (canvas.width, canvas.height)
    return _tensor(ImageOps.fit(picture, size, Image.Resampling.LANCZOS))


def _mask(config: Config, canvas: Canvas) -> Tensor:
    """(1, 1, H, W) in 0..1: a picture's brightness, or a disc in the middle."""
    if canvas.mask:
        picture = _picture(config, canvas.mask, canvas.mask_sha256, "mask")
        grey = picture.convert("L").resize((canvas.width, canvas.height), Image.Resampling.BILINEAR)
        return _tensor(grey.convert("RGB"))[:, :1]
    y = (torch.arange(canvas.height) + 0.5 - canvas.height / 2)[:, None]
    x = (torch.arange(canvas.width) + 0.5 - canvas.width / 2)[None, :]
    radius_px = _DISC * min(canvas.width, canvas.height) / 2
    return (radius_px - (x.square() + y.square()).sqrt() + 0.5).clamp(0, 1)[None, None]


def _tensor(picture: Image.Image) -> Tensor:
    """An RGB picture -> (1, 3, H, W) float32 in 0..1."""
    import numpy as np

    values = torch.from_numpy(np.array(picture, dtype=np.float32))  # (H, W, 3)
    return (values / 255).permute(2, 0, 1)[None].contiguous()
