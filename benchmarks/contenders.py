"""The models of one benchmark run: registered names, folders and weights files, each with an encoder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library.encoder import Encoder, load_encoder
from library.errors import UsageError
from library.models import ModelSpec, Registry
from library.weights import CONFIG_FILE, WEIGHTS_FILES

F32 = NDArray[np.float32]
BATCH = 32
# The first built-in model was trained on the development photos before they were set apart.
SAW_THE_PHOTOS = {"f2631c475a3150ce0d5c04d6bedbbbc335c9afee36b813bbff7c6b1ea99f83da"}


@dataclass
class Contender:
    """One model, and the vectors of every text that it was asked for."""

    name: str
    encoder: Encoder
    size_bytes: int | None = None
    _texts: dict[str, F32] = field(default_factory=dict)

    @property
    def saw_the_photos(self) -> bool:
        """Whether it is known to be trained on what is measured here."""
        return self.encoder.stamp.weights_sha256 in SAW_THE_PHOTOS

    def texts(self, texts: Sequence[str]) -> F32:
        """(N, D) float32, L2 norm 1; no text is encoded twice."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        self._texts.update(zip(new, self.encoder.encode_texts(new), strict=True))
        if not texts:
            return np.zeros((0, self.encoder.stamp.dim), np.float32)
        return np.stack([self._texts[text] for text in texts])

    def images(self, images: Iterable[Image.Image]) -> F32:
        """(N, D) float32, L2 norm 1, BATCH pictures at a time."""
        pixels = [self.encoder.prepare(image) for image in images]
        starts = range(0, len(pixels), BATCH)
        parts = [self.encoder.encode_images(np.stack(pixels[start : start + BATCH])) for start in starts]
        return np.concatenate([np.zeros((0, self.encoder.stamp.dim), np.float32), *parts])


def contenders(
    models: Sequence[str], scratch: Path, *, device: str = "auto", precision: str = "auto"
) -> list[Contender]:
    """The models with their weights loaded; `scratch` is a folder that must stay while they are used.

    Raises UnknownModel, UsageError (no configuration beside the weights), and what loading raises.
    """
    made = []
    for name, model in zip(names_of(models), models, strict=True):
        spec = spec_of(model, name, scratch)
        encoder = load_encoder(spec, device=device, precision=precision)
        _ = encoder.stamp  # loads it now: a wrong name shall not end a run half-way
        made.append(Contender(name, encoder, _size_bytes(spec)))
    return made


def spec_of(model: str, name: str, scratch: Path) -> ModelSpec:
    """A registered name, a folder as open_clip saves a model, or a weights file that lies in such a folder."""
    path = Path(model).expanduser().absolute()
    if not path.exists():
        return Registry(None).resolve(model)
    folder = path if path.is_dir() else path.parent
    if not (folder / CONFIG_FILE).is_file():
        raise UsageError(f"{folder} holds no {CONFIG_FILE}, so it is not a model")
    if path.is_file():  # a checkpoint beside others: a folder in which it is the only one
        folder = _folder_around(path, scratch / name)
    return ModelSpec(name=name, source="local", weights=folder)


def _folder_around(weights: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for file in weights.parent.iterdir():
        if file.suffix not in (".safetensors", ".bin", ".pt"):
            (folder / file.name).symlink_to(file)
    (folder / WEIGHTS_FILES[0 if weights.suffix == ".safetensors" else 1]).symlink_to(weights)
    return folder


def names_of(models: Sequence[str]) -> list[str]:
    """Short names that differ, fit to be registered: of a path as many last parts as it takes."""
    for parts in range(1, 20):
        short = [
            "-".join(Path(model).absolute().parts[-parts:]) if Path(model).exists() else model
            for model in models
        ]
        if len(set(short)) == len(models):
            return short
    raise UsageError("the same model is named twice")


def _size_bytes(spec: ModelSpec) -> int | None:
    """All that the model needs on disk; None where only the hub knows."""
    if spec.weights is None:
        return spec.download_bytes
    files = [path for path in spec.weights.iterdir() if path.is_file()]
    weights = next((path for path in files if path.name in WEIGHTS_FILES), None)
    needed = [path for path in files if path.name.endswith((".gz", ".json", ".txt")) or path == weights]
    return sum(path.stat().st_size for path in needed)


def photos_per_s(contender: Contender, images: Sequence[Image.Image]) -> float:
    """Pictures a second in batches of BATCH, preprocessing not counted."""
    pixels = np.stack([contender.encoder.prepare(image) for image in images[:BATCH]])
    started = time.perf_counter()
    contender.encoder.encode_images(pixels)
    return len(pixels) / (time.perf_counter() - started)


def ms_a_query(contender: Contender, texts: Sequence[str]) -> float:
    """Milliseconds a text, each encoded by itself as a search does."""
    started = time.perf_counter()
    for text in texts:
        contender.encoder.encode_texts([text])
    return 1000 * (time.perf_counter() - started) / len(texts)
