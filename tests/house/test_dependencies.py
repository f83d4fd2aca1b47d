"""What the packages import, pyproject declares: nothing works only because something else happens to bring it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions

from tests.house.source import LAYERS, ROOT, package_files, parse
from tests.house.test_layers import imported

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normalised(name: str) -> str:
    """A distribution's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normalised(re.split(r"[<>=!~;\[ ]", requirement)[0]) for requirement in requirements}


def foreign(tree: ast.Module) -> set[str]:
    tops = {name.split(".")[0] for name, _ in imported(tree)}
    return tops - sys.stdlib_module_names - set(LAYERS)


@cache
def providers() -> Mapping[str, list[str]]:
    """Which distributions bring a module; a look at everything that is installed."""
    return packages_distributions()


def undeclared(names: set[str], requirements: set[str]) -> set[str]:
    return {n for n in names if not requirements & {normalised(p) for p in providers().get(n, [n])}}


def test_every_import_is_declared() -> None:
    extras = [
        r
        for name, group in PROJECT["optional-dependencies"].items()
        if name not in ("test", "dev")
        for r in group
    ]
    allowed = declared(PROJECT["dependencies"] + extras)
    found = {str(path): undeclared(foreign(parse(path)), allowed) for path in package_files()}
    assert {path: names for path, names in found.items() if names} == {}


def test_what_loads_with_a_module_is_no_extra() -> None:
    """An import at the top of a file must work in the plainest installation."""
    allowed = declared(PROJECT["dependencies"])
    found = {}
    for path in package_files():
        top = ast.Module([n for n in parse(path).body if isinstance(n, ast.Import | ast.ImportFrom)], [])
        found[str(path)] = undeclared(foreign(top), allowed)
    assert {path: names for path, names in found.items() if names} == {}


def test_an_undeclared_import_is_seen() -> None:
    tree = ast.parse(
        "import os\nimport library.store\ndef f():\n    from pyarrow import parquet\n    import PIL.Image"
    )
    assert foreign(tree) == {"pyarrow", "PIL"}
    assert undeclared(foreign(tree), declared(["Pillow>=11.3"])) == {"pyarrow"}
