"""Do pictures show what was asked for? Twenty prompts are painted, and a model that took no part ranks the prompts.

    python -m benchmarks.faithful --judge NAME-OR-FOLDER [--vqgan builtin] [--clip builtin] [--quality draft]
                                  [--prompts 20] [--out benchmarks/results/faithful]

For each picture the judge puts the twenty prompts in order; the figure is how often the right one comes first (by
chance 5 %), beside the same for the pictures that painting started from. The judge must be another model than the
one that guided the painting, best with another trunk. Writes faithful.json and a contact sheet.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import machine
from benchmarks.contenders import Contender, contenders
from library.sheets import Cell, Section, contact_sheet
from oko.cli import main as oko

PROMPTS = (
    "a red house",
    "a green forest",
    "the blue sea with waves",
    "a sunset over mountains",
    "a black cat",
    "a brown dog on the grass",
    "a yellow sunflower",
    "a city at night with lights",
    "a snowy winter landscape",
    "a bowl of fruit",
    "a portrait of an old man",
    "a white horse",
    "a football player",
    "a bird in the sky",
    "a desert with sand dunes",
    "a plate of pasta",
    "a sailing boat on a lake",
    "a bicycle in front of a wall",
    "a crowd of people in the street",
    "a train at a station",
)
# The right prompt first among the twenty: the aim, in %.
AIM = 30.0


def paint(prompt: str, path: Path, words: Sequence[str]) -> None:
    """One picture by the command line. The library folder is empty unless --library names one with the networks."""
    code = oko(["generate", "-q", *words, "--seed", prompt, "-o", str(path), prompt])
    if code:
        raise SystemExit(f"painting {prompt!r} ended with {code}")


def ranks(judge: Contender, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> NDArray[np.int64]:
    """At which place (from 0) the judge puts each picture's own prompt."""
    scores = judge.images(pictures) @ judge.texts(prompts).T  # (N, N)
    own = np.diag(scores)[:, None]
    found: NDArray[np.int64] = (scores > own).sum(1)
    return found


def summary(found: NDArray[np.int64]) -> dict[str, float]:
    return {
        "first_percent": 100 * float((found == 0).mean()),
        "among_5_percent": 100 * float((found < 5).mean()),
        "mean_place": 1 + float(found.mean()),
    }


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", required=True, help="a registered model, or a folder with one")
    parser.add_argument("--vqgan", default="builtin")
    parser.add_argument("--clip", default="builtin")
    parser.add_argument("--quality", default="draft")
    parser.add_argument("--library", type=Path, help="the library in which the networks are registered")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="only the first so many")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/faithful"))
    args = parser.parse_args()
    if args.judge == args.clip:
        parser.error("the judge must not be the model that guides the painting")
    prompts = PROMPTS[: args.prompts]
    words = ["--vqgan", args.vqgan, "--clip", args.clip, "--quality", args.quality]
    words += ["--library", str(args.library)] if args.library else []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        pictures, starts = [], []
        for number, prompt in enumerate(prompts):
            end, start = Path(folder, f"{number}.png"), Path(folder, f"{number}-start.png")
            paint(prompt, end, words)
            # One step at the smallest rate changes nothing that can be seen.
            paint(prompt, start, [*words, "--steps", "1", "--learning-rate", "0.000001"])
            pictures.append(opened(end))
            starts.append(opened(start))
        seconds = (time.monotonic() - began) / len(prompts)
        (judge,) = contenders([args.judge], Path(folder))
        found, before = ranks(judge, pictures, prompts), ranks(judge, starts, prompts)
    figures: dict[str, Any] = {
        "painted": summary(found),
        "starts": summary(before),
        "aim_percent": AIM,
        "chance_percent": 100 / len(prompts),
        "seconds_per_picture": seconds,
        **{name: str(getattr(args, name)) for name in ("judge", "vqgan", "clip", "quality")},
    }
    captions = [
        f"{prompt}\nplace {place + 1} of {len(prompts)}" for prompt, place in zip(prompts, found, strict=True)
    ]
    cells = [
        Cell(picture, caption, accent=bool(place == 0))
        for picture, caption, place in zip(pictures, captions, found, strict=True)
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    contact_sheet([Section("", cells)]).save(args.out / "sheet.png")
    machine.write(args.out / "faithful.json", figures)
    print(
        f"right prompt first: {figures['painted']['first_percent']:.0f} % (starts "
        f"{figures['starts']['first_percent']:.0f} %, chance {100 / len(prompts):.0f} %, aim {AIM:.0f} %); "
        f"{seconds:.0f} s a picture; {args.out / 'sheet.png'}"
    )


if __name__ == "__main__":
    main()
