"""The curves as a picture; without the package, a sentence that names it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from library.errors import MissingExtra
from training.curves import draw_curves
from training.journal import Journal


def journal(folder: Path, steps: int) -> Journal:
    made = Journal(folder / "log.jsonl")
    made.begin()
    for step in range(1, steps + 1):
        made.write("step", step=step, loss=None if step == 2 else 3 / step, lr=0.1)
    for step in range(0, steps + 1, 10):
        recall = {"1": step / 100, "5": 0.3, "10": 0.5}
        made.write("measured", step=step, when="epoch", text_to_image=recall, image_to_text=recall)
    return made


@pytest.mark.parametrize("steps", [0, 1, 30])
def test_a_picture_comes_out(tmp_path: Path, steps: int) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")
    path = draw_curves(journal(tmp_path, steps), tmp_path / "curves.png")
    with Image.open(path) as picture:
        assert picture.width > 1000
        assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 3


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtra) as caught:
        draw_curves(journal(tmp_path, 3), tmp_path / "curves.png")
    assert "pip install matplotlib" in caught.value.hint
    assert not (tmp_path / "curves.png").exists()
