"""Recipes as JSON, seeds and sizes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from generate.prompts import parse_story
from generate.recipe import (
    Canvas,
    Course,
    Means,
    Motion,
    Recipe,
    Sight,
    Taste,
    fitted_size,
    from_json,
    seed_number,
)
from library.errors import UsageError

RECIPE = Recipe(
    scenes=parse_story("a house:2 | snow:-1:-0.3 ^ night"),
    canvas=Canvas(width=320, start="fractal", keep=1.5),
    course=Course(steps=7, seed="my seed", drops=(0.5, 0.9), optimiser="radam"),
    sight=Sight(perceptors=("builtin", "tiny"), perceptor_sha256=("a", "b"), kind="pooled"),
    taste=Taste(palette=((0.0, 0.5, 1.0),), palette_weight=2.0),
    motion=Motion(every=5, zoom=1.02, pan_x_px=3.0),
)


def test_a_recipe_survives_json() -> None:
    assert from_json(json.loads(json.dumps(RECIPE.as_json()))) == RECIPE


def changed(**values: Any) -> dict[str, Any]:
    return {**RECIPE.as_json(), **values}


@pytest.mark.parametrize(
    "values",
    [
        {"scenes": [], "format": 1},
        changed(format=2),
        changed(course={"steps": "many"}),
        changed(course={"steps": 0}),
        changed(canvas={"start": "void"}),
        changed(canvas={"colour": "red"}),
        changed(scenes=[[{"weight": 1.0}]]),
        changed(taste={"palette": [[0.0, 1.0]]}),
        {},
    ],
)
def test_what_is_no_recipe_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        from_json(values)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (replace(RECIPE, scenes=parse_story("a:-1")), "negative weight"),
        (replace(RECIPE, taste=Taste(palette_weight=1.0)), "no palette"),
        (replace(RECIPE, motion=Motion(every=1, zoom=3.0)), "the zoom"),
        (replace(RECIPE, course=Course(drops=(1.5,))), "parts of the course"),
        (replace(RECIPE, canvas=Canvas(width=100_000)), "the width"),
        (replace(RECIPE, sight=Sight(perceptors=())), "no CLIP model"),
        (replace(RECIPE, taste=Taste(smoothness=float("nan"))), "the smoothness"),
        (replace(RECIPE, taste=Taste(saturation=float("inf"))), "the saturation"),
        (replace(RECIPE, taste=Taste(palette=((0.0, 0.0, 0.0),), palette_weight=-1.0)), "of the palette"),
        (replace(RECIPE, canvas=Canvas(keep=float("nan"))), "keeping the start"),
        (replace(RECIPE, motion=Motion(every=-1)), "between two moves"),
        (replace(RECIPE, means=Means(piece=0)), "cutouts at once"),
        (
            replace(RECIPE, course=Course(steps=7, story_every=7)),
            "7 steps are too few for 2 scenes of 7 steps",
        ),
        (replace(RECIPE, course=Course(steps=1)), "1 steps are too few for 2 scenes$"),
    ],
)
def test_what_cannot_be_painted_is_said(recipe: Recipe, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recipe.check()


def test_seeds_are_numbers_or_any_text() -> None:
    assert seed_number(" 42 ") == 42
    assert (
        seed_number("hello") == 0x2CF24DBA5FB0A30E >> 1
    )  # SHA-256 of the word, so the same on every machine
    assert seed_number("ěšč") != seed_number("esc")
    assert 0 <= seed_number("9" * 30) < 2**63
    assert 0 <= seed_number("9223372036854775808") < 2**63


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((256, 256), (256, 256)), ((250, 100), (256, 96)), ((1, 1), (32, 32)), ((40, 41), (32, 48))],
)
def test_sizes_are_rounded_to_whole_codes(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fitted_size(*size, factor=16) == fitted
