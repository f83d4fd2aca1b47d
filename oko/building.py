"""`oko train builtin`: the model inside the package is made again, from its data and its two starting points."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from library.errors import UsageError
from library.records import display_path
from oko.aligned import columns
from oko.context import Context
from oko.phases import phase_bar
from oko.progress import clock
from oko.trained import say_problems
from training.recipe.rebuild import Places, Rebuild, Rebuilt, is_finished, require_packages
from training.recipe.settings import RecipeSettings, small, with_changes

_NAMES = {
    "words": "1 Vocabulary",
    "teacher": "2 Teacher's sentences",
    "text": "3 Text tower",
    "features": "4 Features",
    "head": "5 Image head",
    "joint": "6 Both together",
    "tail": "7 Upper blocks",
    "measuring": "8 Measuring",
}
_LANGUAGES = {"en": "English", "de": "German", "fr": "French", "cs": "Czech"}


def build(context: Context, args: argparse.Namespace) -> None:
    """Make the model, and print what it is worth on the held-out photos."""
    places = _places(args)
    if is_finished(places.out):
        raise UsageError(
            f"there is a model in {display_path(places.out)} already", hint="Choose another --out."
        )
    require_packages()
    settings = make_settings(args)
    with phase_bar(context, _title) as told:
        rebuilt = Rebuild(places, settings, told).run()
    say_problems(context, rebuilt.problems)
    if args.json:
        context.result(json.dumps(_as_json(rebuilt), indent=2))
        return
    for line in table(rebuilt.figures):
        context.result(line)
    context.note(f"Measured on {rebuilt.figures['photos']:,} photos that it was not trained on.")
    context.note(f"Done in {clock(rebuilt.seconds)}. The model: {display_path(rebuilt.folder)}")
    context.note(f"What only a rebuild needs can be deleted now: {display_path(places.work)}")


def make_settings(args: argparse.Namespace) -> RecipeSettings:
    """The recipe's settings with what the command line changes. Raises UsageError."""
    settings = small(RecipeSettings()) if args.small else RecipeSettings()
    settings = with_changes(settings, args.set)
    return settings if args.seed is None else dataclasses.replace(settings, seed=args.seed)


def _places(args: argparse.Namespace) -> Places:
    out = _full(args.out)
    work = _full(args.work) if args.work else out.with_name(f"{out.name}-work")
    places = Places(data=_full(args.data), starts=_full(args.starts), out=out, work=work)
    return dataclasses.replace(places, wordnet=_full(args.wordnet)) if args.wordnet else places


def _full(path: Path) -> Path:
    return path.expanduser().absolute()


def table(figures: dict[str, Any]) -> list[str]:
    """Recall and accuracy in percent."""
    by_way = [("caption -> photo", figures["text_to_image"]), ("photo -> caption", figures["image_to_text"])]
    by_way += [(f"{_LANGUAGES[name]} -> photo", found) for name, found in figures["languages"].items()]
    rows = [("", *(f"best {k}" for k in figures["text_to_image"]))]
    rows += [(name, *(f"{100 * share:.1f} %" for share in found.values())) for name, found in by_way]
    lines = columns(rows, right=frozenset({1, 2, 3}))
    for kind in ("classes", "labels"):
        if right := figures[kind].get("right"):
            first = ", ".join(f"{100 * share:.1f} % among the best {k}" for k, share in right.items())
            lines.append(f"one of {figures[kind]['names']} {kind}: {first}")
    return lines


def _as_json(rebuilt: Rebuilt) -> dict[str, Any]:
    problems = [dataclasses.asdict(problem) for problem in rebuilt.problems]
    return {
        "folder": str(rebuilt.folder),
        "elapsed_s": round(rebuilt.seconds, 1),
        "figures": rebuilt.figures,
        "problems": problems,
    }


def _title(phase: str) -> str:
    """A phase is a step's name, with what it is about behind it: "features of flickr8k, view 1"."""
    known = next(name for name in sorted(_NAMES, key=len, reverse=True) if phase.startswith(name))
    about = phase.removeprefix(known).strip()
    return f"{_NAMES[known]} {about}".strip()
