"""`oko generate`: networks are loaded, the recipe is fitted into memory, and the picture is painted and kept."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from generate import memory
from generate.easel import Easel
from generate.perceptors import Perceptor
from generate.recipe import Recipe, fitted_size
from generate.sampler import Painter, Step
from library.clip import load_clip
from library.devices import choose_device, choose_precision
from library.errors import ModelMismatch, OutOfMemory, UsageError
from library.models import Registry
from library.presets import BUILTIN_NAME, BUILTIN_VQGAN_NAME, ModelSpec
from library.records import display_path
from library.weights import sha256_of
from oko import films, jobs, paintfiles
from oko.context import Context
from oko.films import Film
from oko.materials import gather
from oko.modelling import fetch
from oko.progress import clock
from oko.recipes import make_recipe
from oko.signals import Signals

if TYPE_CHECKING:
    from PIL import Image

    from generate.vqgan import VQGAN

JOB = "generate"
SKETCH_EVERY = 10  # steps between two pictures for those who follow the painting on the page


@dataclass(frozen=True, slots=True)
class Painted:
    """What came of it."""

    path: Path
    recipe: Recipe
    steps: int
    loss: float
    seconds: float
    is_interrupted: bool
    video: Path | None = None
    photo_id: int | None = None  # in the library, once `added`
    added: Path | None = None

    @property
    def image(self) -> Image.Image:
        """The picture, read from its file; RGB."""
        from library.images import decode

        canvas = self.recipe.canvas
        return decode(
            self.path.read_bytes(), name=self.path.name, max_pixels=canvas.width * canvas.height
        ).image

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()


@dataclass(frozen=True, slots=True)
class _Networks:
    vqgan: VQGAN
    perceptors: Sequence[Perceptor]


def paint(
    context: Context, args: argparse.Namespace, progress: Callable[[Step], None] = lambda step: None
) -> Painted:
    """Paint one picture; `progress` is called after each step.

    Raises UsageError, ModelError, PictureError, DiskFull, each before any work is lost.
    """
    began = time.monotonic()
    kept: paintfiles.Kept | None = None
    if args.resume:
        if args.output is None or args.prompt or args.source:
            raise UsageError(
                "--resume goes on with the picture of -o as it was begun", hint="Name only -o FILE."
            )
        kept = paintfiles.load_state(args.output)
        recipe = kept.recipe
    else:
        recipe = make_recipe(context, args)
    path = args.output or paintfiles.free_name(_home(context, args), paintfiles.default_name(recipe))
    begun = Film.begun(path) if args.resume else None
    film_path = films.place(args.video or (begun.path if begun else None), context.note)
    _check_places(args, path, film_path, begun)
    recipe, networks = _load(context, recipe, is_repeated=bool(args.source or args.resume))
    recipe = _fitted(context, args, recipe, networks, is_begun=kept is not None)
    easel = Easel.set_up(
        networks.vqgan,
        device=recipe.means.device,
        precision=recipe.means.precision,
        recompute=recipe.means.recompute,
        tile=recipe.means.tile,
    )
    painter = Painter(recipe, easel, networks.perceptors, gather(context.config, recipe, networks.perceptors))
    if kept is not None:
        painter.restore(kept.painter)
    try:
        film = None
        if film_path is not None:
            course = {"steps": recipe.course.steps, "seconds": args.seconds, "fps": args.fps}
            film = replace(begun, path=film_path) if begun else Film.of(film_path, path, **course)
        tells_recipe = not args.no_recipe and (kept is None or kept.tells_recipe)
        run = _Run(context, path, painter, film, save_every=args.save_every, tells_recipe=tells_recipe)
        loss, is_interrupted = run.to_the_end(progress)
        video = film.finish() if film is not None and not is_interrupted else None
    except BaseException:
        if not paintfiles.has_state(path):
            paintfiles.forget_run(path)  # frames alone are nothing to go on with
        raise
    if not is_interrupted:
        paintfiles.forget_run(path)
    return Painted(path, recipe, painter.done, loss, time.monotonic() - began, is_interrupted, video)


def added(context: Context, painted: Painted) -> Painted:
    """The same, put into the library, unless it was interrupted."""
    from oko import adding

    if painted.is_interrupted:
        return painted
    photo_id, path = adding.add(context, painted.path)
    return replace(painted, photo_id=photo_id, added=path)


def _home(context: Context, args: argparse.Namespace) -> Path:
    """Where pictures without -o go."""
    from oko import adding

    return adding.made_folder(context) if args.add else Path()


def _check_places(args: argparse.Namespace, path: Path, film_path: Path | None, begun: Film | None) -> None:
    paintfiles.check_place(path, suffixes=(".png",), overwrite=args.overwrite or args.resume)
    if film_path is not None:
        is_known = begun is not None and begun.path == film_path.absolute()
        paintfiles.check_place(film_path, suffixes=films.SUFFIXES, overwrite=args.overwrite or is_known)
    if not args.resume and paintfiles.work_folder(path).exists():
        if not args.overwrite:
            go_on = f"Go on with it: oko generate --resume -o {path}. "
            raise UsageError(
                f"painting {display_path(path)} was interrupted",
                hint=f"{go_on if paintfiles.has_state(path) else ''}To paint it anew add --overwrite.",
            )
        paintfiles.forget_run(path)


# Networks


def _load(context: Context, recipe: Recipe, *, is_repeated: bool) -> tuple[Recipe, _Networks]:
    """The networks that the recipe names, and the recipe with their hashes and with a size that they can paint."""
    import torch

    device = choose_device(recipe.means.device if is_repeated else context.config.device)
    wanted = recipe.means.precision if is_repeated else context.config.precision
    precision = choose_precision(wanted, device)
    if is_repeated and recipe.means.threads:
        torch.set_num_threads(recipe.means.threads)  # sums over threads are rounded differently
    registry = Registry(context.folder)
    vqgan, vqgan_sha256 = load_painter(registry, recipe.means.vqgan)
    perceptors = []
    for name in recipe.sight.perceptors:
        spec = registry.resolve(name)
        if spec.kind != "clip":
            raise UsageError(
                f"{name} paints pictures, it cannot judge them", hint="Name a CLIP model: --clip"
            )
        fetch(context, registry, spec)
        perceptors.append(Perceptor(load_clip(spec, device=device, precision=precision, inference=True)))
    hashes = tuple(one.clip.stamp.weights_sha256 for one in perceptors)
    _require_same("VQGAN", recipe.means.vqgan, recipe.means.vqgan_sha256, vqgan_sha256)
    for name, was, found in zip(recipe.sight.perceptors, recipe.sight.perceptor_sha256, hashes, strict=False):
        _require_same("CLIP model", name, was, found)
    means = replace(
        recipe.means,
        vqgan_sha256=vqgan_sha256,
        device=device,
        precision=precision,
        threads=torch.get_num_threads() if device == "cpu" else 0,
    )
    sight = replace(recipe.sight, perceptor_sha256=hashes)
    canvas = recipe.canvas
    width, height = fitted_size(canvas.width, canvas.height, factor=vqgan.factor)
    if (width, height) != (canvas.width, canvas.height):
        context.note(
            f"The size is {width} x {height}: this VQGAN paints in multiples of {vqgan.factor} pixels."
        )
    canvas = replace(canvas, width=width, height=height)
    return replace(recipe, canvas=canvas, sight=sight, means=means), _Networks(vqgan, perceptors)


def load_painter(registry: Registry, name: str) -> tuple[VQGAN, str]:
    """A VQGAN by name, and the SHA-256 of its weights. Raises UnknownModel, ModelUnavailable, WeightsInvalid."""
    from generate.load import BUILTIN_FOLDER, VQGAN_WEIGHTS_FILE, builtin_vqgan, load_vqgan

    if name in (BUILTIN_NAME, BUILTIN_VQGAN_NAME):
        return builtin_vqgan(), sha256_of(BUILTIN_FOLDER / VQGAN_WEIGHTS_FILE)
    spec: ModelSpec = registry.resolve(name)
    if spec.kind != "vqgan" or spec.weights is None:
        raise UsageError(
            f"{name} finds pictures, it cannot paint them", hint="Name a VQGAN (oko models list): --vqgan"
        )
    weights = spec.weights / VQGAN_WEIGHTS_FILE if spec.weights.is_dir() else spec.weights
    return load_vqgan(spec.weights, spec.config), sha256_of(weights)


def _require_same(what: str, name: str, was: str, found: str) -> None:
    if was and was != found:
        raise ModelMismatch(
            f"the picture was painted with another state of the {what} {name} than the one that is here",
            hint=f"Name the {what} to use instead, and the picture will be a new one.",
        )


def _fitted(
    context: Context, args: argparse.Namespace, recipe: Recipe, networks: _Networks, *, is_begun: bool
) -> Recipe:
    """The recipe in the memory there is, with what had to change said. A run that is begun stays as it is."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[recipe.means.precision]
    free = memory.available_bytes(recipe.means.device)
    available = min(free, int(args.memory * 1e9)) if args.memory else free
    if is_begun:
        needed = memory.needed_bytes(recipe, networks.vqgan, networks.perceptors, dtype=dtype)
        if needed > available:
            raise OutOfMemory(
                f"going on takes {needed / 1e9:.1f} GB, and {available / 1e9:.1f} GB are free",
                hint="Close other programs; what was painted is kept.",
            )
        return recipe
    fit = memory.fit(recipe, networks.vqgan, networks.perceptors, dtype=dtype, available=available)
    for sentence in fit.changes:
        context.note(sentence)
    if fit.changes and args.source:
        context.note("So it will not be the same picture to the last bit.")
    context.note(f"Painting takes about {fit.bytes / 1e9:.1f} GB beside the networks.")
    return fit.recipe


