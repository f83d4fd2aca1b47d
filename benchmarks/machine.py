"""What a figure was measured on, and where it is written."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "open_clip_torch", "faiss-cpu", "numpy", "pillow")


def describe() -> str:
    """The machine in a few words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores of {model}"


def write(path: Path, figures: dict[str, Any]) -> None:
    """The figures as JSON, with the machine and the versions they were taken on."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**figures, "machine": describe(), "versions": versions}, indent=2) + "\n")
