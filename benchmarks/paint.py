"""Painting steps per second, beside the loop of VQGAN-CLIP on the same weights, taking turns in one run.

    python -m benchmarks.paint [--steps 3] [--only official] [--json FILE]

`official` is the shape of the authors' f16 network and of ViT-B/32 with random weights, 256 pixels, 32 cutouts;
`builtin` is a small VQGAN with the built-in CLIP. The reference is written after VQGAN-CLIP's program: fp32, its pooled
cutouts made one by one, augmented (affine, perspective, colours, erasing, noise), all seen by CLIP in one call,
Adam, and the codes clamped. Each is a process of its own, and one waits while the other paints.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import machine
from generate.architecture import VQGANConfig
from generate.cutouts import Lens, Views
from generate.easel import Easel
from generate.losses import clamped, spherical_distance
from generate.perceptors import Perceptor
from generate.prompts import parse_story
from generate.recipe import Canvas, Course, Means, Recipe, Sight
from generate.sampler import Materials, Painter, Target
from generate.vqgan import VQGAN
from library.allocation import keep_freed_memory
from library.clip import ClipModel, load_clip
from library.devices import choose_device, choose_precision
from library.presets import BUILTIN, ModelSpec

PROMPT = "a red house by the sea"
SMALL = VQGANConfig(
    ch=32,
    ch_mult=(1, 2, 2, 4),
    num_res_blocks=1,
    attn_resolutions=(),
    z_channels=64,
    n_embed=1024,
    embed_dim=64,
    num_groups=8,
)
SIDE_PX, CUTOUTS = 256, 32


def reference_step(vqgan: VQGAN, clip: ClipModel, device: str) -> Callable[[], None]:
    """One step of VQGAN-CLIP's loop."""
    lens = Lens(count=CUTOUTS, side_px=clip.image_size, width=SIDE_PX, height=SIDE_PX, kind="pooled")
    drawn = torch.Generator().manual_seed(0)
    perceptor = Perceptor(clip)
    target = perceptor.read(PROMPT)
    vqgan.to(device).requires_grad_(False)
    codebook = vqgan.codebook
    low, high = codebook.amin(0)[None, :, None, None], codebook.amax(0)[None, :, None, None]
    grid = (1, SIDE_PX // vqgan.factor, SIDE_PX // vqgan.factor)
    codes = vqgan.codes_of(torch.randint(len(codebook), grid, device=device)).clone().requires_grad_()
    optimiser = torch.optim.Adam([codes], lr=0.1)

    def step() -> None:
        optimiser.zero_grad()
        picture = clamped(vqgan.decode(vqgan.nearest(codes)).add(1).div(2))
        size = (clip.image_size, clip.image_size)
        cutouts = []
        for _ in range(CUTOUTS):
            pooled = (F.adaptive_avg_pool2d(picture, size) + F.adaptive_max_pool2d(picture, size)) / 2
            cutouts.append(pooled)
        batch = augmented(torch.cat(cutouts), lens.draw(drawn))
        batch = batch + batch.new_empty(CUTOUTS, 1, 1, 1).uniform_(0, 0.1) * torch.randn_like(batch)
        spherical_distance(perceptor.see(batch), target).mean().backward(inputs=[codes])  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            codes.copy_(codes.maximum(low).minimum(high))

    return step


def augmented(batch: Tensor, views: Views) -> Tensor:
    """What kornia does with a batch (N, 3, S, S): one sampling for the affine maps, one for the projective ones, then
    colours and erasing."""
    count, _, side, _ = batch.shape
    turn = views.maps[:, :2].to(batch.device)
    batch = F.grid_sample(
        batch, F.affine_grid(turn, list(batch.shape), align_corners=False), align_corners=False
    )
    line = (torch.arange(side, device=batch.device) * 2 + 1) / side - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    at = torch.stack([x, y, torch.ones_like(x)], 2).reshape(1, -1, 3)
    tilt = torch.eye(3, device=batch.device).repeat(count, 1, 1)
    tilt[:, 2] = views.maps[:, 2].to(batch.device)
    at = at @ tilt.transpose(1, 2)
    batch = F.grid_sample(
        batch, (at[..., :2] / at[..., 2:]).reshape(count, side, side, 2), align_corners=False
    )
    colours = views.colours.to(batch.device)
    batch = torch.baddbmm(colours[:, :, 3:], colours[:, :, :3], batch.flatten(2)).view_as(batch)
    left, top, right, bottom = views.erased.to(batch.device)[:, :, None, None].unbind(1)
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    return batch * (~inside)[:, None]


def our_steps(vqgan: VQGAN, clip: ClipModel, device: str, precision: Any) -> Callable[[], None]:
    """One step of the painter, with its defaults."""
    recipe = Recipe(
        scenes=parse_story(PROMPT),
        canvas=Canvas(width=SIDE_PX, height=SIDE_PX),
        course=Course(steps=1_000_000),
        sight=Sight(cutouts=CUTOUTS),
        means=Means(device=device, precision=precision, piece=32 if device != "cpu" else Means().piece),
    )
    perceptor = Perceptor(clip)
    easel = Easel.set_up(vqgan, device=device, precision=precision)
    prompt = recipe.scenes[0][0]
    painter = Painter(recipe, easel, [perceptor], Materials([[[Target(perceptor.read(PROMPT), prompt)]]]))
    steps = painter.steps()
    return lambda: (next(steps), None)[1]


def timed(step: Callable[[], None], device: str) -> float:
    """Seconds of one step."""
    began = time.perf_counter()
    step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


def contender(pipe: Connection, who: str, network: str, folder: Path, device: str) -> None:
    """A process of its own, set up as its program would be: a step for each word it gets, and its seconds."""
    torch.manual_seed(0)
    vqgan = VQGAN(VQGANConfig(n_embed=16384) if network == "official" else SMALL).eval()
    torch.nn.init.normal_(vqgan.codebook)
    spec = official_clip(folder) if network == "official" else BUILTIN
    if who == "oko":
        keep_freed_memory()
        precision = choose_precision("auto", device)
        quick = load_clip(spec, device=device, precision=precision, inference=True)
        step = our_steps(vqgan, quick, device, precision)
    else:
        step = reference_step(vqgan, load_clip(spec, device=device, precision="fp32"), device)
    while pipe.recv():
        pipe.send(timed(step, device))


def compare(network: str, *, steps: int, device: str) -> dict[str, Any]:
    """Median seconds of both, taking turns after one step each to warm up."""
    spawning = multiprocessing.get_context("spawn")
    found: dict[str, list[float]] = {"reference": [], "oko": []}
    pipes = {}
    with tempfile.TemporaryDirectory() as folder:
        for who in found:
            pipes[who], theirs = spawning.Pipe()
            place = Path(folder, who)
            place.mkdir()
            given = (theirs, who, network, place, device)
            spawning.Process(target=contender, args=given, daemon=True).start()
        for turn in range(steps + 1):
            for who, pipe in pipes.items():
                pipe.send(True)
                seconds = pipe.recv()
                if turn:
                    found[who].append(seconds)
        for pipe in pipes.values():
            pipe.send(False)
    medians = {f"{who}_s_per_step": statistics.median(times) for who, times in found.items()}
    ratios = [a / b for a, b in zip(found["reference"], found["oko"], strict=True)]
    precision = choose_precision("auto", device)
    return {**medians, "ratio": statistics.median(ratios), "steps": steps, "precision": precision}


def official_clip(folder: Path) -> ModelSpec:
    """ViT-B/32 with random weights, as a model folder."""
    import json

    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(0)
    module = open_clip.create_model("ViT-B-32", load_weights=False)
    config = {
        "model_cfg": open_clip.get_model_config("ViT-B-32"),
        "preprocess_cfg": {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "size": [224, 224]},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    tensors = {name: value.contiguous() for name, value in module.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    return ModelSpec(name="ViT-B-32", source="local", weights=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", choices=("official", "builtin"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/paint.json"))
    args = parser.parse_args()
    device = choose_device(args.device)
    figures: dict[str, Any] = {}
    for network in ("official", "builtin"):
        if args.only in (None, network):
            row = figures[network] = compare(network, steps=args.steps, device=device)
            print(
                f"{network}: VQGAN-CLIP's loop {row['reference_s_per_step']:.2f} s a step, oko "
                f"{row['oko_s_per_step']:.2f} s ({row['precision']}): {row['ratio']:.1f} times as fast"
            )
    machine.write(args.json, {**figures, "device": device})


if __name__ == "__main__":
    main()
