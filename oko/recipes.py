"""From the options of `oko generate` to a recipe."""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from generate.prompts import Prompt, Scene, parse_prompt, parse_story
from generate.recipe import QUALITIES, Canvas, Course, Motion, Recipe, Sight, Taste, from_json
from library.errors import UnreadablePicture, UsageError
from library.records import display_path
from oko import assemble
from oko.context import SETTING_FLAGS, Context

RECIPE_KEY = "oko-recipe"
ASPECTS = {"square": 1.0, "wide": 16 / 9, "tall": 9 / 16}
_COURSE = ("steps", "optimiser", "learning_rate", "early_stop", "story_every")
_TASTE = ("palette_weight", "smoothness", "symmetry", "saturation")


def make_recipe(context: Context, args: argparse.Namespace) -> Recipe:
    """What the options say, over the recipe of --from or the defaults; checked. Raises UsageError, PictureError."""
    base = read_recipe(args.source) if args.source else None
    scenes = _scenes(context, args, base)
    if args.mask and all(prompt.region == "all" for scene in scenes for prompt in scene):
        raise UsageError(
            "there is a mask, and nothing that it is for", hint="Say what to paint inside it: --spot PROMPTS"
        )
    steps, cutouts, side_px = QUALITIES[args.quality or "normal"]
    if base is None:
        base = Recipe(
            scenes=scenes,
            canvas=Canvas(width=side_px, height=side_px),
            course=Course(steps=steps, seed=str(secrets.randbelow(10**6))),
            sight=Sight(cutouts=cutouts),
        )
    elif args.quality:
        base = replace(
            base, course=replace(base.course, steps=steps), sight=replace(base.sight, cutouts=cutouts)
        )
    recipe = replace(
        base,
        scenes=scenes,
        canvas=_canvas(context, args, base.canvas, side_px),
        course=_course(args, base.course),
        sight=_sight(args, base.sight),
        taste=_taste(args, base.taste),
        motion=_motion(args, base.motion),
        means=replace(base.means, **_given(args, "vqgan")),
    )
    if args.vqgan:
        recipe = replace(recipe, means=replace(recipe.means, vqgan_sha256=""))
    recipe.check()
    return recipe


class _Options(argparse.ArgumentParser):
    """What the command line takes, for programs: an exception where that would end the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"it cannot be painted so: {message}", hint="docs/painting.md has all options.")


def arguments(prompt: str, options: Mapping[str, Any]) -> argparse.Namespace:
    """What the command line would give for a prompt and options by name, such as `seed=7`. Raises UsageError.

    True stands for an option without a value, a list for an option that is repeated.
    """
    from oko.commands import generate_

    parser = _Options(add_help=False)
    generate_.add_arguments(parser)
    flags = {action.dest: action.option_strings[-1] for action in parser._actions if action.option_strings}
    words = []
    for name, value in options.items():
        if name not in flags:
            raise UsageError(f"there is no option {name!r}", hint="docs/painting.md has all options.")
        if name in SETTING_FLAGS:
            raise UsageError(f"{name} is a setting", hint=f"Give it to oko.open_library({name}=...).")
        values = value if isinstance(value, (list, tuple)) else [value]
        given = [each for each in values if each is not None and each is not False]
        words += [flags[name] if each is True else f"{flags[name]}={each}" for each in given]
    return parser.parse_args([*words, "--", *([prompt] if prompt else [])])


def read_recipe(path: Path) -> Recipe:
    """The recipe in a picture's file. Raises UsageError when there is none, UnreadablePicture for no picture."""
    from library import images

    name = display_path(path)
    try:
        data = images.read_bytes(path.expanduser(), max_bytes=1_000_000_000)
        with images.opened(data, name=path.name) as image:
            if image.format == "PNG":
                image.load()  # texts may stand behind the pixels
            text = image.info.get(RECIPE_KEY)
    except UnreadablePicture as e:
        raise UnreadablePicture(f"{name}: {e.message}") from e
    if not isinstance(text, str):
        raise UsageError(f"{name} holds no recipe", hint="Only pictures that oko painted do, as PNG.")
    try:
        return from_json(json.loads(text))
    except (ValueError, AttributeError) as e:
        raise UsageError(f"the recipe in {name} is damaged: {e}") from e


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(args, name)) is not None}


