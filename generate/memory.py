"""How much memory painting takes, found before it begins, and how it is fitted into what there is.

Nothing is tried out: the networks run once without numbers (on torch's "meta" device), and what they would allocate
is added up as it comes and goes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from generate.perceptors import Perceptor
from generate.recipe import Means, Recipe, fitted_size
from generate.vqgan import VQGAN, AttnBlock
from library.errors import OutOfMemory

# What kernels need for themselves (weights in another order, scratch) and what the allocator wastes: measured at
# 1.1 to 1.3 of what the networks hold.
SLACK = 1.3
FIXED_BYTES = 150_000_000  # code and buffers that come with the first step
_SHARE = 0.9  # of the free memory that is taken at most
_PIECES = (32, 16, 8, 4, 2, 1)
_TILES = (32, 24, 16, 12, 8)
_SMALLEST_SIDE_PX = 64


@dataclass(frozen=True, slots=True)
class Fit:
    """How a recipe fits: the recipe (perhaps changed), the bytes it takes, and a sentence for each change."""

    recipe: Recipe
    bytes: int
    changes: tuple[str, ...] = ()


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that exist while it is on, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()

        def gone(_: object) -> None:
            self.now -= size
            self._known.pop(key, None)

        self._known[key] = weakref.ref(storage, gone)
        self.now += size
        self.most = max(self.most, self.now)


def _fused(block: AttnBlock, x: Tensor) -> Tensor:
    """Attention as devices run it, whose memory grows with the number of places: without numbers torch takes another
    form, which holds a number for each pair of them. This keeps as much for the way back, at the same shapes."""
    normed = block.norm(x)
    return x + cast(Tensor, block.proj_out(block.q(normed) * block.k(normed) * block.v(normed)))


def _forth_and_back(run: Callable[[Tensor], Tensor], given: Tensor) -> tuple[int, int]:
    """Bytes held after the way there, and the most there and back."""
    given = given.requires_grad_()
    with _Ledger() as ledger:
        result = run(given)
        held = ledger.now
        torch.autograd.backward(result, torch.empty_like(result))
    return held, ledger.most


def decoder_bytes(
    vqgan: VQGAN, height: int, width: int, *, dtype: torch.dtype, recompute: bool
) -> tuple[int, int]:
    """For a grid of height x width codes: bytes held after the way there, and the most there and back."""
    with torch.device("meta"):
        blank = VQGAN(vqgan.config).eval().requires_grad_(False).to(dtype)
        blank.saves_memory = recompute
        for part in blank.modules():
            if isinstance(part, AttnBlock):
                part.forward = partial(_fused, part)  # type: ignore[method-assign]
        codes = torch.empty(1, vqgan.config.embed_dim, height, width, dtype=dtype)
    return _forth_and_back(blank.decode, codes)


def perceptor_bytes(perceptor: Perceptor, cutouts: int) -> int:
    """The most while a perceptor sees so many cutouts, there and back, with what cutting them takes."""
    visual: Any = perceptor.clip.module.visual
    named = [*visual.named_parameters(), *visual.named_buffers()]
    blank = {name: torch.empty_like(value, device="meta") for name, value in named}
    shape = (cutouts, 3, perceptor.side_px, perceptor.side_px)
    given = torch.empty(shape, dtype=perceptor.clip.image_dtype, device="meta")
    _, most = _forth_and_back(lambda pixels: functional_call(visual, blank, (pixels,)), given)
    # Sampled, recoloured, with noise, normalised; the grid and the noise; and gradients of the first two: float32.
    return most + 8 * given.numel() * 4


def needed_bytes(recipe: Recipe, vqgan: VQGAN, perceptors: Sequence[Perceptor], *, dtype: torch.dtype) -> int:
    """The memory that painting takes beyond the networks' weights."""
    canvas, means = recipe.canvas, recipe.means
    height, width = canvas.height // vqgan.factor, canvas.width // vqgan.factor
    picture = canvas.width * canvas.height * 3 * 4 * 8  # the picture, its gradients, and the losses on it
    if means.tile:
        side = (min(means.tile, height), min(means.tile, width))
        held, most = 0, decoder_bytes(vqgan, *side, dtype=dtype, recompute=means.recompute)[1]
    else:
        held, most = decoder_bytes(vqgan, height, width, dtype=dtype, recompute=means.recompute)
    piece = min(means.piece, recipe.sight.cutouts)
    picture += height * width * vqgan.config.n_embed * 4 * 2  # the distance of each code to each entry
    seeing = max(perceptor_bytes(perceptor, piece) for perceptor in perceptors)
    return int(SLACK * (max(held + seeing, most) + picture)) + FIXED_BYTES


