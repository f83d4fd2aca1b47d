"""A VQGAN and a CLIP so small that painting takes milliseconds; both untrained, by a fixed seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from generate.architecture import VQGANConfig
from generate.easel import Easel
from generate.load import VQGAN_CONFIG_FILE, VQGAN_WEIGHTS_FILE, to_json
from generate.perceptors import Perceptor
from generate.prompts import parse_story
from generate.recipe import Canvas, Course, Means, Recipe, Sight
from generate.sampler import Materials, Painter, Target
from generate.vqgan import VQGAN
from library.clip import ClipModel, load_clip
from library.devices import Precision
from library.models import Registry
from tests.training.shapes import tiny_model

CONFIG = VQGANConfig(
    ch=16,
    ch_mult=(1, 2, 2),
    num_res_blocks=1,
    attn_resolutions=(8,),
    resolution=32,
    z_channels=16,
    n_embed=512,  # near each other, so that a few steps change the picture
    embed_dim=4,
    num_groups=4,
)


def small_vqgan(config: VQGANConfig = CONFIG) -> VQGAN:
    """Untrained, with a codebook as wide as trained ones are."""
    torch.manual_seed(0)
    model = VQGAN(config).eval().requires_grad_(False)
    torch.nn.init.normal_(model.codebook)
    return model


def save_vqgan(folder: Path, model: VQGAN) -> Path:
    """The folder that `oko models add` takes."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / VQGAN_CONFIG_FILE).write_text(to_json(model.config))
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / VQGAN_WEIGHTS_FILE
    )
    return folder


def small_clip(folder: Path, precision: Precision = "fp32") -> ClipModel:
    """32 pixels, 32 dimensions, 12 tokens."""
    return load_clip(tiny_model(folder), device="cpu", precision=precision, inference=True)


def register(library: Path, networks: Path) -> None:
    """A library in which they are called tiny (CLIP) and little (VQGAN)."""
    library.mkdir(parents=True, exist_ok=True)
    registry = Registry(library)
    spec = tiny_model(networks / "clip")
    assert spec.weights is not None
    registry.add("tiny", arch="", weights=spec.weights, check=lambda _: None)
    folder = save_vqgan(networks / "vqgan", small_vqgan())
    registry.add("little", arch="", weights=folder, kind="vqgan", check=lambda _: None)


def small_recipe(text: str = "a red circle", *, steps: int = 6, **more: object) -> Recipe:
    """48 x 32 pixels, 6 cutouts."""
    recipe = Recipe(
        scenes=parse_story(text),
        canvas=Canvas(width=48, height=32),
        course=Course(steps=steps, seed="1"),
        sight=Sight(cutouts=6),
        means=Means(piece=4),
    )
    return replace(recipe, **more)  # type: ignore[arg-type]


def targets(perceptors: Sequence[Perceptor], recipe: Recipe) -> list[list[list[Target]]]:
    """All prompts as texts."""
    return [
        [[Target(one.read(p.content), p) for p in scene] for scene in recipe.scenes] for one in perceptors
    ]


def small_painter(recipe: Recipe, clip: ClipModel, materials: Materials | None = None) -> Painter:
    """A painter with networks of its own."""
    perceptors = [Perceptor(clip)]
    means = recipe.means
    easel = Easel.set_up(
        small_vqgan(),
        device="cpu",
        precision=means.precision,
        recompute=means.recompute,
        tile=means.tile,
    )
    return Painter(recipe, easel, perceptors, materials or Materials(targets(perceptors, recipe)))