# Prompts


def _scenes(context: Context, args: argparse.Namespace, base: Recipe | None) -> tuple[Scene, ...]:
    words = " ".join(args.prompt)
    if args.prompt and not words.strip():
        raise UsageError("the prompt is empty", hint='Say what to paint: oko generate "a red house"')
    others = [
        *(_image_prompt(text) for text in args.image or ()),
        *(prompt for text in args.like or () for prompt in _photos_like(context, text, args.like_top)),
        *(parse_prompt(text, kind="noise") for text in args.noise_prompt or ()),
    ]
    spots = [parse_story(text, region="spot") for text in args.spot or ()]
    spots += [parse_story(text, region="rest") for text in args.spot_off or ()]
    stories = [parse_story(words)] if words else []
    if not stories and not others and not spots:
        if base is None:
            raise UsageError("there is no prompt", hint='Say what to paint: oko generate "a red house"')
        return base.scenes
    return _together([*stories, *spots], others)


def _together(stories: Sequence[tuple[Scene, ...]], others: Sequence[Prompt]) -> tuple[Scene, ...]:
    """Scene by scene; a story of one scene, and what is no story, is there all the time."""
    length = max((len(story) for story in stories), default=1)
    if any(len(story) not in (1, length) for story in stories):
        raise UsageError(
            "the stories have different numbers of scenes", hint="Give each the same, or just one."
        )
    return tuple(
        (*(p for story in stories for p in story[min(i, len(story) - 1)]), *others) for i in range(length)
    )


def _image_prompt(text: str) -> Prompt:
    prompt = parse_prompt(text, kind="image")
    path = Path(prompt.content).expanduser()
    return replace(prompt, content=str(path), sha256=file_hash(path, "picture"))


def _photos_like(context: Context, text: str, top: int) -> list[Prompt]:
    """The library's photos that answer a query, as prompts that share its weight. Raises UsageError for none."""
    from oko.api import Library

    prompt = parse_prompt(text)
    with Library(context.folder, context.config) as library:
        found = library.search(prompt.content, top=top, everything=True)
    paths = [result.path for result in found if not result.missing]
    if not paths:
        raise UsageError(f"no photo of the library answers {prompt.content!r}")
    names = ", ".join(path.name for path in paths)
    context.note(f"Like {prompt.content}: {names}")
    return [
        replace(
            prompt,
            kind="image",
            content=str(path),
            weight=prompt.weight / len(paths),
            sha256=file_hash(path, "photo"),
        )
        for path in paths
    ]


def file_hash(path: Path, what: str) -> str:
    """SHA-256 of a file. Raises UsageError when it cannot be read."""
    try:
        with path.expanduser().open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as e:
        raise UsageError(
            f"the {what} {display_path(path)} cannot be read: {e.strerror}", hint="Look at its name."
        ) from e


# The rest


def _canvas(context: Context, args: argparse.Namespace, base: Canvas, side_px: int) -> Canvas:
    canvas = replace(base, **_given(args, "start", "keep", "keep_decay"))
    if args.start_image:
        if args.start:
            raise UsageError("give either --start or --start-image, not both")
        path = args.start_image.expanduser()
        canvas = replace(
            canvas, start="image", image=str(path), image_sha256=file_hash(path, "start picture")
        )
    if args.mask:
        path = args.mask.expanduser()
        canvas = replace(canvas, mask=str(path), mask_sha256=file_hash(path, "mask"))
    if args.size and args.aspect:
        raise UsageError("give either --size or --aspect, not both")
    if args.size:
        width, height = _numbers(args.size.lower().replace("x", ","), "--size", "such as 320x256")
        return replace(canvas, width=int(width), height=int(height))
    if args.aspect:
        return _shaped(canvas, _aspect(args.aspect), side_px)
    if args.start_image:
        picture = assemble.read_picture(args.start_image, context.config)
        return _shaped(canvas, picture.width / picture.height, side_px)
    return replace(canvas, width=side_px, height=side_px) if args.quality else canvas


