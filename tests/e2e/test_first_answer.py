"""A first search, from a cold start and with no server: by words without torch, with the answers that torch gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from library.encoder import ClipEncoder, load_encoder
from library.presets import BUILTIN
from oko import assemble
from oko.cli import main
from oko.demo import copy_photos
from tests.house.source import ROOT

pytest.importorskip("skimage", reason="the photographs come with scikit-image")

HEAVY = {
    "torch",
    "open_clip",
    "transformers",
    "timm",
    "torchvision",
    "huggingface_hub",
    "PIL",
    "ftfy",
    "regex",
}
COLD = """
import json, sys
from oko.cli import main
code = main(["search", "--library", sys.argv[1], *sys.argv[2:], "--json", "--all"])
names = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps([code, names]), file=sys.stderr)
"""
REPAIRS = {"ftfy", "regex"}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("cold")
    copy_photos(base / "photos")
    assert main(["index", str(base / "photos"), "--library", str(base / "library"), "-q"]) == 0
    return base / "library"


def cold(library: Path, *words: str) -> tuple[list[dict[str, Any]], set[str]]:
    """The answers of a process of its own, and what it has imported."""
    done = subprocess.run(
        [sys.executable, "-c", COLD, str(library), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    code, names = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    return json.loads(done.stdout), set(names)


@pytest.mark.parametrize(("query", "allowed"), [("a cat", set()), ("kočka na zahradě", REPAIRS)])
def test_words_are_answered_without_torch(
    library: Path,
    query: str,
    allowed: set[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    results, names = cold(library, query)
    assert names & HEAVY <= allowed
    model = load_encoder(BUILTIN, device="cpu", precision="fp32").clip
    monkeypatch.setattr(assemble, "make_encoder", lambda *_: ClipEncoder(lambda: model))
    capfd.readouterr()
    assert main(["search", "--library", str(library), query, "--json", "--all"]) == 0
    plain = json.loads(capfd.readouterr().out)
    assert [each["id"] for each in results] == [each["id"] for each in plain]
    for ours, theirs in zip(results, plain, strict=True):
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)
        assert ours["relevance"] == pytest.approx(theirs["relevance"], abs=1e-3)


def test_filters_alone_need_no_model_at_all(library: Path) -> None:
    results, names = cold(library, "type:png")
    assert results
    assert names & HEAVY == set()