def fit(
    recipe: Recipe,
    vqgan: VQGAN,
    perceptors: Sequence[Perceptor],
    *,
    dtype: torch.dtype,
    available: int,
) -> Fit:
    """The recipe with the means that fit: fewer cutouts at once, blocks run twice, tiles; at last a smaller picture.

    Raises OutOfMemory when even the smallest picture does not fit.
    """
    room = int(available * _SHARE)

    def cost(one: Recipe) -> int:
        return needed_bytes(one, vqgan, perceptors, dtype=dtype)

    wanted = cost(recipe)
    for changed, sentence in _ways(recipe, vqgan):
        bytes_needed = cost(changed)
        if bytes_needed <= room:
            said = (f"{_gb(wanted)} are wanted and {_gb(available)} free: {sentence}",) if sentence else ()
            return Fit(changed, bytes_needed, said)
    raise OutOfMemory(
        f"painting does not fit into memory: {_gb(wanted)} are wanted, {_gb(available)} are free",
        hint="Close other programs, or take a smaller VQGAN or CLIP model.",
    )


def _ways(recipe: Recipe, vqgan: VQGAN) -> list[tuple[Recipe, str]]:
    """Cheapest first: each costs more time or quality than the one before."""
    means = recipe.means
    ways = [
        (
            _with(recipe, replace(means, piece=piece)),
            "" if piece == means.piece else f"{piece} cutouts at once.",
        )
        for piece in (means.piece, *(p for p in _PIECES if p < means.piece))
    ]
    frugal = replace(means, piece=1, recompute=True)
    ways.append((_with(recipe, frugal), "some work is done twice, which takes a third longer."))
    longest = max(recipe.canvas.width, recipe.canvas.height) // vqgan.factor
    ways += [
        (
            _with(recipe, replace(frugal, tile=side)),
            f"painting in tiles of {side * vqgan.factor} pixels, which takes longer and sees less of the whole.",
        )
        for side in _TILES
        if side < longest
    ]
    for share in (0.75, 0.5, 0.375, 0.25):
        size = fitted_size(
            int(recipe.canvas.width * share), int(recipe.canvas.height * share), factor=vqgan.factor
        )
        if min(size) < _SMALLEST_SIDE_PX:
            continue
        smaller = replace(recipe, canvas=replace(recipe.canvas, width=size[0], height=size[1]))
        sentence = f"the picture is painted at {size[0]} x {size[1]}."
        ways += [
            (_with(smaller, replace(frugal, tile=side)), sentence)
            for side in (0, *_TILES)
            if side < max(size) // vqgan.factor
        ]
    return ways


def _with(recipe: Recipe, means: Means) -> Recipe:
    return replace(recipe, means=means)


def available_bytes(device: str) -> int:
    """Free memory: of the device, or of the machine and the container that this process is in."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return min(int(psutil.virtual_memory().available), _container_room())


def _container_room(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """What a container may still take, by control groups version 2; practically infinite where there is no limit."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        cache = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(limit) - used + int(cache.get("inactive_file", 0)) if limit != "max" else 1 << 62
    except (OSError, ValueError):
        return 1 << 62


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
