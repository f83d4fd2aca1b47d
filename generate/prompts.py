"""What a picture is to look like: prompts with weights and stops, and stories of several scenes.

    a | b:0.5 | c:-1:-0.2      three prompts at once: text:weight:stop
    morning ^ noon ^ night     three scenes, one after the other

A backslash before one of : | ^ makes it an ordinary character.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from library.errors import UsageError

Kind = Literal["text", "image", "noise"]
Region = Literal["all", "spot", "rest"]

# Far more than anything needs, and far from where float32 overflows.
MOST_WEIGHT = 1e6
_FARTHEST = math.pi**2 / 2

_SCENES = re.compile(r"(?<!\\)\^")
_PROMPTS = re.compile(r"(?<!\\)\|")
_PARTS = re.compile(r"(?<!\\):")
_ESCAPED = re.compile(r"\\([:|^])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One wish. `weight` below 0 means: unlike this. Nearer than `stop` nothing pulls any more.

    `stop` is a distance as in `losses.spherical_distance` (0 to pi^2/2), negated for a negative weight.
    """

    content: str  # words; the path of a picture; or the seed of a random direction
    kind: Kind = "text"
    weight: float = 1.0
    stop: float | None = None
    region: Region = "all"  # where in the picture: inside the mask (spot), outside (rest)
    sha256: str = ""  # of the picture's file, so that a recipe can tell another picture of that name


Scene = tuple[Prompt, ...]


def parse_story(text: str, *, region: Region = "all") -> tuple[Scene, ...]:
    """The scenes of a story, each with its prompts. Raises UsageError for an empty prompt or a weight of 0."""
    return tuple(
        tuple(parse_prompt(one, region=region) for one in _PROMPTS.split(scene))
        for scene in _SCENES.split(text)
    )


def parse_prompt(text: str, *, kind: Kind = "text", region: Region = "all") -> Prompt:
    """`content`, `content:weight` or `content:weight:stop`. Raises UsageError when nothing is left of it."""
    parts = _PARTS.split(text)
    numbers: list[float] = []
    while len(parts) > 1 and len(numbers) < 2 and (number := _number(parts[-1])) is not None:
        numbers.insert(0, number)
        parts.pop()
    content = _ESCAPED.sub(r"\1", ":".join(parts)).strip()
    if not content:
        raise UsageError(
            "a prompt is empty" if not text.strip() else f"a prompt is empty: {text.strip()!r}",
            hint='Say what the picture shows, such as: oko generate "a lighthouse in a storm"',
        )
    weight = numbers[0] if numbers else 1.0
    if not 0 < abs(weight) <= MOST_WEIGHT:
        raise UsageError(f"the prompt {content!r} has the weight {weight:g}", hint="Leave it out instead.")
    stop = numbers[1] if len(numbers) > 1 else None
    if stop is not None and not 0 <= math.copysign(1, weight) * stop <= _FARTHEST:
        bounds = "0 and 4.93" if weight > 0 else "-4.93 and 0, as its weight is negative"
        raise UsageError(
            f"the prompt {content!r} has the stop {stop:g}", hint=f"A stop lies between {bounds}."
        )
    return Prompt(content=content, kind=kind, weight=weight, stop=stop, region=region)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def scene_at(scenes: int, step: int, *, steps: int, every: int = 0) -> int:
    """Which of so many scenes is painted at a step: each for `every` steps, the last to the end; 0: equal shares."""
    return min(step // every, scenes - 1) if every else step * scenes // steps
