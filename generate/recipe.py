"""The recipe of a picture: everything it depends on, frozen, and as JSON for the picture's own file."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from generate.cutouts import CutoutKind
from generate.prompts import MOST_WEIGHT, Prompt, Scene
from generate.starts import Start
from library.devices import Precision
from library.errors import UsageError

FORMAT = 1

Optimiser = Literal["adam", "adamw", "adamax", "adagrad", "nadam", "radam", "rmsprop", "adamp", "diffgrad"]
OPTIMISERS: tuple[Optimiser, ...] = typing.get_args(Optimiser)
Quality = Literal["draft", "normal", "best"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """Size in pixels, and where to start."""

    width: int = 256
    height: int = 256
    start: Start = "codes"
    image: str = ""  # the path of the picture to start from
    image_sha256: str = ""
    mask: str = ""  # the path of the mask of spot prompts; "" is a disc in the middle
    mask_sha256: str = ""
    keep: float = 0.0  # how strongly the codes are pulled back to the start
    keep_decay: float = 1.0  # that pull is divided by 1 + 2 x decay x step; 0 keeps it


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How the picture moves."""

    steps: int = 300
    seed: str = "0"
    optimiser: Optimiser = "adam"
    learning_rate: float = (
        0.1  # in standard deviations of the codebook, so that it means the same for every VQGAN
    )
    drops: tuple[float, ...] = (0.75,)  # parts of the course after which the rate is a tenth
    early_stop: int = 0  # ends after so many steps without gain; 0 never
    story_every: int = 0  # steps a scene; 0: equal shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Who looks at the picture, and at what of it."""

    perceptors: tuple[str, ...] = ("builtin",)
    perceptor_sha256: tuple[str, ...] = ()
    cutouts: int = 32
    kind: CutoutKind = "crops"
    power: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """What else the picture should be like; weights, 0 for none."""

    palette: tuple[tuple[float, float, float], ...] = ()  # RGB in 0..1
    palette_weight: float = 0.0
    smoothness: float = 0.0
    symmetry: float = 0.0
    saturation: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Zoom and pan: every so many steps the picture is moved and painted on. `every` 0: it stays."""

    every: int = 0
    zoom: float = 1.0  # above 1 comes nearer
    pan_x_px: float = 0.0  # the view moves to the right
    pan_y_px: float = 0.0  # down


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """On what it was painted, and how it was fitted into memory: a repetition takes the same."""

    vqgan: str = "builtin"
    vqgan_sha256: str = ""
    device: str = "cpu"
    precision: Precision = "fp32"
    threads: int = 0
    piece: int = 8  # cutouts that CLIP sees at once
    recompute: bool = False  # decoder blocks run again on the way back
    tile: int = 0  # codes along the side of a tile; 0: the whole picture at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All of it."""

    scenes: tuple[Scene, ...]
    canvas: Canvas = Canvas()
    course: Course = Course()
    sight: Sight = Sight()
    taste: Taste = Taste()
    motion: Motion = Motion()
    means: Means = Means()
    format: int = FORMAT

    def check(self) -> None:
        """Raises UsageError for what cannot be painted."""
        if not self.scenes or not all(self.scenes):
            raise UsageError("there is no prompt", hint='Say what to paint: oko generate "a red house"')
        if not any(prompt.weight > 0 for scene in self.scenes for prompt in scene):
            raise UsageError(
                "every prompt has a negative weight", hint="Say what the picture should show, too."
            )
        for value, low, high, what in self._bounds():
            if not low <= value <= high:
                raise UsageError(f"{what} must lie between {low:g} and {high:g}, not {value:g}")
        self._check_story()
        if any(not 0 < drop < 1 for drop in self.course.drops):
            raise UsageError("learning-rate drops are parts of the course, such as 0.5,0.75")
        if self.taste.palette_weight and not self.taste.palette:
            raise UsageError("there is a weight for the palette, and no palette")
        if not self.sight.perceptors:
            raise UsageError("no CLIP model looks at the picture")

    def _check_story(self) -> None:
        scenes, steps, every = len(self.scenes), self.course.steps, self.course.story_every or 1
        if (scenes - 1) * every >= steps:
            raise UsageError(
                f"the story never gets to its last scene: {steps} steps are too few for {scenes} scenes"
                + (f" of {every} steps" if self.course.story_every else ""),
                hint="Take more --steps, or a smaller --story-every.",
            )

    def _bounds(self) -> list[tuple[float, float, float, str]]:
        course, sight, taste, motion = self.course, self.sight, self.taste, self.motion
        means = self.means
        return [
            (self.canvas.width, 16, 8192, "the width"),
            (self.canvas.height, 16, 8192, "the height"),
            (course.steps, 1, 1_000_000, "steps"),
            (course.learning_rate, 1e-6, 100, "the learning rate"),
            (sight.cutouts, 1, 4096, "the number of cutouts"),
            (sight.power, 0.01, 100, "the cut power"),
            (motion.zoom, 0.5, 2, "the zoom"),
            (self.canvas.keep, 0, MOST_WEIGHT, "the weight of keeping the start"),
            (self.canvas.keep_decay, 0, 1000, "the decay of the pull to the start"),
            (taste.palette_weight, 0, MOST_WEIGHT, "the weight of the palette"),
            (taste.smoothness, -MOST_WEIGHT, MOST_WEIGHT, "the smoothness"),
            (taste.symmetry, -MOST_WEIGHT, MOST_WEIGHT, "the symmetry"),
            (taste.saturation, -MOST_WEIGHT, MOST_WEIGHT, "the saturation"),
            (motion.pan_x_px, -8192, 8192, "the shift of the view"),
            (motion.pan_y_px, -8192, 8192, "the shift of the view"),
            (motion.every, 0, 1_000_000, "the steps between two moves"),
            (course.early_stop, 0, 1_000_000, "the steps until the early stop"),
            (course.story_every, 0, 1_000_000, "the steps of a scene"),
            (means.threads, 0, 4096, "the number of threads"),
            (means.piece, 1, 4096, "the cutouts at once"),
            (means.tile, 0, 8192, "the side of a tile"),
        ]

    def as_json(self) -> dict[str, Any]:
        """A plain object, which `from_json` takes."""
        return dataclasses.asdict(self)


