"""The files of painting: pictures with their recipes, written whole or not at all, and what interrupted runs keep."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generate.recipe import Recipe, from_json
from library.errors import DiskFull, UsageError
from library.records import display_path
from oko import __version__
from oko.recipes import RECIPE_KEY

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

_FULL = (errno.ENOSPC, errno.EDQUOT)
_STATE_BYTES = 50_000_000  # more than codes, optimiser and a few pictures take
_SLUG_LENGTH = 60
SKETCH_PX = 512


def default_name(recipe: Recipe) -> str:
    """A file name from the first prompt's words."""
    words = re.sub(r"\W+", "-", Path(recipe.scenes[0][0].content).name.lower()).strip("-_")
    return (words[:_SLUG_LENGTH].rstrip("-_") or "painted") + ".png"


def free_name(folder: Path, name: str) -> Path:
    """The name in the folder, with a number behind it if it is taken."""
    path = folder / name
    number = 2
    while path.exists() or work_folder(path).exists():
        path = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        number += 1
    return path


def check_place(path: Path, *, suffixes: tuple[str, ...], overwrite: bool) -> None:
    """Raises UsageError or DiskFull when a file could not be written there in the end."""
    name = display_path(path)
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{name} does not end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise UsageError(f"{name} is a folder", hint="Name a file in it.")
    if path.exists() and not overwrite:
        raise UsageError(f"{name} is there already", hint="Name another file, or add --overwrite.")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {display_path(path.parent)} does not exist", hint="Make it first.")
    with writing(path):
        probe = path.with_name(f".{path.name}.{os.getpid()}.try")
        try:
            probe.write_bytes(b"\0")
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free
    if free < _STATE_BYTES:
        raise _disk_full(path, f"{free / 1e6:.0f} MB are free, and {_STATE_BYTES / 1e6:.0f} MB may be needed")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What can go wrong while writing, in words. Raises DiskFull, UsageError."""
    try:
        yield
    except OSError as e:
        if e.errno in _FULL:
            raise _disk_full(path, e.strerror or "the disk is full") from e
        raise UsageError(
            f"{display_path(path)} cannot be written: {e.strerror or e}", hint="Name another place with -o."
        ) from e


def _disk_full(path: Path, why: str) -> DiskFull:
    return DiskFull(
        f"no room for {display_path(path)}: {why}",
        hint="Free some space, or name another place with -o; then go on with --resume.",
    )


def write_whole(path: Path, fill: Callable[[Path], object]) -> None:
    """Replaces a file by what `fill` writes to the path it gets: a reader sees the old or the new, never half."""
    new = path.with_name(f".{path.stem}.{os.getpid()}.new{path.suffix}")
    with writing(path):
        try:
            fill(new)
            os.replace(new, path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W) float32 in 0..1 -> an RGB picture."""
    from PIL import Image

    values = picture.mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous()
    return Image.fromarray(values.numpy(), "RGB")


def sketch(picture: Tensor) -> bytes:
    """(3, H, W) float32 in 0..1 -> a small WebP."""
    image = to_image(picture)
    image.thumbnail((SKETCH_PX, SKETCH_PX))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=85)
    return out.getvalue()


def save_picture(path: Path, picture: Tensor, recipe: Recipe | None, **more: Any) -> None:
    """Write the PNG, with the recipe in its texts unless None; `more` goes beside it. Raises DiskFull, UsageError."""
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Software", f"oko {__version__}")
    if recipe is not None:
        texts.add_itxt(RECIPE_KEY, json.dumps(recipe.as_json(), ensure_ascii=False))
        texts.add_itxt("oko-run", json.dumps({"oko": __version__, **more}, ensure_ascii=False))
        texts.add_itxt("Description", describe(recipe))
    content = io.BytesIO()
    to_image(picture).save(content, "PNG", pnginfo=texts)
    write_whole(path, lambda new: new.write_bytes(content.getbuffer()))


def describe(recipe: Recipe) -> str:
    """The prompts in a line, as they would be typed; of pictures only the name of the file."""
    return " ^ ".join(
        " | ".join(
            (Path(p.content).name if p.kind == "image" else p.content)
            + ("" if p.weight == 1 and p.stop is None else f":{p.weight:g}")
            + ("" if p.stop is None else f":{p.stop:g}")
            for p in scene
        )
        for scene in recipe.scenes
    )


# What an interrupted run keeps


def work_folder(path: Path) -> Path:
    """Where a run keeps its state and frames while it lasts."""
    return path.with_name(f".{path.name}.oko-run")


@dataclass(frozen=True, slots=True)
class Kept:
    """An interrupted run: its recipe, the painter's state, and whether the recipe may be written into the picture."""

    recipe: Recipe
    painter: dict[str, Any]
    tells_recipe: bool = True


def save_state(path: Path, kept: Kept) -> None:
    """Keep the state of a run beside its picture. Raises DiskFull, UsageError."""
    import torch

    folder = work_folder(path)
    with writing(folder):
        folder.mkdir(exist_ok=True)
    content = io.BytesIO()
    values = {
        "recipe": json.dumps(kept.recipe.as_json()),
        "painter": kept.painter,
        "tells_recipe": kept.tells_recipe,
    }
    torch.save(values, content)
    write_whole(_state_file(path), lambda new: new.write_bytes(content.getbuffer()))


def has_state(path: Path) -> bool:
    """Whether a run of that picture can be gone on with."""
    return _state_file(path).is_file()


def _state_file(path: Path) -> Path:
    return work_folder(path) / "state.pt"


def load_state(path: Path) -> Kept:
    """What `save_state` kept. Raises UsageError when there is nothing, or nothing sound."""
    import pickle

    import torch

    if not has_state(path):
        raise UsageError(
            f"no interrupted run of {display_path(path)} was kept", hint="Paint it anew, without --resume."
        )
    try:
        content = torch.load(_state_file(path), map_location="cpu", weights_only=True)
        recipe = from_json(json.loads(content["recipe"]))
        return Kept(recipe, content["painter"], content["tells_recipe"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as e:
        raise UsageError(
            f"what was kept of {display_path(path)} is damaged: {e}", hint="Paint it anew, without --resume."
        ) from e


def forget_run(path: Path) -> None:
    """Delete what a run kept; it is finished."""
    shutil.rmtree(work_folder(path), ignore_errors=True)
