"""The network inside the package: it is there, small, and gives back what it is shown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from generate.load import BUILTIN_FOLDER, VQGAN_WEIGHTS_FILE, builtin_vqgan
from oko.cli import main

MOST_BYTES = 12_000_000


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def photograph() -> Tensor:
    """(1, 3, 192, 192) in -1..1."""
    data = pytest.importorskip("skimage.data", reason="the photograph comes with scikit-image")
    image = Image.fromarray(data.astronaut()).resize((192, 192), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float().div(127.5).sub(1)


def test_a_photograph_comes_back() -> None:
    assert (BUILTIN_FOLDER / VQGAN_WEIGHTS_FILE).stat().st_size < MOST_BYTES
    vqgan = builtin_vqgan()
    given = photograph()
    with torch.no_grad():
        quantized = vqgan.quantize(vqgan.encode(given))
        made = vqgan.decode(quantized.codes).clamp(-1, 1)
    psnr_db = -10 * math.log10(float(((made - given) / 2).square().mean()))
    assert psnr_db > 19
    assert len(quantized.indices.unique()) > 200


def test_painting_needs_no_network_of_ones_own(tmp_path: Path) -> None:
    words = ["generate", "--library", str(tmp_path / "library"), "--quiet", "--seed", "1", "--size", "64x64"]
    words += ["--cutouts", "4", "--steps", "3", "--precision", "fp32", "a red barn"]
    for name in ("a.png", "b.png"):
        assert main([*words, "-o", str(tmp_path / name)]) == 0
    with Image.open(tmp_path / "a.png") as first, Image.open(tmp_path / "b.png") as again:
        assert first.size == (64, 64)
        assert first.tobytes() == again.tobytes()