def from_json(values: Mapping[str, Any]) -> Recipe:
    """The inverse of `Recipe.as_json`. Raises UsageError for what is no recipe, or a newer one."""
    try:
        if values["format"] != FORMAT:
            raise UsageError(
                f"the recipe has format {values['format']}, and this oko knows {FORMAT}", hint="Upgrade oko."
            )
        recipe = typing.cast(Recipe, _read(Recipe, values))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"this is not a recipe of oko: {error}") from error
    recipe.check()
    return recipe


def _read(kind: Any, value: Any) -> Any:
    """A JSON value as a dataclass, tuple, or plain value of that type. Raises TypeError, ValueError or KeyError."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        unknown = value.keys() - hints.keys()
        if unknown:
            raise ValueError(f"unknown {', '.join(sorted(unknown))}")
        return kind(**{name: _read(hints[name], each) for name, each in value.items()})
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        of = inside[0] if inside[1:] == (Ellipsis,) else None
        kinds = [of] * len(value) if of is not None else list(inside)
        return tuple(_read(one, each) for one, each in zip(kinds, value, strict=True))
    if origin is Literal:
        if value not in inside:
            raise ValueError(f"{value!r} is none of {', '.join(map(str, inside))}")
        return value
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _read(next(one for one in inside if one is not type(None)), value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not {kind.__name__}")
    return value


def seed_number(text: str) -> int:
    """A seed from any text, 0 to 2^63 - 1: whole numbers are themselves, all else is hashed (SHA-256)."""
    text = text.strip()
    if re.fullmatch(r"\d{1,19}", text) and int(text) < 2**63:
        return int(text)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8]) >> 1


def fitted_size(width: int, height: int, *, factor: int) -> tuple[int, int]:
    """The nearest size that a VQGAN can paint: multiples of its factor, at least two codes each way."""
    return (
        max(2, round(width / factor)) * factor,
        max(2, round(height / factor)) * factor,
    )


# (steps, cutouts, pixels along the side of a square)
QUALITIES: dict[Quality, tuple[int, int, int]] = {
    "draft": (100, 16, 192),
    "normal": (300, 32, 256),
    "best": (500, 64, 384),
}

__all__ = [
    "FORMAT",
    "OPTIMISERS",
    "QUALITIES",
    "Canvas",
    "Course",
    "Means",
    "Motion",
    "Prompt",
    "Recipe",
    "Sight",
    "Taste",
    "fitted_size",
    "from_json",
    "seed_number",
]
