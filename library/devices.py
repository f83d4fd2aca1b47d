"""Which device a model runs on, and in which number format: rules with the measurement behind each."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Literal

from library.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")

# Flags of /proc/cpuinfo. An image tower converted to bfloat16 against float32, batch 32, two cores of an
# AMD EPYC with avx512_bf16: ViT-B-32 24 -> 80 photos/s, the built-in model 78-108 -> 204-266.
# Elsewhere torch emulates bfloat16, slower than float32.
BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})


def choose_device(wanted: str = "auto") -> str:
    """A torch device name: "cuda", "cuda:N", "mps" or "cpu". "auto" takes the first of them that is there.

    Raises ConfigError when the wanted device is unknown or absent.
    """
    import torch

    name = wanted.strip().lower()
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if name == "cpu" or (name == "mps" and torch.backends.mps.is_available()):
        return name
    if kind == "cuda" and (not number or number.isdecimal()) and torch.cuda.is_available():
        if int(number or 0) < torch.cuda.device_count():
            return name
        raise ConfigError(f"device is {wanted!r}, but this machine has only {torch.cuda.device_count()}")
    if kind in ("cuda", "mps"):
        raise ConfigError(
            f"device is {wanted!r}, but torch finds no such device here", hint="Use --device auto."
        )
    raise ConfigError(f"device is {wanted!r}; known are auto, cpu, cuda, cuda:N and mps")


def choose_precision(wanted: str, device: str) -> Precision:
    """The number format for the image tower on `device`; "auto" takes what is fastest at the same quality.

    CUDA: bf16 where the hardware has it, else fp16. MPS: fp32. CPU: bf16 where the processor multiplies
    it natively, else fp32.
    Raises ConfigError for an unknown name, and for fp16 on a CPU, which has no use for it.
    """
    name = wanted.strip().lower()
    if name == "auto":
        return _auto_precision(device)
    if name not in PRECISIONS:
        raise ConfigError(f"precision is {wanted!r}; known are auto, {', '.join(PRECISIONS)}")
    if name == "fp16" and device == "cpu":
        raise ConfigError(
            "precision is 'fp16', which needs a GPU", hint="Use --precision auto, bf16 or fp32."
        )
    return name


def _auto_precision(device: str) -> Precision:
    if device.startswith("cuda"):
        import torch

        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device == "cpu" and cpu_has_fast_bf16():
        return "bf16"
    return "fp32"


@cache
def cpu_has_fast_bf16() -> bool:
    """Whether this processor multiplies bfloat16 natively (AMX or AVX512-BF16)."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False  # ARM has bf16 instructions too, but nobody measured them here
    flags = _cpuinfo_flags()
    if flags:
        return bool(flags & BF16_FLAGS)
    return _torch_says_bf16()


def _cpuinfo_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The first processor's flags as Linux lists them; empty elsewhere."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return frozenset()
    lines = (line for line in text.splitlines() if line.startswith("flags"))
    return frozenset(next(lines, ":").partition(":")[2].split())


def _torch_says_bf16() -> bool:
    """torch's own, unpublished, probe: absent in some versions, hence the guard."""
    import torch

    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe()) if callable(probe) else False
