"""Captions made wrong in one respect, and only there."""

from __future__ import annotations

import pytest

from training.diagnostics import (
    COLOURS,
    NUMBERS,
    colour_swapped,
    colours_exchanged,
    count_swapped,
    mentions,
    nouns_exchanged,
    words_of,
)


def test_a_colour_becomes_one_that_nobody_named() -> None:
    siblings = [f"a {colour} thing" for colour in COLOURS if colour not in ("red", "pink")]
    assert colour_swapped("A red car on a road", siblings) == "A pink car on a road"
    assert colour_swapped("A red car", [*siblings, "a pink thing"]) is None


@pytest.mark.parametrize("caption", ["A car", "A red car and a blue van", "A red-haired man"])
def test_captions_without_exactly_one_colour_are_left(caption: str) -> None:
    assert colour_swapped(caption) is None


def test_the_article_follows_the_new_word() -> None:
    others = [colour for colour in COLOURS if colour not in ("orange", "red")]
    assert colour_swapped("a red car", others) == "an orange car"
    assert colour_swapped("An orange car", others) == "A red car"


def test_a_number_changes_and_keeps_its_capital() -> None:
    swapped = count_swapped("Two dogs run", ["three animals"])
    assert swapped in ("Four dogs run", "Five dogs run")
    assert count_swapped("Two dogs and three cats") is None
    assert count_swapped("dogs", NUMBERS) is None


def test_the_same_caption_is_always_swapped_alike() -> None:
    assert len({count_swapped("Two dogs run") for _ in range(5)}) == 1


def test_two_colours_change_places() -> None:
    right = "A girl in a white hat and an orange coat"
    assert colours_exchanged(right) == "A girl in an orange hat and a white coat"


@pytest.mark.parametrize(
    "caption",
    ["A black and white dog", "A black dog and a white dog", "A red hat and a red coat", "A red hat"],
)
def test_an_exchange_that_changes_nothing_is_not_made(caption: str) -> None:
    assert colours_exchanged(caption) is None


def test_nouns_change_places_where_the_order_matters() -> None:
    assert nouns_exchanged("A dog on a bench") == "A bench on a dog"
    assert nouns_exchanged("Dog catching a ball in mid air") == "Ball catching a dog in mid air"


@pytest.mark.parametrize(
    "caption", ["A man and a dog", "A dog on a dog", "A dog on a sand dune", "A dog runs"]
)
def test_other_nouns_stay(caption: str) -> None:
    assert nouns_exchanged(caption) is None


def test_words_are_found_whole() -> None:
    assert words_of("A gray-haired man's GRAY hat") == ["a", "gray-haired", "man's", "grey", "hat"]
    assert mentions(["A bowl of rice"], {"bowl"})
    assert not mentions(["A bowling alley"], {"bowl"})
