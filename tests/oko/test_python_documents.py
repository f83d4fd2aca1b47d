"""What the documents show of Python runs: docstrings, docs/api.md, and docs/tutorial.md with real photographs."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import oko.api
import oko.labelled
from library.records import PhotoFilter
from oko.cli import build_parser
from oko.demo import PHOTOS, copy_photos
from tests.house.source import ROOT
from tests.oko.python_examples import count_models, example_photos, opened

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


def docstrings() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for module in (oko.api, oko.labelled) for test in finder.find(module) if test.examples]


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """What the examples may use: an open library of the folder `photos`."""
    count_models(monkeypatch)
    photos = example_photos(tmp_path)
    with opened(tmp_path) as library:
        library.index([photos])
        yield {"oko": oko, "library": library, "photos": photos, "PhotoFilter": PhotoFilter}


def wrong(test: doctest.DocTest, names: dict[str, object]) -> str:
    """What the examples say that is not so; "" if all hold."""
    said = io.StringIO()
    test.globs = {**test.globs, **names}
    with contextlib.redirect_stdout(said):
        found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.write)
    return said.getvalue() if found.failed or not found.attempted else ""


@pytest.mark.parametrize("test", docstrings(), ids=lambda test: test.name)
def test_the_examples_in_docstrings_hold(test: doctest.DocTest, names: dict[str, object]) -> None:
    assert wrong(test, names) == ""


def test_most_methods_have_an_example() -> None:
    assert len(docstrings()) >= 10


def test_the_examples_of_the_reference_hold(names: dict[str, object]) -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    python = "\n".join(block["text"] for block in BLOCK.finditer(text) if block["kind"] == "python")
    test = doctest.DocTestParser().get_doctest(python, {}, "docs/api.md", "docs/api.md", 0)
    assert test.examples
    assert wrong(test, names) == ""


def test_the_reference_names_every_method() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    methods = {name for name in dir(oko.api.Library) if not name.startswith("_")} - {"open"}
    assert {name for name in methods if not re.search(rf"`(?:library\.)?{name}\b", text)} == set()


@pytest.fixture
def tutorial_photos(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the tutorial's photographs come with scikit-image")
    pytest.importorskip("sklearn", reason="two of the tutorial's photographs come with scikit-learn")
    assert len(copy_photos(tmp_path / "photos")) == sum(len(names) for _, names in PHOTOS.values())


@pytest.mark.usefixtures("tutorial_photos")
def test_the_tutorial_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of Python in their order and in one namespace; a block of text is what the one before it prints."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    printed: str | None = None
    ran = compared = 0
    for block in BLOCK.finditer((DOCS / "tutorial.md").read_text(encoding="utf-8")):
        if block["kind"] == "python":
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(compile(block["text"], "docs/tutorial.md", "exec"), names)
            printed, ran = said.getvalue(), ran + 1
        elif block["kind"] == "text":
            assert printed == block["text"]
            printed, compared = None, compared + 1
    assert (ran, compared) >= (8, 6)


def test_the_commands_that_the_documents_show_are_understood() -> None:
    lines = [
        line
        for page in ("tutorial.md", "api.md")
        for block in BLOCK.finditer((DOCS / page).read_text(encoding="utf-8"))
        for line in block["text"].splitlines()
        if line.startswith("oko ")
    ]
    assert lines
    for line in lines:
        build_parser().parse_args(shlex.split(line, comments=True)[1:])