# The run


class _Run:
    """Steps, with what is shown and kept meanwhile."""

    def __init__(
        self,
        context: Context,
        path: Path,
        painter: Painter,
        film: Film | None,
        *,
        save_every: int,
        tells_recipe: bool,
    ) -> None:
        self._context = context
        self._path = path
        self._painter = painter
        self._film = film
        self._save_every = save_every
        self._recipe = painter.recipe if tells_recipe else None
        if film is not None:
            film.forget_after(painter.done)

    def to_the_end(self, progress: Callable[[Step], None]) -> tuple[float, bool]:
        """Paints; returns the last loss, and whether it was interrupted. The file is written in both cases."""
        loss, is_interrupted = float("nan"), False
        with (
            Signals().heard() as signals,
            jobs.telling(self._context.folder, JOB) as job,
            step_bar(self._context) as told,
        ):
            for step in self._painter.steps():
                loss = step.loss
                told(step)
                progress(step)
                job.tell(
                    phase="painting", done=step.number, total=step.of, picture=str(self._path.absolute())
                )
                if step.number % SKETCH_EVERY == 0 or step.number == 1:
                    self._sketch(job, step.number)
                if self._film is not None:
                    self._film.add(step.number, self._painter.picture())
                if signals.ended.is_set() and step.number < step.of:
                    is_interrupted = True
                    job.tell(phase="interrupted")
                    break
                if step.number % self._save_every == 0 and step.number < step.of:
                    self._keep(best=False)
        if is_interrupted:
            self._keep(best=True)
        else:
            self._save(best=False)
        return loss, is_interrupted

    def _sketch(self, job: jobs.Job, step: int) -> None:
        """Nobody need look, and a disk that is full is no reason to stop."""
        with contextlib.suppress(OSError):
            data = paintfiles.sketch(self._painter.picture())
            jobs.replace_private(jobs.sketch_path(self._context.folder), data)
            job.tell(sketched=step)

    def _keep(self, *, best: bool) -> None:
        kept = paintfiles.Kept(self._painter.recipe, self._painter.state(), self._recipe is not None)
        paintfiles.save_state(self._path, kept)
        self._save(best=best)

    def _save(self, *, best: bool) -> None:
        picture = self._painter.picture(best=best)
        paintfiles.save_picture(
            self._path, picture, self._recipe, steps_done=self._painter.done, is_best_so_far=best
        )


