"""What painting will take is said before, and a recipe is fitted into what there is."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from generate import memory
from generate.architecture import VQGANConfig
from generate.perceptors import Perceptor
from generate.recipe import Canvas, Means, Sight
from generate.vqgan import VQGAN
from library.clip import ClipModel
from library.errors import OutOfMemory
from tests.generate.small_networks import CONFIG, small_recipe, small_vqgan

# Paints two steps and prints estimate and growth of the peak, in bytes: a process of its own, as a peak never falls.
MEASURE = """
import resource, sys
from pathlib import Path
from dataclasses import replace
import torch
torch.set_num_threads(2)
from generate import memory
from generate.easel import Easel
from generate.perceptors import Perceptor
from generate.recipe import Canvas, Means, Sight
from generate.sampler import Materials, Painter
from tests.generate.small_networks import small_clip, small_recipe, small_vqgan, targets
from tests.generate.test_memory import WIDE
side, cutouts, recompute, tile = map(int, sys.argv[2:])
perceptors = [Perceptor(small_clip(Path(sys.argv[1])))]
recipe = small_recipe(
    steps=2,
    canvas=Canvas(width=side, height=side),
    sight=Sight(cutouts=cutouts),
    means=Means(piece=cutouts, recompute=bool(recompute), tile=tile),
)
easel = Easel.set_up(small_vqgan(WIDE), device="cpu", precision="fp32", recompute=bool(recompute), tile=tile)
estimate = memory.needed_bytes(recipe, easel.vqgan, perceptors, dtype=torch.float32)
painter = Painter(recipe, easel, perceptors, Materials(targets(perceptors, recipe)))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
list(painter.steps())
print(estimate, peak() - before)
"""
WIDE = VQGANConfig(
    ch=64, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), z_channels=16, n_embed=32, embed_dim=8
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is in kilobytes on Linux only")
@pytest.mark.parametrize(
    ("side", "cutouts", "recompute", "tile"),
    [(256, 8, 0, 0), (512, 8, 0, 0), (512, 512, 0, 0), (512, 8, 1, 0), (512, 8, 0, 64)],
)
def test_the_estimate_holds(tmp_path: Path, side: int, cutouts: int, recompute: int, tile: int) -> None:
    words = [str(tmp_path), *map(str, (side, cutouts, recompute, tile))]
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    estimate, measured = map(int, run.stdout.split())
    assert 0.7 * measured < estimate < 2.0 * measured + memory.FIXED_BYTES


def test_the_ledger_counts_what_is_held() -> None:
    def run(given: torch.Tensor) -> torch.Tensor:
        doubled = given * 2  # gone after its exponential, which is kept for the way back
        return doubled.exp()

    held, most = memory._forth_and_back(run, torch.empty(1000, device="meta"))
    assert held == 4000
    assert most >= 8000


def test_estimates_grow_with_size_and_cutouts_and_fall_by_other_means(clip: ClipModel) -> None:
    vqgan, perceptors = small_vqgan(), [Perceptor(clip)]

    def needed(side: int = 128, piece: int = 8, **means: object) -> int:
        recipe = small_recipe(
            canvas=Canvas(width=side, height=side),
            sight=Sight(cutouts=64),
            means=Means(piece=piece, **means),  # type: ignore[arg-type]
        )
        return memory.needed_bytes(recipe, vqgan, perceptors, dtype=torch.float32)

    base = needed()
    assert needed(side=256) > base + 3 * (base - memory.FIXED_BYTES) // 2
    assert needed(piece=64) > base > needed(piece=1)
    assert needed(side=256, recompute=True) < needed(side=256)
    assert needed(side=256, tile=16) < needed(side=256, recompute=True)


def test_a_recipe_is_fitted_cheapest_means_first(clip: ClipModel) -> None:
    vqgan, perceptors = VQGAN(CONFIG), [Perceptor(clip)]
    recipe = small_recipe(
        canvas=Canvas(width=512, height=512), sight=Sight(cutouts=32), means=Means(piece=32)
    )
    wanted = memory.needed_bytes(recipe, vqgan, perceptors, dtype=torch.float32)
    found = []
    for share in (2.0, 0.98, 0.8, 0.6, 0.5, 0.42):
        try:
            fit = memory.fit(recipe, vqgan, perceptors, dtype=torch.float32, available=int(wanted * share))
        except OutOfMemory:
            found.append(None)
            continue
        assert fit.bytes <= wanted * share
        assert bool(fit.changes) == (fit.recipe != recipe)
        found.append(fit.recipe)
    assert found[0] == recipe
    means = [one.means for one in found if one is not None]
    order = [(m.recompute, -(m.tile or 10**6), -m.piece) for m in means]
    assert order == sorted(order)
    assert len(set(order)) > 2


def test_what_cannot_fit_is_refused_before_the_run(clip: ClipModel) -> None:
    recipe = small_recipe(canvas=Canvas(width=512, height=512))
    with pytest.raises(OutOfMemory, match="does not fit into memory"):
        memory.fit(recipe, VQGAN(CONFIG), [Perceptor(clip)], dtype=torch.float32, available=10_000_000)


def test_the_room_in_a_container(tmp_path: Path) -> None:
    assert memory._container_room(tmp_path) > 1 << 60
    for name, text in (
        ("memory.max", "1000"),
        ("memory.current", "700"),
        ("memory.stat", "anon 5\ninactive_file 200"),
    ):
        (tmp_path / name).write_text(text + "\n")
    assert memory._container_room(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._container_room(tmp_path) > 1 << 60


def test_a_smaller_picture_is_the_last_resort(clip: ClipModel) -> None:
    vqgan, perceptors = VQGAN(CONFIG), [Perceptor(clip)]
    recipe = small_recipe(canvas=Canvas(width=2048, height=1024))
    tiled = replace(recipe, means=Means(piece=1, recompute=True, tile=8))
    least = memory.needed_bytes(tiled, vqgan, perceptors, dtype=torch.float32)
    fit = memory.fit(recipe, vqgan, perceptors, dtype=torch.float32, available=int(least / 0.9 * 0.85))
    canvas = fit.recipe.canvas
    assert (canvas.width, canvas.height) != (2048, 1024)
    assert canvas.width == 2 * canvas.height
    assert f"the picture is painted at {canvas.width} x {canvas.height}" in fit.changes[0]
