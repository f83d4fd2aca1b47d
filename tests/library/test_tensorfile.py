"""Tensors mapped from a file: every number format equals what safetensors itself reads; unsound files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from library.tensorfile import TensorFile

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_every_number_format_becomes_float32(tmp_path: Path, kind: str) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    value = torch.randn(5, 3).to(getattr(torch, kind))
    save_file({"odd": torch.ones(3, dtype=torch.uint8), "value": value, "one": value[0, 0].clone()}, path)
    tensors = TensorFile(path)
    assert "value" in tensors
    assert "__metadata__" not in tensors
    assert np.array_equal(tensors.get("value"), value.float().numpy())
    assert tensors.get("one").shape == ()
    rows = tensors.rows("value", np.array([[4, 0], [1, 1]]))
    assert rows.dtype == np.float32
    assert np.array_equal(rows, value.float().numpy()[[[4, 0], [1, 1]]])
    for wrong in ([5], [-1]):
        with pytest.raises(ValueError, match="5 rows"):
            tensors.rows("value", np.array(wrong))
    for name in ("absent", "odd"):
        with pytest.raises(ValueError, match=name):
            tensors.get(name)


def content(header: Any, tail: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tail


@pytest.mark.parametrize(
    "bytes_",
    [
        b"",
        b"\xff" * 64,
        b"\x08" + bytes(7) + b"no json!",
        content([1]),
        content({"a": 1}),
        content({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(8)),
        content({"a": {"dtype": "F32", "shape": [4], "data_offsets": [8, 16]}}, bytes(16)),
        content({"a": {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]}}, bytes(16)),
    ],
)
def test_an_unsound_file_is_refused(tmp_path: Path, bytes_: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes_)
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words, Python's among them
        TensorFile(path).get("a")
