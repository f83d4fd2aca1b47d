"""A weights file -> tensors, safely (safetensors, or pickles of plain tensors); into a module, strictly."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from library.errors import ModelUnavailable, WeightsInvalid

if TYPE_CHECKING:
    import torch

_NAMED = 4  # keys named in an error; enough to recognise the architecture that the file was made for
_REFUSED = re.compile(r"GLOBAL ([\w.]+)")  # how torch's error names the object that it would not make


def read_checkpoint(path: Path, *, stand_ins: Sequence[type] = ()) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint, on the CPU, in the file's own dtypes, read from the disk when it is used.

    Reads .safetensors, and anything else as a torch file with `weights_only=True`, so that no code in
    it can run. A training checkpoint ({"state_dict": ...}) and the "module." prefix of distributed
    training are unwrapped. `stand_ins` are classes of ours that are made in place of those of the same module and
    name in the file: a training program's own objects, which nobody needs here.
    Raises ModelUnavailable when the file cannot be read and WeightsInvalid when it is not sound or not safe.
    """
    if not path.is_file():
        raise ModelUnavailable(f"the weights file {path} does not exist")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path, stand_ins)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    return _tensors(content, path)


def load_strictly(module: torch.nn.Module, tensors: dict[str, torch.Tensor], *, what: str) -> None:
    """Copies `tensors` into `module`; keys and shapes must be exactly the module's own.

    Raises WeightsInvalid, naming the first few keys that are missing, unknown, or of another shape.
    """
    wanted = module.state_dict()
    problems = _named("missing", sorted(wanted.keys() - tensors.keys()))
    problems += _named("unknown", sorted(tensors.keys() - wanted.keys()))
    shapes = [
        f"{key} is {tuple(tensors[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in wanted
        if key in tensors and tensors[key].shape != wanted[key].shape
    ]
    problems += _named("of another shape", shapes)
    if problems:
        raise WeightsInvalid(
            f"{what} does not fit the architecture: {'; '.join(problems)}",
            hint="Name the architecture the weights were made for; `oko models add --help` shows how.",
        )
    module.load_state_dict(tensors, strict=True)


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except (SafetensorError, ValueError) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        raise ModelUnavailable(
            f"the weights file {path} cannot be read: {error.strerror or error}"
        ) from error


def _read_torch(path: Path, stand_ins: Sequence[type]) -> Any:
    import torch

    try:
        # Mapped, what is not used (an optimiser's state is twice the weights) never comes into memory.
        with torch.serialization.safe_globals(list(stand_ins)):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        refused = _REFUSED.search(str(error))
        why = (
            f"it holds {refused[1]}, which could run code" if refused else "it is damaged, or could run code"
        )
        raise WeightsInvalid(
            f"{path} is not a plain weights file: {why}",
            hint="Save the weights as .safetensors, or as a torch file that holds tensors only.",
        ) from error
    except PermissionError as error:
        raise ModelUnavailable(f"the weights file {path} cannot be read: {error.strerror}") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise _damaged(path, error) from error


def _tensors(content: Any, path: Path) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(content, dict) or not content:
        raise WeightsInvalid(f"{path} holds no weights")
    odd = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if odd:
        raise WeightsInvalid(f"{path} holds other things than weights: {', '.join(odd[:_NAMED])}")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def _damaged(path: Path, error: Exception) -> WeightsInvalid:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return WeightsInvalid(f"{path} is not a sound weights file: {reason}", hint="Get the file again.")


def _named(what: str, keys: list[str]) -> list[str]:
    if not keys:
        return []
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return [f"{what}: {', '.join(keys[:_NAMED])}{more}"]
