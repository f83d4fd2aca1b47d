"""The shipped tags, and the changes that people make to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from library.errors import ConfigError
from library.vocabulary import DEFAULT_SHARE, load_vocabulary, shipped_vocabulary, tidy_name

SHIPPED = shipped_vocabulary()


def test_about_a_thousand_tags_in_groups() -> None:
    groups = {tag.group for tag in SHIPPED.tags}
    assert 900 <= len(SHIPPED) <= 1_100
    assert {
        "people",
        "animals",
        "food",
        "places",
        "activities",
        "objects",
        "weather",
        "light",
        "documents",
    } <= groups
    assert len(set(SHIPPED.names)) == len(SHIPPED)
    assert all(tag.prompts for tag in SHIPPED.tags), "each has a sentence of its own"
    assert all(tidy_name(tag.name) == tag.name for tag in SHIPPED.tags)
    assert all(0 < tag.share < 0.5 for tag in SHIPPED.tags)


def test_relations_are_between_shipped_tags() -> None:
    relations = SHIPPED.related
    assert set(relations.told) <= set(relations.seen) <= set(SHIPPED.names)
    assert relations.weights.shape == (len(relations.seen), len(relations.told))

    own = [relations.weights[relations.seen.index(n), k] for k, n in enumerate(relations.told)]
    assert float(np.median(own)) > 5 * float(np.median(np.abs(relations.weights)))


def test_implications_are_between_shipped_tags_and_follow_each_other() -> None:
    assert {other for tag in SHIPPED.tags for other in tag.implies} <= set(SHIPPED.names)
    found = SHIPPED.implications()
    assert {("white dog", "dog"), ("girl", "person"), ("bride", "woman"), ("bride", "person")} <= set(found)
    assert ("dog", "white dog") not in found
    assert not {name for name, other in found if name == other}
    assert ("white dog", "dog") not in SHIPPED.without(["dog"]).implications()


def test_implications_in_a_circle_end(tmp_path: Path) -> None:
    own = tmp_path / "tags.toml"
    own.write_text('[own]\na = { implies = ["b"] }\nb = { implies = ["a", "nothing"] }\n', encoding="utf-8")
    assert load_vocabulary(["-*"], str(own)).implications() == [("a", "b"), ("b", "a")]


def test_changes_in_the_settings() -> None:
    changed = load_vocabulary(
        ["chess club: people around a chess board; a tournament", "-dog", "cat: my cat Micka"]
    )
    club = next(tag for tag in changed.tags if tag.name == "chess club")
    cat = next(tag for tag in changed.tags if tag.name == "cat")
    assert club.prompts == ("people around a chess board", "a tournament")
    assert (club.group, club.share) == ("own", DEFAULT_SHARE)
    assert (cat.group, cat.prompts) == ("animals", ("my cat Micka",))
    assert "dog" not in changed.names
    assert len(changed) == len(SHIPPED)


def test_only_own_tags() -> None:
    assert load_vocabulary(["-*", "a", "b"]).names == ["a", "b"]
    with pytest.raises(ConfigError, match="no tags left"):
        load_vocabulary(["-*"])


def test_a_file_of_own_tags(tmp_path: Path) -> None:
    file = tmp_path / "tags.toml"
    file.write_text('[family]\n"Uncle Jan" = {}\ndog = { words = ["Rex"], share = 0.2 }\n', encoding="utf-8")
    changed = load_vocabulary(file=str(file))
    dog = next(tag for tag in changed.tags if tag.name == "dog")
    assert changed.group_of("Uncle Jan") == "family"
    assert (dog.group, dog.words, dog.share) == ("family", ("Rex",), 0.2)
    assert changed.group_of("nobody knows") == "own"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dog = 1", "must be a group"),
        ("[a]\ndog = 1", "must be a table"),
        ("[a]\ndog = { colour = 1 }", "must be a table"),
        ('[a]\ndog = { words = "hound" }', "no list of texts"),
        ("[a]\ndog = { share = 1.0 }", "between 0 and 1"),
        ('[a]\n"" = {}', "no name"),
        ("[a]\ndog = {}\n[b]\ndog = {}", "twice"),
        ("[a", "not valid TOML"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "tags.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as caught:
        load_vocabulary(file=str(file))
    assert str(file) in caught.value.message


def test_mistyped_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dgo") as caught:
        load_vocabulary(["-dgo"])
    assert "dog" in caught.value.hint
    with pytest.raises(ConfigError, match="characters"):
        load_vocabulary([": a sentence without a name"])
    with pytest.raises(ConfigError, match="cannot be read"):
        load_vocabulary(file=str(tmp_path / "absent.toml"))


def test_names_are_tidied() -> None:
    assert tidy_name("  old \n town\t") == "old town"
    for bad in ("", " \n", "x" * 101):
        with pytest.raises(ValueError, match="characters"):
            tidy_name(bad)
