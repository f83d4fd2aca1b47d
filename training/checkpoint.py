"""A run's state on disk: written whole or not at all, and read without running any code in it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from library.errors import DiskFull, WeightsInvalid


def save(path: Path, state: dict[str, Any]) -> None:
    """Replaces the file by `state`: tensors, numbers, texts, and lists and dicts of them. Raises DiskFull."""
    import torch

    with replacing(path) as temporary:
        torch.save(state, temporary)


def load(path: Path) -> dict[str, Any]:
    """What was saved, on the processor. Raises WeightsInvalid for a damaged file."""
    import torch

    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise WeightsInvalid(
            f"{path} is not a sound checkpoint: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            hint="Delete it and begin again, without --resume.",
        ) from error
    return state


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, which takes its place when all is written and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError of its own
        raise DiskFull(
            f"{path} could not be written: {str(error).splitlines()[0]}",
            hint="Free some space and add --resume.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
