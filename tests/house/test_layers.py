"""Folders are layers, each engine has one adapter, and below oko/ nothing prints or exits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import LAYERS, PACKAGES, ROOT, package_files, parse

# Engine -> the files (or folders, with a slash) that may import it.
ADAPTERS: dict[str, tuple[str, ...]] = {
    "faiss": ("library/vectors/",),
    "open_clip": ("library/clip.py",),
    "sqlalchemy": ("library/catalog/", "library/schema.py", "library/migrations.py"),
    "watchdog": ("indexer/watch.py",),
}
IMAGES = "library/images.py"
NOT_OURS_TO_IMPORT = {"tests", "benchmarks"}
PRINTS_OR_EXITS = {"print", "input", "exit", "quit", "sys.exit", "os._exit", "SystemExit"}


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Dotted names with their lines: import statements anywhere, and importlib with a literal name."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((alias.name, node.lineno) for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield from ((f"{module}.{alias.name}", node.lineno) for alias in names)
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]):
                if ast.unparse(func) in ("__import__", "import_module", "importlib.import_module"):
                    yield name, node.lineno


def wrong_arrows(package: str, tree: ast.Module) -> list[str]:
    ours = set(LAYERS) | NOT_OURS_TO_IMPORT
    tops = [(name.split(".")[0], line) for name, line in imported(tree)]
    return [f"{line}: {top}" for top, line in tops if top in ours and top not in LAYERS[package]]


def wrong_engines(path: str, tree: ast.Module) -> list[str]:
    tops = [(name.split(".")[0], line) for name, line in imported(tree)]
    return [f"{line}: {top}" for top, line in tops if top in ADAPTERS and not path.startswith(ADAPTERS[top])]


def image_opens(tree: ast.Module) -> list[str]:
    """Uses of PIL.Image.open under whatever name, called or handed on."""
    modules = {"PIL.Image"}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules |= {a.asname for a in names if a.name == "PIL.Image" and a.asname}
            case ast.ImportFrom(module="PIL", names=names):
                modules |= {a.asname or a.name for a in names if a.name == "Image"}
            case ast.ImportFrom(module="PIL.Image", names=names):
                found += [f"{node.lineno}: open" for a in names if a.name == "open"]
    uses = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr == "open"]
    return found + [f"{n.lineno}: {ast.unparse(n)}" for n in uses if ast.unparse(n.value) in modules]


def prints_and_exits(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=func) if ast.unparse(func) in PRINTS_OR_EXITS:
                found.append(f"{node.lineno}: {ast.unparse(func)}")
            case ast.Raise(exc=ast.Name(id="SystemExit")):
                found.append(f"{node.lineno}: SystemExit")
    return found


def collect(findings: Iterator[tuple[Path, list[str]]]) -> list[str]:
    return [f"{path}:{finding}" for path, found in findings for finding in found]


def test_every_import_follows_the_layers() -> None:
    assert collect((path, wrong_arrows(path.parts[0], parse(path))) for path in package_files()) == []


def test_each_engine_is_imported_by_its_adapter_alone() -> None:
    assert collect((path, wrong_engines(path.as_posix(), parse(path))) for path in package_files()) == []


def test_pictures_are_opened_in_one_place() -> None:
    others = [path for path in package_files() if path.as_posix() != IMAGES]
    assert collect((path, image_opens(parse(path))) for path in others) == []


def test_only_oko_prints_and_exits() -> None:
    below = [path for path in package_files() if path.parts[0] != "oko"]
    assert collect((path, prints_and_exits(parse(path))) for path in below) == []


def test_every_package_is_a_known_layer() -> None:
    found = {init.parent.name for init in ROOT.glob("[!.]*/__init__.py")} - NOT_OURS_TO_IMPORT
    assert found == set(PACKAGES)


@pytest.mark.parametrize(
    "text",
    [
        "import search",
        "from search.rank import rank",
        "def f():\n    import search.query as q",
        "if TYPE_CHECKING:\n    from oko import cli",
        "importlib.import_module('generate.vqgan')",
        "from tests.pictures import cat",
    ],
)
def test_a_wrong_arrow_is_seen(text: str) -> None:
    assert len(wrong_arrows("indexer", ast.parse(text))) == 1


@pytest.mark.parametrize("text", ["import library.store", "from . import scan", "from searchlight import x"])
def test_a_right_arrow_is_let_through(text: str) -> None:
    assert wrong_arrows("indexer", ast.parse(text)) == []


def test_an_engine_outside_its_adapter_is_seen() -> None:
    tree = ast.parse("def f():\n    from faiss import IndexFlatIP\n    import sqlalchemy.orm")
    assert wrong_engines("library/store.py", tree) == ["2: faiss", "3: sqlalchemy"]
    assert wrong_engines("library/catalog/reading.py", tree) == ["2: faiss"]


@pytest.mark.parametrize(
    "text",
    [
        "from PIL import Image\nImage.open(p)",
        "from PIL import Image as I\nI.open(p)",
        "import PIL.Image\nPIL.Image.open(p)",
        "from PIL.Image import open",
        "from PIL import Image\nopeners = [Image.open]",
    ],
)
def test_opening_a_picture_is_seen(text: str) -> None:
    assert len(image_opens(ast.parse(text))) == 1


@pytest.mark.parametrize(
    "text", ["print(1)", "import sys\nsys.exit(2)", "raise SystemExit", "raise SystemExit(1)"]
)
def test_printing_and_exiting_are_seen(text: str) -> None:
    assert len(prints_and_exits(ast.parse(text))) == 1
