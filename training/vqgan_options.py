"""What a run that trains a VQGAN is told: its options, checked, and the recipes that bring a network along."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from generate.architecture import VQGANConfig
from library.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class VQGANOptions:
    """One run's options. Equal options on equal pictures and one machine give equal losses."""

    steps: int = 20_000
    batch: int = 16
    crop: int = 96  # pixels each way of what a step sees of a picture
    lr: float = 3e-4
    warmup: int = 500  # steps until that rate is reached; it then falls along a cosine
    perceptual: float = 1.0  # weight of the distance between features, beside the pixels' own
    codebook: float = 1.0
    adversarial: float = 0.8  # as in the authors' configurations; multiplied by the adaptive weight
    adversarial_from: float = 0.4  # the share of all steps after which the discriminator takes part
    discriminator_ch: int = 32
    discriminator_layers: int = 2  # each doubles what one judgement sees; the paper has 3 for 256 pixels
    unquantised: int = (
        500  # first steps in which the codes are not rounded; the codebook then starts from their means
    )
    restart_every: int = 100  # steps between looks for codes that are out of use
    restart_until: float = 0.7  # the share of all steps after which none is restarted
    average: float = 0.999  # decay of the moving average of the weights, which is what is saved
    measure_every: int = 1000
    measure_px: int = 192
    precision: str = "auto"
    seed: int = 0

    def check(self, config: VQGANConfig) -> None:
        """Raises UsageError for a value that makes no sense, or does not go with the network."""
        limits: dict[str, tuple[float, float]] = {
            "steps": (1, 10**9),
            "batch": (1, 100_000),
            "crop": (config.factor * 2, 4096),
            "lr": (1e-9, 1),
            "warmup": (0, 10**9),
            "perceptual": (0, 1000),
            "codebook": (0, 1000),
            "adversarial": (0, 1000),
            "adversarial_from": (0, 1),
            "discriminator_ch": (1, 1024),
            "discriminator_layers": (1, 6),
            "unquantised": (0, 10**9),
            "restart_every": (1, 10**9),
            "restart_until": (0, 1),
            "average": (0, 0.999999),
            "measure_every": (1, 10**9),
            "measure_px": (config.factor * 2, 4096),
            "seed": (0, 2**31),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise UsageError(
                    f"{name} must lie between {least:g} and {most:g}, not {getattr(self, name):g}"
                )
        for name in ("crop", "measure_px"):
            if getattr(self, name) % config.factor:
                raise UsageError(
                    f"{name} must be a multiple of {config.factor} for this network, not {getattr(self, name)}"
                )

    def as_json(self) -> dict[str, Any]:
        """A plain object."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A network from nothing with the options that suit it; `shards` are the .tar files it takes of a data folder."""

    network: VQGANConfig
    options: VQGANOptions
    shards: tuple[str, ...] = ()  # empty: everything
    about: str = ""


# Milliseconds of one core of an AMD EPYC with avx512_bf16, in bfloat16: a step of one picture of 128 pixels without the
# features, and the way to a picture of 256 pixels and back. Each has 5.7 to 6.2 million weights, 8 x 8 pixels a code:
#     patch 1, 32 channels x 1, 1, 2, 6    117    273
#     patch 2, 48 channels x 1, 1, 4        74    182    taken: weights are cheap where the map is small
#     patch 2, 64 channels x 1, 1, 3        83    174
#     patch 4, 96 channels x 1, 2           64    142    not tried further: blocks of 4 x 4 pixels are prone to seams
_SMALL = VQGANConfig(
    patch=2,
    ch=48,
    ch_mult=(1, 1, 4),
    num_res_blocks=1,
    attn_resolutions=(),
    resolution=128,
    z_channels=64,
    embed_dim=16,
    n_embed=2048,
    num_groups=8,
    l2_norm=True,
    legacy=False,
)

RECIPES: dict[str, Recipe] = {
    "small": Recipe(
        network=_SMALL,
        options=VQGANOptions(),
        about="8 x 8 pixels a code, quick on any processor",
    ),
    "builtin": Recipe(
        network=_SMALL,
        options=VQGANOptions(steps=8000),
        # The shards whose pictures the built-in CLIP was made from, too: the others have no clear licence.
        shards=("flickr8k", "coco_human", "coco_vqa", "caltech101"),
        about="the network inside the package",
    ),
    "coarse": Recipe(
        network=dataclasses.replace(_SMALL, ch=32, ch_mult=(1, 2, 3, 5), embed_dim=32, n_embed=4096),
        options=VQGANOptions(crop=128),
        about="16 x 16 pixels a code: fewer codes, larger strokes",
    ),
    "paper": Recipe(
        network=VQGANConfig(n_embed=1024),
        options=VQGANOptions(
            steps=300_000,
            batch=12,
            crop=256,
            measure_px=256,
            lr=5.4e-5,  # 4.5e-6 for each picture of a batch, as the authors have it
            warmup=0,
            adversarial_from=0.8,
            discriminator_ch=64,
            discriminator_layers=3,
            unquantised=0,
            restart_until=0.0,
            average=0.0,
        ),
        about="the paper's f16 with 1,024 codes, for a large GPU and days",
    ),
}


def recipe_of(name: str) -> Recipe:
    """Raises UsageError with the names that there are."""
    if name not in RECIPES:
        raise UsageError(f"there is no recipe {name!r}", hint=f"There are {', '.join(RECIPES)}.")
    return RECIPES[name]


def with_changes(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with NAME=VALUE each, of its options or its network. Raises UsageError."""
    options: dict[str, Any] = {}
    network: dict[str, Any] = {}
    for change in changes:
        name, _, text = (part.strip() for part in change.partition("="))
        for place, into in ((recipe.options, options), (recipe.network, network)):
            if name in {field.name for field in dataclasses.fields(place)}:
                into[name] = _like(name, text, getattr(place, name))
                break
        else:
            raise UsageError(f"there is no setting {name!r}", hint="--set NAME=VALUE, such as n_embed=4096")
    made = dataclasses.replace(
        recipe,
        network=dataclasses.replace(recipe.network, **network),
        options=dataclasses.replace(recipe.options, **options),
    )
    try:
        made.network.check()
    except ValueError as error:
        raise UsageError(f"such a network cannot be built: {error}") from error
    return made


def _like(name: str, text: str, was: Any) -> Any:
    try:
        if isinstance(was, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(was, tuple):
            return tuple(int(part) for part in text.strip("()[]").split(",") if part.strip())
        return type(was)(text)
    except (ValueError, KeyError) as error:
        raise UsageError(f"{name} cannot be {text!r}; it is {was!r} else") from error
