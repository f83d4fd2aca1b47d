"""A library whose photos were read with other weights than those that oko has now, and one that was read in part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from indexer.pipeline import IndexRun
from library.config import Config
from library.fakes import FakeEncoder
from oko import assemble
from oko.coverage import about_part
from tests.oko import small_library
from tests.oko.small_library import SmallLibrary


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    """Its model "one" has other weights now."""
    library = small_library.make(tmp_path, monkeypatch)
    library.encoders["one"] = FakeEncoder(name="one", seed=1)
    return library


def read_again(library: SmallLibrary, photos: int) -> None:
    """As `oko index` that was killed after so many photos."""
    encoder = library.encoders["one"]
    with library.writer() as store:
        store.use_model(encoder.stamp)
        if photos:
            settings = assemble.index_settings(Config(), library.folder, encoder, limit=photos)
            list(IndexRun(store, encoder, settings).steps([library.photos]))


def test_other_weights_of_the_same_name_are_told_as_such(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    assert library.oko("search", "red") == 1
    said = capsys.readouterr().err
    assert (
        "oko now has other weights named one than those that this library's 3 photos were read with" in said
    )
    assert said.rstrip().endswith("(tags and decisions stay): oko index")


def test_a_model_that_has_read_nothing_yet_is_no_empty_library(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    read_again(library, 0)
    assert library.oko("search", "red") == 0
    said = capsys.readouterr().err
    assert said == "None of the 3 photos has a vector by these weights of one yet. Make them: oko index\n"
    assert library.oko("search", "tag:nosuch") == 0
    assert "There is no tag nosuch" in capsys.readouterr().err


def test_names_are_told_once(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    read_again(library, 2)
    assert library.oko("search", "red", "--model", "two") == 1
    assert "no vectors made by two; it has those of one\n" in capsys.readouterr().err
    with library.writer() as store, pytest.raises(Exception, match=r"those of one \(3 photos\)$"):
        store.model_id(library.encoders["two"].stamp)


def test_a_part_is_told_as_a_part(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    read_again(library, 2)
    sentence = "Only 2 of 3 photos have vectors by this model; oko index makes the rest.\n"
    assert library.oko("search", "red", "--all", "--json") == 0
    out, said = capsys.readouterr()
    assert len(json.loads(out)) == 2
    assert said == sentence
    assert library.oko("tag") == 0
    assert sentence in capsys.readouterr().err
    assert library.oko("search", "has:gps") == 0
    assert sentence not in capsys.readouterr().err, "filters compare nothing"
    library.index()
    assert library.oko("search", "red", "--all") == 0
    assert capsys.readouterr().err == ""


def test_photos_that_are_away_are_not_missed(library: SmallLibrary) -> None:
    (library.photos / "blue.jpg").unlink()
    read_again(library, 2)
    with library.writer() as store:
        stamp = library.encoders["one"].stamp
        assert about_part(store, stamp) == ""
        assert about_part(store, stamp, have=1).startswith("Only 1 of 2 photos has a vector by this model")
        assert about_part(store, stamp, have=0) == "", "there is another sentence for that"
