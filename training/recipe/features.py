"""Step 4: what the trunk makes of each view of each photo, computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from library.ahead import ordered_map
from library.building import quiet
from library.clip import ClipModel
from library.devices import cpu_has_fast_bf16
from library.precision import make_fast
from training.average import Tensors
from training.data import open_photo, threads
from training.photos import Photo, Problem
from training.recipe.material import Shard
from training.recipe.settings import RecipeSettings
from training.recipe.starts import trunk_name
from training.recipe.views import recipe_view
from training.recipe.workshop import Workshop, key_of

Half = NDArray[np.float16]
_AHEAD = 4  # batches of pictures decoded before they are wanted


@dataclass(frozen=True, slots=True)
class Features:
    """A shard's features: (views, N, F) float16, photos that could not be read as zeros, and their rows.

    `middle` has for each view the file of what goes into the upper blocks, (N, H, W, C) float16.
    """

    pooled: Tensor
    bad: frozenset[int]
    middle: tuple[Path, ...] = ()


class Trunk:
    """The frozen image trunk in its fast form, in two halves; built when a picture is first wanted."""

    def __init__(self, tensors: Tensors, settings: RecipeSettings) -> None:
        self.tensors = tensors
        self._settings = settings

    @cached_property
    def _halves(self) -> tuple[nn.Module, nn.Module]:
        tower = nn.Module()
        tower.trunk = make_trunk(self.tensors, self._settings).eval()
        make_fast(tower, torch.bfloat16 if cpu_has_fast_bf16() else torch.float32)
        return halves(tower.trunk, self._settings.tail_from_block)

    def run(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) float32 -> (N, F) float16, and (N, C, H, W) before the upper blocks."""
        lower, upper = self._halves
        with torch.no_grad():
            middle = lower(pixels.contiguous(memory_format=torch.channels_last))
            return upper(middle).float().mean((2, 3)).half(), middle


def make_trunk(tensors: Tensors, settings: RecipeSettings) -> Any:
    """timm's module with these weights."""
    import timm

    with quiet():
        trunk = timm.create_model(trunk_name(settings), pretrained=False)
    trunk.load_state_dict(tensors)
    return trunk


def halves(trunk: Any, cut: int) -> tuple[nn.Module, nn.Module]:
    """Pixels -> what goes into block `cut`; that -> (N, F, H, W), which is yet to be averaged over H and W."""
    lower = nn.Sequential(trunk.conv_stem, trunk.bn1, *trunk.blocks[:cut])
    return lower, nn.Sequential(*trunk.blocks[cut:], trunk.conv_head, trunk.bn2)


class FeatureMaker:
    """Computes the features of shards, or takes them from the workshop."""

    def __init__(self, clip: ClipModel, trunk: Trunk, digest: str, settings: RecipeSettings) -> None:
        """`clip` only prepares pixels; `digest` is that of the trunk's weights."""
        self._clip = clip
        self._trunk = trunk
        self._settings = settings
        # How many views there are changes none of them.
        made = {k: v for k, v in settings.part("trunk", "view").items() if not k.startswith("view_count")}
        self._parts = [made, digest, settings.tail_from_block]

    def of(self, shard: Shard, views: int, workshop: Workshop, *, keeps_middle: bool = False) -> Features:
        """All views of a shard, kept view by view; with what goes into the upper blocks, if that is wanted."""
        found = [self._view(shard, view, workshop, keeps_middle) for view in range(views)]
        bad = frozenset(row for state, _ in found for row in state["bad"])
        pooled = torch.stack([state["pooled"] for state, _ in found])
        return Features(pooled, bad, tuple(file for _, file in found) if keeps_middle else ())

    def key(self, shard: Shard, view: int, keeps_middle: bool) -> str:
        """What the features of a view depend on."""
        return key_of(*self._parts, shard.digest, view, keeps_middle)

    def _view(
        self, shard: Shard, view: int, workshop: Workshop, keeps_middle: bool
    ) -> tuple[dict[str, Any], Path]:
        name, key = f"features-{shard.name}-{view}", self.key(shard, view, keeps_middle)
        middle = workshop.file(name, key, "npy")
        told = workshop.teller(f"features of {shard.name}, view {view + 1}", len(shard.photos))
        kept_in = middle if keeps_middle else None
        return workshop.kept(name, key, lambda: self._compute(shard, view, kept_in, told)), middle

    def _compute(
        self, shard: Shard, view: int, file: Path | None, told: Callable[[int], None]
    ) -> dict[str, Any]:
        pooled: list[Tensor] = []
        bad: list[int] = []
        kept: Half | None = None
        done = 0
        for pixels, unread in self._batches(shard, view):
            features, middle = self._trunk.run(pixels)
            features[unread] = 0
            pooled.append(features)
            bad += [done + row for row in unread]
            if file is not None:
                kept = kept if kept is not None else _map_for(file, middle, len(shard.photos))
                kept[done : done + len(middle)] = middle.permute(0, 2, 3, 1).half().numpy()
            done += len(pixels)
            told(done)
        if isinstance(kept, np.memmap):
            kept.flush()
        return {"pooled": torch.cat(pooled), "bad": bad}

    def _batches(self, shard: Shard, view: int) -> Iterator[tuple[Tensor, list[int]]]:
        """Pixels (N, 3, H, W) float32, those of unreadable pictures zero, and the rows of these."""
        side, size = self._clip.image_size, self._settings.trunk_batch

        def pixels(item: tuple[str, Photo]) -> Tensor | None:
            image = open_photo(item[1], side_px=side)
            if isinstance(image, Problem):
                return None
            return self._clip.preprocess(recipe_view(image, item[0], view, self._settings))

        items = list(zip(shard.keys, shard.photos, strict=True))
        stream = ordered_map(pixels, items, workers=threads(), ahead=_AHEAD * size)
        for start in range(0, len(items), size):
            found = [next(stream) for _ in range(min(size, len(items) - start))]
            blank = torch.zeros(3, side, side)
            unread = [row for row, each in enumerate(found) if each is None]
            yield torch.stack([blank if each is None else each for each in found]), unread


def _map_for(file: Path, middle: Tensor, rows: int) -> Half:
    """A new file for (rows, H, W, C), channels last as the blocks like it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    _, channels, height, width = middle.shape
    shape = (rows, height, width, channels)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
