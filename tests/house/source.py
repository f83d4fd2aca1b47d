"""Our own source as data, for the tests of the house rules."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Package -> our packages that it may import (itself included); the table of docs and CONTRIBUTING.md.
LAYERS: dict[str, frozenset[str]] = {
    "library": frozenset({"library"}),
    "indexer": frozenset({"indexer", "library"}),
    "search": frozenset({"search", "library"}),
    "generate": frozenset({"generate", "library"}),
    "training": frozenset({"training", "generate", "library"}),
    "oko": frozenset({"oko", "training", "indexer", "search", "generate", "library"}),
}
PACKAGES = [name for name in LAYERS if (ROOT / name / "__init__.py").is_file()]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def package_files() -> list[Path]:
    """Every Python file of the packages, relative to the root."""
    return sorted(p.relative_to(ROOT) for name in PACKAGES for p in (ROOT / name).rglob("*.py"))


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def functions(tree: ast.Module) -> Iterator[FunctionNode]:
    return (node for node in ast.walk(tree) if isinstance(node, FunctionNode))


def line_count(function: FunctionNode) -> int:
    """Lines from `def` to the last one; decorators are not counted."""
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def project_files() -> list[Path]:
    """What git tracks or would track, relative to the root. Skips the test where git cannot say."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        out = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as e:
        pytest.skip(f"git cannot list the project's files: {e}")
    paths = {Path(name) for name in out.decode().split("\0") if name}
    return sorted(path for path in paths if (ROOT / path).is_file())
