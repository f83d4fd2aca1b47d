"""`oko demo`: what `make demo` shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from oko.cli import main

pytest.importorskip("skimage", reason="the photographs come with scikit-image")


def test_the_demo_finds_its_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--into", str(tmp_path / "demo")]) == 0
    out = capsys.readouterr().out
    first = {
        query: lines.splitlines()[1].split()[-1]
        for query in ("a cat", "a motorcycle", "a flower in the garden", "a temple by a lake", "kočka")
        for lines in [out.split(f"$ oko search {query}", 1)[1]]
    }
    assert first == {
        "a cat": "chelsea.png",
        "a motorcycle": "motorcycle_left.png",
        "a flower in the garden": "flower.jpg",
        "a temple by a lake": "china.jpg",
        "kočka": "chelsea.png",
    }
    tags = dict(line.split(maxsplit=1) for line in out.split("$ oko tag", 1)[1].splitlines()[2:8])
    assert tags["chelsea.png"] == "cat"
    assert "coffee" in tags["coffee.png"]
    assert "index ~/Pictures" in out
    with Image.open(tmp_path / "demo/results.png") as sheet:
        assert sheet.height > 1000


def test_a_second_demo_has_nothing_to_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["demo", "--into", str(tmp_path / "demo")]) == 0
    assert "nothing to do" in capsys.readouterr().out
