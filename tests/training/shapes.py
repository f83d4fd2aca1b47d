"""Coloured shapes with captions, and a tiny CLIP that can learn them in seconds."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import tarfile
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from library.clip import ClipModel, load_clip
from library.presets import BUILTIN_FOLDER, ModelSpec
from library.weights import CONFIG_FILE, WEIGHTS_FILES
from training.photos import Photo, Source, Split, identify, split

COLOURS = {"red": "#d22", "green": "#2a2", "blue": "#22d", "yellow": "#ed2", "white": "#fff", "black": "#000"}
SHAPES = ("circle", "square", "bar", "cross")
VOCABULARY = "bpe_16k_en_de_fr_cs.txt.gz"
TINY: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
        "text_cfg": {
            "context_length": 12,
            "vocab_size": 16384,
            "width": 64,
            "heads": 2,
            "layers": 1,
            "tokenizer_kwargs": {"bpe_path": VOCABULARY},
        },
    },
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash", "size": [32, 32]},
}


def shape(colour: str, name: str, rng: random.Random) -> Image.Image:
    """One coloured shape somewhere on grey, 48 pixels wide."""
    picture = Image.new("RGB", (48, 48), (120 + rng.randrange(20),) * 3)
    pen, x, y, side = ImageDraw.Draw(picture), rng.randrange(4, 18), rng.randrange(4, 18), 24
    paint = {"fill": COLOURS[colour]}
    if name == "circle":
        pen.ellipse((x, y, x + side, y + side), **paint)
    elif name == "square":
        pen.rectangle((x, y, x + side, y + side), **paint)
    elif name == "bar":
        pen.rectangle((x, y + 9, x + side, y + 15), **paint)
    else:
        pen.rectangle((x, y + 9, x + side, y + 15), **paint)
        pen.rectangle((x + 9, y, x + 15, y + side), **paint)
    return picture


def made(count: int, seed: int = 0) -> list[tuple[Image.Image, list[str]]]:
    """Pictures with two captions each; every combination comes equally often."""
    rng = random.Random(seed)
    kinds = [(colour, name) for colour in COLOURS for name in SHAPES]
    chosen = [kinds[number % len(kinds)] for number in range(count)]
    return [
        (shape(colour, name, rng), [f"a {colour} {name}", f"{name}, {colour}, on grey"])
        for colour, name in chosen
    ]


def png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def folder_of(path: Path, count: int, seed: int = 0) -> Path:
    """PNGs with .txt sidecars."""
    path.mkdir(parents=True, exist_ok=True)
    for number, (picture, captions) in enumerate(made(count, seed)):
        (path / f"{number:04}.png").write_bytes(png(picture))
        (path / f"{number:04}.txt").write_text("\n".join(captions) + "\n")
    return path


def tar_of(path: Path, count: int) -> Path:
    """A WebDataset shard: KEY.png and KEY.json with captions and a label."""
    with tarfile.open(path, "w") as tar:
        for number, (picture, captions) in enumerate(made(count)):
            label = captions[0].split()[-1]
            texts = json.dumps({"captions": captions, "label": label}).encode()
            for ending, content in (("png", png(picture)), ("json", texts)):
                member = tarfile.TarInfo(f"shapes/{number:04}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def table_of(folder: Path, count: int, *, header: bool = True, delimiter: str = ",") -> Path:
    """Pictures in `folder`/pictures, and a table beside that folder, one row a caption."""
    pictures = folder_of(folder / "pictures", count)
    path = folder / "captions.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file, delimiter=delimiter)
        if header:
            rows.writerow(["Image", "split", "Caption"])
        for text in sorted(pictures.glob("*.txt")):
            name = f"pictures/{text.stem}.png"
            for caption in text.read_text().splitlines():
                rows.writerow([name, "train", caption] if header else [name, caption])
    return path


def tiny_model(folder: Path, config: dict[str, Any] | None = None) -> ModelSpec:
    """A model folder with random weights, as open_clip saves one, and its spec."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(config or TINY))
    shutil.copy(BUILTIN_FOLDER / VOCABULARY, folder / VOCABULARY)
    torch.manual_seed(1)
    module = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file({k: v.contiguous() for k, v in module.state_dict().items()}, folder / WEIGHTS_FILES[0])
    return ModelSpec(name="tiny", source="local", weights=folder)


def loaded(spec: ModelSpec) -> ClipModel:
    return load_clip(spec, device="cpu", precision="fp32")


def photos_of(folder: Path) -> list[Photo]:
    texts = sorted(folder.glob("*.txt"))
    return [Photo(Source(text.with_suffix(".png")), tuple(text.read_text().splitlines())) for text in texts]


def divided(folder: Path, share: float = 0.2) -> Split:
    return split(identify(photos_of(folder))[0], share)
