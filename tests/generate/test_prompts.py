"""The language of prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generate.prompts import Prompt, parse_prompt, parse_story, scene_at
from library.errors import UsageError


def test_weights_stops_and_scenes() -> None:
    story = parse_story("a red house | snow:0.5 | people:-1:-0.2 ^ night : 2")
    assert story == (
        (
            Prompt(content="a red house"),
            Prompt(content="snow", weight=0.5),
            Prompt(content="people", weight=-1.0, stop=-0.2),
        ),
        (Prompt(content="night", weight=2.0),),
    )


@pytest.mark.parametrize(
    ("text", "content", "weight"),
    [
        ("ratio 16:9", "ratio 16", 9.0),
        (r"ratio 16\:9", "ratio 16:9", 1.0),
        (r"a \| b \^ c:2", "a | b ^ c", 2.0),
        ("re: your letter", "re: your letter", 1.0),
        ("C:\\pictures\\cat.png:0.5", "C:\\pictures\\cat.png", 0.5),
        ("1:2:3:4", "1:2", 3.0),
    ],
)
def test_colons_and_backslashes(text: str, content: str, weight: float) -> None:
    found = parse_prompt(text)
    assert (found.content, found.weight) == (content, weight)


@pytest.mark.parametrize("text", ["", "  ", "a | ", "a ^ ^ b", ":0.5", "a:0", "a:nan", "a:1:inf"])
def test_nothing_is_painted_from_nothing(text: str) -> None:
    with pytest.raises(UsageError):
        parse_story(text)


@pytest.mark.parametrize("text", ["a:1:99", "a:1:-0.2", "a:-1:0.2", "a:-1:-99", "a:1e30", "a:1:nan"])
def test_weights_and_stops_that_could_not_act(text: str) -> None:
    with pytest.raises(UsageError, match=r"the prompt 'a' has the (weight|stop)"):
        parse_prompt(text)


@given(
    st.text(min_size=1).map(str.strip).filter(lambda t: t and not t.endswith("\\")),
    st.floats(-100, 100).filter(lambda w: w != 0),
)
def test_whatever_the_words_are_they_come_back(words: str, weight: float) -> None:
    escaped = words
    for character in ":|^":
        escaped = escaped.replace(f"\\{character}", character).replace(character, f"\\{character}")
    plain = words
    for character in ":|^":
        plain = plain.replace(f"\\{character}", character)
    ((found,),) = parse_story(f"{escaped}:{weight!r}")
    assert (found.content, found.weight) == (plain, weight)


def test_scenes_follow_each_other() -> None:
    assert [scene_at(3, step, steps=7) for step in range(7)] == [0, 0, 0, 1, 1, 2, 2]
    assert {scene_at(4, step, steps=6) for step in range(6)} == {0, 1, 2, 3}
    assert [scene_at(2, step, steps=6, every=1) for step in range(6)] == [0, 1, 1, 1, 1, 1]
