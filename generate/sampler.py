"""The painter: codes follow the gradient of what CLIP says about the picture. An iterator of steps; the caller saves.

Source: Crowson et al. 2022, "VQGAN-CLIP: Open Domain Image Generation and Editing with Natural Language Guidance".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from generate.cutouts import Lens, sample
from generate.easel import Easel
from generate.losses import (
    clamped,
    palette_loss,
    prompt_loss,
    saturation_loss,
    smoothness_loss,
    symmetry_loss,
)
from generate.perceptors import Perceptor
from generate.prompts import Prompt, Region, scene_at
from generate.recipe import Optimiser, Recipe, seed_number
from generate.starts import random_codes, start_picture
from library.errors import UsageError

_SMOOTHING = 0.8  # of the loss by which pictures are compared: that of one step depends on its cutouts
_LEAST_GAIN = 1e-4
_REGIONS: tuple[Region, ...] = ("all", "spot", "rest")


@dataclass(frozen=True, slots=True)
class Step:
    """What a step came to. `loss` is that of the prompts and all else; `is_best`: the lowest so far, smoothed."""

    number: int  # steps done
    of: int
    loss: float
    is_best: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A wish as one perceptor knows it: a direction (D,)."""

    vector: Tensor
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Materials:
    """What the recipe names, read: targets of each perceptor for each scene; pictures in 0..1."""

    targets: Sequence[Sequence[Sequence[Target]]]  # perceptor, scene, target
    image: Tensor | None = None  # (1, 3, H, W)
    mask: Tensor | None = None  # (1, 1, H, W), 1 inside the spot


def _optimiser_class(name: Optimiser) -> type[torch.optim.Optimizer]:
    if name in ("adamp", "diffgrad"):
        import pytorch_optimizer

        return cast(
            "type[torch.optim.Optimizer]",
            pytorch_optimizer.AdamP if name == "adamp" else pytorch_optimizer.DiffGrad,
        )
    return {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "adamax": torch.optim.Adamax,
        "adagrad": torch.optim.Adagrad,
        "nadam": torch.optim.NAdam,
        "radam": torch.optim.RAdam,
        "rmsprop": torch.optim.RMSprop,
    }[name]


