"""Photos to time things with: real ones, enlarged to JPEGs of a wanted size, with the grain a camera leaves."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

QUALITY = 90
GRAIN_LEVELS = (
    5.0  # standard deviation, in 8-bit levels: enlarged photos alone are smoother than any camera's
)
SHARDS = ("flickr8k.tar", "coco_human.tar", "coco_vqa.tar", "vi_gloss.tar")


def enlarged(data: Path, folder: Path, *, count: int, size: tuple[int, int]) -> Path:
    """`count` JPEGs of `size` (width, height) in `folder`, made if they are not there; all contents differ."""
    folder.mkdir(parents=True, exist_ok=True)
    grain = _grain(size)
    for number, picture in enumerate(islice(cycle_of(data), count)):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        if path.exists():
            continue
        path.parent.mkdir(exist_ok=True)
        large = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.int16)
        large = large + np.roll(grain, (17 * number, 29 * number), axis=(0, 1))[..., None]
        unfinished = path.with_suffix(".part")
        Image.fromarray(np.clip(large, 0, 255).astype(np.uint8)).save(unfinished, "JPEG", quality=QUALITY)
        unfinished.rename(path)
    return folder


def cycle_of(data: Path) -> Iterator[Image.Image]:
    """The photos of the shards in `data`, again and again; random pictures if there are none."""
    shards = [data / name for name in SHARDS if (data / name).is_file()]
    if shards:
        for shard in cycle(shards):
            yield from _pictures(shard)
    random = np.random.default_rng(0)
    while True:
        yield Image.fromarray(random.integers(0, 255, (56, 56, 3), np.uint8)).resize((224, 224))


def _pictures(shard: Path) -> Iterator[Image.Image]:
    with tarfile.open(shard) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name.endswith(".webp") else None
            if content is not None:
                yield Image.open(io.BytesIO(content.read())).convert("RGB")


def _grain(size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    width, height = size
    noise = np.random.default_rng(0).normal(0.0, GRAIN_LEVELS, (height, width))
    return np.rint(noise).astype(np.int16)