@contextmanager
def step_bar(context: Context) -> Iterator[Callable[[Step], None]]:
    """A bar with the loss and the time left on a terminal; call what it gives with each step."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("Painting"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    is_hidden = context.quiet or not context.notes.is_terminal
    with Progress(*columns, console=context.notes, disable=is_hidden, transient=True) as bar:
        task = bar.add_task("", total=None, loss="")

        def told(step: Step) -> None:
            bar.update(task, completed=step.number, total=step.of, loss=f"loss {step.loss:.3f}")

        yield told


def show(context: Context, painted: Painted, *, as_json: bool) -> None:
    """The file's name as a result, and the rest beside it."""
    recipe = painted.recipe
    if as_json:
        found = {
            "path": str(painted.path.absolute()),
            "steps": painted.steps,
            "loss": painted.loss if painted.loss == painted.loss else None,
            "seconds": round(painted.seconds, 2),
            "interrupted": painted.is_interrupted,
            "video": None if painted.video is None else str(painted.video.absolute()),
            "photo_id": painted.photo_id,
            "added": None if painted.added is None else str(painted.added),
            "recipe": recipe.as_json(),
        }
        context.result(json.dumps(found))
        return
    context.result(display_path(painted.path))
    if painted.video is not None:
        context.result(display_path(painted.video))
    if painted.is_interrupted:
        context.note(
            f"Interrupted after {painted.steps} of {recipe.course.steps} steps; the best picture so far is kept. "
            f"Go on: oko generate --resume -o {display_path(painted.path)}"
        )
        return
    size = f"{recipe.canvas.width} x {recipe.canvas.height}"
    context.note(
        f"{size} in {painted.steps} steps and {clock(painted.seconds)}, seed {recipe.course.seed}. "
        f"Again: oko generate --from {display_path(painted.path)}"
    )
    if painted.added is not None:
        context.note(f"In the library with the tag generated: {display_path(painted.added)}")
