"""`oko train vqgan`: a person's pictures become a network that paints, measured on pictures it never saw."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from library.clip import load_clip
from library.devices import choose_device
from library.errors import UsageError
from library.folder import create_folder
from library.models import Registry
from library.records import display_path
from oko import assemble, vqgans
from oko.aligned import count
from oko.context import Context
from oko.phases import phase_bar
from oko.progress import clock
from oko.trained import say_problems
from oko.training import check_folder, resolve_clip
from training.crops import by_key, read_pictures
from training.photos import Problem, Split, identify, split
from training.sources import LIBRARY
from training.vqgan_options import Recipe, recipe_of, with_changes

if TYPE_CHECKING:
    from generate.vqgan import VQGAN
    from training.vqgan import TrainedVQGAN
    from training.vqgan_losses import Features

HELD_BACK = 0.05
BUILTIN_RECIPE = "builtin"
_OPTIONS = ("steps", "batch", "crop", "lr", "seed")


def train(context: Context, args: argparse.Namespace) -> None:
    """Train, give the new network its name, and print what it was worth."""
    from training.vqgan import VQGANRun

    began = time.monotonic()
    recipe = make_recipe(context, args)
    registry = Registry(context.folder)
    folder = _folder(context, args, registry)
    divided, problems = _pictures(context, args, recipe)
    recipe, model = _network(registry, args, recipe, choose_device(context.config.device))
    recipe.options.check(model.config)
    features = _features(context, registry, args.features, recipe)
    with phase_bar(context, lambda phase: "Training") as told:
        run = VQGANRun(model, features, divided, recipe.options, folder, told=told)
        trained = run.run(resume=args.resume)
    trained.problems[:0] = problems
    if args.name:
        vqgans.register(registry, args.name, folder)
    say_problems(context, trained.problems)
    _show(context, args, trained, seconds=time.monotonic() - began)


def make_recipe(context: Context, args: argparse.Namespace) -> Recipe:
    """The recipe with what the command line changes, checked before anything is read. Raises UsageError."""
    recipe = with_changes(recipe_of(args.recipe), args.set)
    given: dict[str, Any] = {name: getattr(args, name) for name in _OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    precision = context.config.precision
    options = dataclasses.replace(
        recipe.options, **given, precision=precision if precision != "fp16" else "auto"
    )
    if args.start:
        # A network that can paint already keeps its codes.
        options = dataclasses.replace(options, unquantised=0)
    else:
        options.check(recipe.network)
    return dataclasses.replace(recipe, options=options)


def _folder(context: Context, args: argparse.Namespace, registry: Registry) -> Path:
    """Where the network goes. Raises UsageError when that is not said, or there is something in it."""
    if args.name:
        create_folder(context.folder)
        registry.require_free(args.name)
    elif args.out is None:
        raise UsageError("say where the network goes", hint="Add --name NAME, or --out DIR, or both.")
    folder = args.out or context.folder / "models" / args.name
    folder = Path(folder).expanduser().absolute()
    check_folder(folder, resume=args.resume)
    return folder


def _pictures(context: Context, args: argparse.Namespace, recipe: Recipe) -> tuple[Split, list[Problem]]:
    """What to learn from and what to measure on, said in a line; and what could not be read."""
    share = HELD_BACK if args.hold_back is None else args.hold_back
    if not 0 <= share <= 0.9:
        raise UsageError(f"--hold-back must lie between 0 and 0.9, not {share:g}")
    wants_library = LIBRARY in args.data
    with assemble.reading(context.folder, context.config) if wants_library else nullcontext() as store:
        found = read_pictures(args.data, store, shards=recipe.shards)
    photos, problems = identify(found.photos)
    is_builtin = args.recipe == BUILTIN_RECIPE
    divided = by_key([each.photo for each in photos]) if is_builtin else split(photos, share)
    context.note(
        f"{count(len(divided.training), 'picture')} to learn from, {len(divided.held_back):,} held back to measure on."
    )
    return divided, [*found.problems, *problems]


def _network(
    registry: Registry, args: argparse.Namespace, recipe: Recipe, device: str
) -> tuple[Recipe, VQGAN]:
    """The network as it starts, on its device, and the recipe with its shape."""
    import torch

    from generate.vqgan import VQGAN

    if not args.start:
        torch.manual_seed(recipe.options.seed)
        return recipe, VQGAN(recipe.network).to(device)
    spec = registry.resolve(args.start)
    if spec.kind != "vqgan":
        raise UsageError(f"{spec.name} finds pictures; it cannot be trained to paint them")
    model = vqgans.load(spec).to(device)
    return dataclasses.replace(recipe, network=model.config), model


def _features(context: Context, registry: Registry, name: str, recipe: Recipe) -> Features | None:
    if name == "none":
        return None
    from training.vqgan_losses import Features

    spec = resolve_clip(context, registry, name)
    clip = load_clip(spec, device=choose_device(context.config.device), precision="fp32")
    return Features(clip, crop=recipe.options.crop)


def _show(context: Context, args: argparse.Namespace, trained: TrainedVQGAN, *, seconds: float) -> None:
    """The figures, or one JSON object, and what to do next."""
    measured = trained.measured
    if args.json:
        result = {
            "model": args.name,
            "folder": str(trained.folder),
            "pictures": trained.photos,
            "steps": trained.steps,
            "elapsed_s": round(seconds, 1),
            "held_out": measured.as_json() if measured else None,
            "problems": [dataclasses.asdict(problem) for problem in trained.problems],
        }
        context.result(json.dumps(result, indent=2))
        return
    if measured is not None:
        context.result(f"PSNR             {measured.psnr_db:.1f} dB")
        context.result(f"perplexity       {measured.perplexity:,.0f}")
        context.result(f"codes in use     {100 * measured.codes_used:.0f} %")
        context.note(f"Measured on {count(measured.pictures, 'picture')} that it was not trained on.")
    context.note(
        f"{count(trained.steps, 'step')} in {clock(seconds)}. The network: {display_path(trained.folder)}"
    )
    if args.name:
        context.note(f"Paint with it: oko generate --vqgan {args.name} PROMPT")
