"""A safetensors file as numpy arrays, without torch and without reading what nobody asks for."""

from __future__ import annotations

import json
import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

SUFFIX = ".safetensors"
_LENGTH_BYTES = 8  # a file begins with the length of its header, then the header, then the tensors
_MOST_HEADER_BYTES = 100_000_000  # the format's own limit
_KINDS: dict[str, Any] = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


class TensorFile:
    """The tensors of a file, mapped into memory: float32 ones are read from the page cache as they are used."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when the file cannot be read, ValueError when it is not sound."""
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        length = int.from_bytes(self._bytes[:_LENGTH_BYTES], "little")
        self._start = _LENGTH_BYTES + length
        if length > _MOST_HEADER_BYTES or self._start > len(self._bytes):
            raise ValueError(f"{path} is no safetensors file")
        header = json.loads(self._bytes[_LENGTH_BYTES : self._start])
        if not isinstance(header, dict):
            raise ValueError(f"{path} has no table of tensors")
        self._entries: dict[str, Any] = {name: header[name] for name in header if name != "__metadata__"}

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def get(self, name: str) -> F32:
        """A tensor as float32, in its own shape; read-only. Raises ValueError: not there, or of another kind."""
        return _float32(self._raw(name))

    def rows(self, name: str, which: NDArray[np.int64]) -> F32:
        """Some rows of a tensor: (R, C) and any shape of row numbers S -> (*S, C) float32.

        Raises ValueError for a row that is not there.
        """
        raw = self._raw(name)
        if which.size and (which.min() < 0 or which.max() >= len(raw)):
            raise ValueError(f"{name} has {len(raw)} rows")
        return _float32(raw[which])

    def _raw(self, name: str) -> NDArray[Any]:
        try:
            entry = self._entries[name]
            kind = np.dtype(_KINDS[entry["dtype"]]).newbyteorder("<")
            shape, (begin, end) = [int(side) for side in entry["shape"]], map(int, entry["data_offsets"])
        except (KeyError, TypeError) as e:
            raise ValueError(f"the tensor {name} is not there, or of no known kind: {e}") from e
        count = math.prod(shape)
        if not 0 <= begin <= end <= len(self._bytes) - self._start or end - begin != count * kind.itemsize:
            raise ValueError(f"the tensor {name} does not lie in the file")
        found = np.frombuffer(self._bytes, kind, count, self._start + begin)
        return found.reshape(shape)


def _float32(raw: NDArray[Any]) -> F32:
    """Float16, or bfloat16 as the upper half of a float32, to float32; that stays what it is."""
    if raw.dtype == np.uint16:
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32, copy=False)
