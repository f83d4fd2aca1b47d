"""oko forget --model: the vectors of weights that are used no more go, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from library.fakes import FakeEncoder
from library.overview import look_over
from library.store import Store
from oko.status import model_names
from tests.oko import small_library
from tests.oko.small_library import SmallLibrary


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    """Read by two models of one name, the weights having changed in between; the older one has tags, too."""
    library = small_library.make(tmp_path, monkeypatch)
    assert library.oko("tag", "-q") == 0
    library.encoders["one"] = FakeEncoder(name="one", seed=1)
    library.index()
    return library


def names(library: SmallLibrary) -> list[str]:
    store = Store.open(library.folder)
    found = model_names(look_over(store).models)
    store.close()
    return found


def test_old_weights_make_room(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = names(library)
    assert (old[:5], new[:5]) == ("one (", "one (")
    stamp = FakeEncoder(name="one").stamp
    reader = Store.open(library.folder)  # as a server that is running
    key = reader.model_id(stamp)
    assert len(reader.vectors(key, stamp.dim)) == 3
    index = reader.index_path(key)
    assert index.exists()
    capsys.readouterr()
    assert library.oko("forget", "--model", old, "--dry-run") == 0
    assert capsys.readouterr().out.startswith(f"Would forget 3 vectors made by {old}, ")
    assert names(library) == [old, new]
    assert library.oko("forget", "--model", old, "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "planned": False,
        "model": old,
        "vectors": 3,
        "traces_removed": True,
    }
    assert not index.exists()
    assert len(reader.vectors(key, stamp.dim)) == 0
    assert len(reader.vectors(reader.model_id(library.encoders["one"].stamp), stamp.dim)) == 3
    reader.close()
    assert names(library) == ["one"]
    assert library.oko("search", "red", "--all", "--json") == 0
    best = json.loads(capsys.readouterr().out)[0]
    assert Path(best["path"]).name == "red.jpg"
    assert best["tags"], "suggestions stay"


def test_it_can_be_had_again(library: SmallLibrary) -> None:
    old, _ = names(library)
    assert library.oko("forget", "--model", old, "--yes") == 0
    library.encoders["one"] = FakeEncoder(name="one")
    assert library.index().embedded == 3
    assert len(names(library)) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "two"], "it has those of one ("),
        (["--model", "one"], "no vectors made by one;"),
        (["--model", "x", "--missing"], "--model stands alone"),
    ],
)
def test_what_cannot_be(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert library.oko("forget", "--yes", *arguments) == 2
    assert said in capsys.readouterr().err


def test_the_library_keeps_its_own(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    _, new = names(library)
    assert library.oko("forget", "--yes", "--model", new) == 2
    assert "is the model that this library searches with" in capsys.readouterr().err
    assert len(names(library)) == 2