class Painter:
    """One picture being painted. Equal recipes, networks and device give equal pictures, interrupted or not."""

    def __init__(
        self, recipe: Recipe, easel: Easel, perceptors: Sequence[Perceptor], materials: Materials
    ) -> None:
        """Raises UsageError when the recipe asks for a start picture that the materials lack."""
        self.recipe = recipe
        self._easel = easel
        self._perceptors = perceptors
        self._materials = materials
        seed = seed_number(recipe.course.seed)
        self._drawn = torch.Generator().manual_seed(seed)
        self._noise = torch.Generator(easel.device).manual_seed(seed)
        self._codes = self._start().contiguous().requires_grad_()
        self._origin = self._codes.detach().clone()
        self._best = self._codes.detach().clone()
        self._optimiser = self._new_optimiser()
        self.done = 0
        self._smoothed = self._lowest = float("inf")
        self._lowest_at = 0
        palette = recipe.taste.palette
        self._palette = torch.tensor(palette, device=easel.device) if palette else None
        self._lenses = [
            Lens(
                count=recipe.sight.cutouts,
                side_px=perceptor.side_px,
                width=recipe.canvas.width,
                height=recipe.canvas.height,
                kind=recipe.sight.kind,
                power=recipe.sight.power,
            )
            for perceptor in perceptors
        ]

    def steps(self) -> Iterator[Step]:
        """Paints on to the end, or until the early stop. May be left between steps, and entered again."""
        of = self.recipe.course.steps
        while self.done < of and not self._is_settled():
            self._move()
            loss = self._paint()
            self.done += 1
            yield Step(self.done, of, loss, self._note(loss))

    def picture(self, *, best: bool = False) -> Tensor:
        """The picture now, or at its lowest loss: (3, H, W) float32 in 0..1 on the CPU."""
        with torch.no_grad():
            return self._easel.picture(self._best if best else self._codes)[0].clamp(0, 1).cpu()

    def state(self) -> dict[str, Any]:
        """All that `restore` needs: tensors, numbers, and dictionaries of them."""
        return {
            "codes": self._codes.detach().clone(),
            "origin": self._origin,
            "best": self._best,
            "optimiser": self._optimiser.state_dict(),
            "drawn": self._drawn.get_state(),
            "noise": self._noise.get_state(),
            "done": self.done,
            "smoothed": self._smoothed,
            "lowest": self._lowest,
            "lowest_at": self._lowest_at,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up a run of the same recipe where `state` left it."""
        with torch.no_grad():
            self._codes.copy_(state["codes"])
        self._origin, self._best = (state[name].to(self._codes) for name in ("origin", "best"))
        self._optimiser.load_state_dict(state["optimiser"])
        self._drawn.set_state(state["drawn"])
        self._noise.set_state(state["noise"])
        self.done, self._smoothed = int(state["done"]), float(state["smoothed"])
        self._lowest, self._lowest_at = float(state["lowest"]), int(state["lowest_at"])

    # Beginning

    def _start(self) -> Tensor:
        canvas, vqgan = self.recipe.canvas, self._easel.vqgan
        size = {"width": canvas.width, "height": canvas.height}
        if canvas.start == "codes":
            return random_codes(vqgan, **size, generator=self._drawn).detach().clone()
        if canvas.start == "image":
            if self._materials.image is None:
                raise UsageError(
                    "the start is a picture, and none was given", hint="Name one: --start-image FILE"
                )
            return self._easel.codes(self._materials.image)
        return self._easel.codes(start_picture(canvas.start, **size, generator=self._drawn))

    def _new_optimiser(self) -> torch.optim.Optimizer:
        kind: Any = _optimiser_class(self.recipe.course.optimiser)
        optimiser: torch.optim.Optimizer = kind([self._codes], lr=1.0)
        return optimiser

    # One step

    def _paint(self) -> float:
        """Moves the codes once; returns the loss before that."""
        self._optimiser.zero_grad()
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate()
        picture = self._easel.picture(self._codes)  # (1, 3, H, W)
        leaf = picture.detach().requires_grad_()
        loss = self._looked_at(leaf) + self._tasted(leaf)
        assert leaf.grad is not None, "every recipe has a prompt"
        self._easel.way_back(self._codes, picture, leaf.grad)
        loss += self._held()
        self._optimiser.step()
        with torch.no_grad():
            self._codes.copy_(self._easel.in_range(self._codes))
        return loss

    def _rate(self) -> float:
        course = self.recipe.course
        drops = sum(self.done >= drop * course.steps for drop in course.drops)
        return float(course.learning_rate * self._easel.spread * 0.1**drops)

    def _looked_at(self, leaf: Tensor) -> float:
        """What the perceptors say, a piece of the cutouts at a time: the gradient is added up in the leaf."""
        scenes = len(self.recipe.scenes)
        course = self.recipe.course
        scene = scene_at(scenes, self.done, steps=course.steps, every=course.story_every)
        loss = 0.0
        for perceptor, lens, targets in zip(
            self._perceptors, self._lenses, self._materials.targets, strict=True
        ):
            for region in _REGIONS:
                wanted = [one for one in targets[scene] if one.prompt.region == region]
                if wanted:
                    loss += self._seen(leaf, region, perceptor, lens, wanted)
        return loss

    def _seen(
        self, leaf: Tensor, region: Region, perceptor: Perceptor, lens: Lens, wanted: Sequence[Target]
    ) -> float:
        total = 0.0
        views = lens.draw(self._drawn)
        for piece in views.pieces(self.recipe.means.piece):
            source = lens.source(self._masked(clamped(leaf), region))
            cutouts = sample(source, piece, side_px=lens.side_px, generator=self._noise)
            vectors = perceptor.see(cutouts)  # (n, D)
            losses = [
                prompt_loss(vectors, one.vector, weight=one.prompt.weight, stop=one.prompt.stop)
                for one in wanted
            ]
            loss = torch.stack(losses).sum() * (len(piece) / len(views) / len(self._perceptors))
            loss.backward(inputs=[leaf])  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def _masked(self, picture: Tensor, region: Region) -> Tensor:
        """The picture with all but one region as plain as its average colour, which nothing pulls at."""
        if region == "all" or self._materials.mask is None:
            return picture
        mask = self._materials.mask.to(picture.device)
        inside = mask if region == "spot" else 1 - mask
        plain = picture.detach().mean((2, 3), keepdim=True)
        return picture * inside + plain * (1 - inside)

    def _tasted(self, leaf: Tensor) -> float:
        taste = self.recipe.taste
        picture = clamped(leaf)
        losses: list[tuple[float, Callable[[], Tensor]]] = [
            (taste.smoothness, lambda: smoothness_loss(picture)),
            (taste.symmetry, lambda: symmetry_loss(picture)),
            (taste.saturation, lambda: saturation_loss(picture)),
        ]
        if self._palette is not None:
            palette = self._palette
            losses.append((taste.palette_weight, lambda: palette_loss(picture, palette)))
        wanted = [weight * loss() for weight, loss in losses if weight]
        if not wanted:
            return 0.0
        total = torch.stack(wanted).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return float(total.detach())

    def _held(self) -> float:
        """The pull back to the start, which fades as the picture moves on."""
        canvas = self.recipe.canvas
        if not canvas.keep:
            return 0.0
        strength = canvas.keep / 2 / (1 + 2 * canvas.keep_decay * self.done)
        loss = F.mse_loss(self._codes, self._origin) * (strength / self._easel.spread**2)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    # Between steps

    def _move(self) -> None:
        """Zoom and pan: the moved picture's codes are painted on, by an optimiser without memory of the old ones."""
        motion = self.recipe.motion
        if not motion.every or not self.done or self.done % motion.every:
            return
        with torch.no_grad():
            moved = self._easel.moved(
                self._easel.picture(self._codes),
                zoom=motion.zoom,
                x_px=motion.pan_x_px,
                y_px=motion.pan_y_px,
            )
            self._codes.copy_(self._easel.codes(moved.clamp(0, 1)))
        self._origin = self._codes.detach().clone()
        self._optimiser = self._new_optimiser()

    def _note(self, loss: float) -> bool:
        """Remembers the picture if its loss, smoothed over some steps, is the lowest so far."""
        first = self._smoothed == float("inf")
        self._smoothed = loss if first else _SMOOTHING * self._smoothed + (1 - _SMOOTHING) * loss
        moves = bool(self.recipe.motion.every) or len(self.recipe.scenes) > 1
        is_best = moves or self._smoothed < self._lowest
        if is_best:
            self._best = self._codes.detach().clone()
        if self._smoothed < self._lowest - _LEAST_GAIN:
            self._lowest_at = self.done
        self._lowest = min(self._lowest, self._smoothed)
        return is_best

    def _is_settled(self) -> bool:
        patience = self.recipe.course.early_stop
        return bool(patience) and self.done - self._lowest_at >= patience
