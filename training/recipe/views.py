"""The views of a photo that the trunk sees: as it is, mirrored, then random parts in slightly other colours."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageEnhance, ImageOps

from training.data import view_of, view_seed
from training.recipe.settings import RecipeSettings

_FIXED = 2  # views that are the same for every photo
_MOST_CROP = 0.98
_COLOURS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def recipe_view(image: Image.Image, key: str, view: int, settings: RecipeSettings) -> Image.Image:
    """One view of the photo with this key, RGB; the same in every run with one seed."""
    if view < _FIXED:
        return view_of(image, view, view_seed(settings.seed, 0, view))
    drawn = random.Random(f"{settings.seed} {key} {view}")
    image = _part(image, drawn, settings)
    if drawn.random() < 0.5:
        image = ImageOps.mirror(image)
    for enhance in _COLOURS:
        if drawn.random() < 0.5:
            image = enhance(image).enhance(1 + drawn.uniform(-settings.view_colour, settings.view_colour))
    return image


def _part(image: Image.Image, drawn: random.Random, settings: RecipeSettings) -> Image.Image:
    """A random part, which is squeezed into a square later, and so shows other proportions."""
    area = drawn.uniform(settings.view_least_crop, _MOST_CROP)
    aspect = math.exp(drawn.uniform(-settings.view_aspect, settings.view_aspect))
    width = min(image.width, max(1, round(image.width * math.sqrt(area * aspect))))
    height = min(image.height, max(1, round(image.height * math.sqrt(area / aspect))))
    left, top = drawn.randint(0, image.width - width), drawn.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))