def _shaped(canvas: Canvas, ratio: float, side_px: int) -> Canvas:
    """As many pixels as the square has, in another shape."""
    return replace(canvas, width=round(side_px * ratio**0.5), height=round(side_px / ratio**0.5))


def _aspect(text: str) -> float:
    if text in ASPECTS:
        return ASPECTS[text]
    width, height = _numbers(text.replace(":", ","), "--aspect", f"{', '.join(ASPECTS)} or such as 3:2")
    if not 0.1 <= width / max(height, 1e-9) <= 10:
        raise UsageError(f"--aspect {text} is too long a strip")
    return width / height


def _course(args: argparse.Namespace, base: Course) -> Course:
    course = replace(base, **_given(args, *_COURSE, "seed"))
    if args.drops is not None:
        drops = () if args.drops == "none" else _numbers(args.drops, "--drops", "such as 0.5,0.75, or none")
        course = replace(course, drops=tuple(drops))
    return course


def _sight(args: argparse.Namespace, base: Sight) -> Sight:
    sight = replace(base, **_given(args, "cutouts"))
    if args.cutout_kind:
        sight = replace(sight, kind=args.cutout_kind)
    if args.cut_power is not None:
        sight = replace(sight, power=args.cut_power)
    if args.clip:
        sight = replace(sight, perceptors=tuple(args.clip), perceptor_sha256=())
    return sight


def _taste(args: argparse.Namespace, base: Taste) -> Taste:
    taste = replace(base, **_given(args, *_TASTE))
    if args.palette:
        taste = replace(taste, palette=parse_palette(args.palette))
        if not taste.palette_weight:
            taste = replace(taste, palette_weight=1.0)
    return taste


def parse_palette(text: str) -> tuple[tuple[float, float, float], ...]:
    """Names of colours as in CSS, or such as #ffcc00 -> RGB in 0..1. Raises UsageError."""
    from PIL import ImageColor

    colours = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        try:
            red, green, blue = ImageColor.getrgb(name)[:3]
        except ValueError as e:
            raise UsageError(
                f"--palette: {name!r} is no colour", hint='Write such as "navy,#ffcc00,white".'
            ) from e
        colours.append((red / 255, green / 255, blue / 255))
    if not colours:
        raise UsageError("--palette names no colour", hint='Write such as "navy,#ffcc00,white".')
    return tuple(colours)


def _motion(args: argparse.Namespace, base: Motion) -> Motion:
    motion = replace(base, **_given(args, "zoom"))
    if args.pan:
        x, y = _numbers(args.pan, "--pan", "such as 4,0")
        motion = replace(motion, pan_x_px=x, pan_y_px=y)
    if args.move_every:
        motion = replace(motion, every=args.move_every)
    is_moving = (motion.zoom, motion.pan_x_px, motion.pan_y_px) != (1.0, 0.0, 0.0)
    return replace(motion, every=(motion.every or 10) if is_moving else 0)


def _numbers(text: str, option: str, form: str) -> list[float]:
    """Numbers separated by commas: two, or any number for --drops. Raises UsageError."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or (len(numbers) != 2 and option != "--drops") or not all(map(_is_sensible, numbers)):
        raise UsageError(f"{option} {text!r} makes no sense", hint=f"Write {form}.")
    return numbers


def _is_sensible(number: float) -> bool:
    return -1e6 < number < 1e6
