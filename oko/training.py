"""`oko train clip`: a person's pictures and captions become a model of their own, measured before and after."""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from library.clip import load_clip
from library.devices import choose_device
from library.errors import UsageError
from library.folder import create_folder
from library.models import Registry
from library.presets import ModelSpec
from library.records import display_path
from oko import assemble
from oko.aligned import count
from oko.context import Context
from oko.modelling import fetch
from oko.phases import phase_bar
from oko.trained import Sheet, say_problems, show, write_curves
from training.clip import ClipRun, Listeners, Trained
from training.learner import Teacher
from training.options import ClipOptions
from training.photos import Identified, Problem, Split, identify, split, without
from training.run import checkpoint_file
from training.sources import LIBRARY, read_all
from training.towers import copy_text_tower

HELD_BACK = 0.1
# Among fewer photos, one more that is found moves recall by percents.
FEW_HELD_BACK = 50
_PHASES = {"held-back": "Photos held back", "features": "Reading photos", "train": "Training"}
_OPTIONS = ("epochs", "steps", "batch", "piece", "unfreeze", "lr", "near", "average", "keep", "views", "seed")


def train_clip(context: Context, args: argparse.Namespace) -> None:
    """Train, give the new model its name, and print what it was worth."""
    began = time.monotonic()
    options = make_options(context, args)
    create_folder(context.folder)
    registry = Registry(context.folder)
    registry.require_free(args.name)
    folder = (args.out or context.folder / "models" / args.name).expanduser().absolute()
    check_folder(folder, resume=args.resume)
    sheet = Sheet(args.queries)
    spec = resolve_clip(context, registry, args.start)
    divided, problems = _photos(context, args)
    with phase_bar(context, _PHASES.__getitem__) as told:
        run = _make_run(context, args, registry, spec, divided, options, folder, Listeners(told, sheet.look))
        trained = run.run(resume=args.resume)
    trained.problems[:0] = problems
    registry.add(args.name, arch=f"from {spec.name}", weights=folder, summary=_summary(spec, trained))
    sheet.write(folder / "answers.png")
    write_curves(context, run.journal, folder / "training" / "curves.png")
    say_problems(context, trained.problems)
    show(context, args.name, trained, seconds=time.monotonic() - began, json_wanted=args.json)


def make_options(context: Context, args: argparse.Namespace) -> ClipOptions:
    """The options of the command line, checked before anything is read. Raises UsageError."""
    given: dict[str, Any] = {name: getattr(args, name) for name in _OPTIONS}
    if args.steps is not None and args.epochs is not None:
        raise UsageError("give either --epochs or --steps, not both")
    precision = context.config.precision
    options = ClipOptions(
        **{name: value for name, value in given.items() if value is not None},
        lock=args.lock,
        loss=args.loss,
        cached=not args.no_cache,
        precision=precision if precision != "fp16" else "auto",
    )
    options.check()
    return options


def check_folder(folder: Path, *, resume: bool) -> None:
    """Raises UsageError when an earlier run would be overwritten, or there is none to go on with."""
    is_unfinished = checkpoint_file(folder).exists()
    if is_unfinished and not resume:
        raise UsageError(
            f"a run in {display_path(folder)} was interrupted",
            hint="Go on with it: add --resume. Or delete that folder, or choose another --name.",
        )
    if not is_unfinished and any(folder.glob("*.safetensors")):
        raise UsageError(f"there is a model in {display_path(folder)} already", hint="Choose another --out.")


def resolve_clip(context: Context, registry: Registry, name: str) -> ModelSpec:
    """A CLIP by name, downloaded if need be."""
    spec = registry.resolve(name)
    if spec.kind != "clip":
        raise UsageError(f"{spec.name} paints pictures; it cannot be trained to find them")
    fetch(context, registry, spec)
    return spec


def _photos(context: Context, args: argparse.Namespace) -> tuple[Split, list[Problem]]:
    """What to learn from and what to measure on, said in a line; and what could not be read."""
    photos, problems = _identified(context, args.data)
    measured: list[Identified] = []
    if args.eval:
        measured, more = _identified(context, args.eval)
        problems += more
    share = args.hold_back if args.hold_back is not None else 0.0 if args.eval else HELD_BACK
    if not 0 <= share <= 0.9:
        raise UsageError(f"--hold-back must lie between 0 and 0.9, not {share:g}")
    if share and args.eval:
        raise UsageError("photos are measured on either from --eval or from --hold-back, not both")
    divided = without(photos, measured) if args.eval else split(photos, share)
    captions = sum(len(photo.captions) for photo in divided.training)
    context.note(
        f"{count(len(divided.training), 'photo')} with {count(captions, 'caption')} to learn from, "
        f"{len(divided.held_back):,} held back to measure on."
    )
    if 0 < len(divided.held_back) < FEW_HELD_BACK:
        context.note("So few photos held back tell little: one more that is found moves recall by percents.")
    return divided, problems


def _identified(context: Context, data: list[str]) -> tuple[list[Identified], list[Problem]]:
    wants_library = LIBRARY in data
    with assemble.reading(context.folder, context.config) if wants_library else nullcontext() as store:
        found = read_all(data, store)
    photos, problems = identify(found.photos)
    return photos, [*found.problems, *problems]


def _make_run(
    context: Context,
    args: argparse.Namespace,
    registry: Registry,
    spec: ModelSpec,
    divided: Split,
    options: ClipOptions,
    folder: Path,
    listeners: Listeners,
) -> ClipRun:
    device = choose_device(context.config.device)
    clip = load_clip(spec, device=device, precision="fp32")
    teacher: Teacher | None = None
    if args.teacher == "start":
        teacher = Teacher(copy_text_tower(clip), is_start=True)
    elif args.teacher != "none":
        other = resolve_clip(context, registry, args.teacher)
        teacher = Teacher(load_clip(other, device=device, precision="fp32"), is_start=False)
    return ClipRun(clip, divided, options, folder, teacher=teacher, listeners=listeners)


def _summary(spec: ModelSpec, trained: Trained) -> str:
    return f"{spec.name}, trained further on {count(trained.photos, 'photo')} of your own"
