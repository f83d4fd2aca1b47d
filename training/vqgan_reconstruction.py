"""How well a VQGAN gives back pictures that it never learnt from: PSNR, codes in use, and a sheet to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generate.vqgan import VQGAN, Quantized, perplexity
from library.ahead import ordered_map
from library.errors import DiskFull
from library.sheets import Cell, Section, contact_sheet
from training.crops import middle_square, to_numbers, to_picture
from training.data import open_photo, threads
from training.photos import Photo, Problem

F32 = NDArray[np.float32]
_BATCH = 8
_MOST_PICTURES = 256  # more tell little more, and take minutes
_SHOWN = 12
_COLUMNS = 6
_CELL_PX = 192


@dataclass(frozen=True, slots=True)
class Reconstructed:
    """Over all pictures: mean PSNR in dB (of values clipped to -1..1), mean absolute difference of numbers from -1 to
    1, perplexity of all codes together, and the share of the codebook that was chosen at least once.
    """

    pictures: int
    psnr_db: float
    difference: float
    perplexity: float
    codes_used: float

    def as_json(self) -> dict[str, Any]:
        """A plain object."""
        return dataclasses.asdict(self)


class HeldOut:
    """The middle squares of pictures that are never learnt from, read once."""

    def __init__(self, photos: Sequence[Photo], side_px: int) -> None:
        self.problems: list[Problem] = []
        squares: list[F32] = []
        chosen = [
            photos[row]
            for row in np.linspace(0, len(photos) - 1, min(len(photos), _MOST_PICTURES)).round().astype(int)
        ]
        for found in ordered_map(
            lambda photo: _square(photo, side_px), chosen, workers=threads(), ahead=2 * threads()
        ):
            if isinstance(found, Problem):
                self.problems.append(found)
            else:
                squares.append(found)
        self.images = np.stack(squares) if squares else np.zeros((0, 3, side_px, side_px), np.float32)

    def __len__(self) -> int:
        return len(self.images)

    def measure(self, model: VQGAN, *, most: int = _MOST_PICTURES) -> Reconstructed:
        """On `most` pictures, or as many as there are. Raises ValueError when there are none."""
        import torch

        count = min(most, len(self))
        made, indices = self.reconstruct(model, count)
        wrong = made.clip(-1, 1) - self.images[:count]  # (N, 3, S, S)
        psnr = 10 * np.log10(
            4 / np.maximum(1e-10, (wrong**2).mean((1, 2, 3)))
        )  # the range is 2, so its square 4
        entries = model.config.n_embed
        return Reconstructed(
            pictures=count,
            psnr_db=round(float(psnr.mean()), 3),
            difference=round(float(np.abs(wrong).mean()), 5),
            perplexity=round(float(perplexity(torch.from_numpy(indices), entries)), 1),
            codes_used=round(len(np.unique(indices)) / entries, 4),
        )

    def reconstruct(self, model: VQGAN, count: int) -> tuple[F32, NDArray[np.int64]]:
        """The first `count` pictures out of the model, (N, 3, S, S) float32, and their codes (N, h, w)."""
        import torch

        was_training, device = model.training, model.codebook.device
        model.eval()
        pictures, codes = [], []
        with torch.no_grad():
            for start in range(0, count, _BATCH):
                images = torch.from_numpy(self.images[start : min(count, start + _BATCH)]).to(device)
                quantized: Quantized
                made, quantized = model(images)
                pictures.append(made.float().cpu().numpy())
                codes.append(quantized.indices.cpu().numpy())
        model.train(was_training)
        return np.concatenate(pictures), np.concatenate(codes)

    def write_sheet(self, model: VQGAN, path: Path, *, title: str) -> None:
        """Pictures and below them what became of them. Raises DiskFull."""
        count = min(len(self), _SHOWN)
        made, _ = self.reconstruct(model, count)
        sections = []
        for start in range(0, count, _COLUMNS):
            rows = range(start, min(count, start + _COLUMNS))
            sections.append(Section("", [Cell(to_picture(self.images[row])) for row in rows]))
            sections.append(Section("", [Cell(to_picture(made[row])) for row in rows]))
        sheet = contact_sheet(sections, columns=_COLUMNS, cell_px=_CELL_PX, title=title)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            sheet.save(path)
        except OSError as error:
            raise DiskFull(f"{path} could not be written: {error.strerror or error}") from error


def _square(photo: Photo, side_px: int) -> F32 | Problem:
    image = open_photo(photo, side_px=side_px)
    return image if isinstance(image, Problem) else to_numbers(middle_square(image, side_px))
