"""paint a new picture from words, with VQGAN and CLIP"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from oko import exits
from oko.commands.index_ import add_machine_options, positive
from oko.context import Context


def above_zero(text: str) -> float:
    """A number above 0, and finite, for argparse."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes. Whatever is not given comes from --from, or else from the defaults."""
    _add_prompts(parser)
    _add_canvas(parser.add_argument_group("the canvas"))
    _add_course(parser.add_argument_group("how it is painted"))
    _add_taste(parser.add_argument_group("what else it should be like (weights; 1 is much)"))
    _add_film(parser.add_argument_group("moving pictures"))
    _add_output(parser.add_argument_group("what comes out"))
    _add_machine(parser.add_argument_group("networks and machine"))


def _add_prompts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "prompt",
        nargs="*",
        metavar="PROMPT",
        help="what to paint, in words; several wishes, each with a weight, below 0 for what is unwanted "
        '("a lake | oil painting:0.5 | people:-1"); scenes of a story ("morning ^ night")',
    )
    group = parser.add_argument_group(
        "more wishes (with weights, too: --image cat.jpg:0.5; all of it: docs/painting.md)"
    )
    for flag, metavar, about in (
        ("--image", "FILE", "like what this picture shows (repeatable)"),
        ("--like", "QUERY", "like those of your own photos that answer this search (repeatable)"),
        (
            "--noise-prompt",
            "SEED",
            "a random direction, so that the same words give another picture (repeatable)",
        ),
        ("--spot", "PROMPTS", "what to paint inside the mask only"),
        ("--spot-off", "PROMPTS", "what to paint outside the mask only"),
    ):
        group.add_argument(flag, action="append", metavar=metavar, help=about)
    group.add_argument(
        "--like-top", type=positive, default=4, metavar="N", help="how many photos --like takes (default: 4)"
    )
    group.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="a picture that is white where --spot holds (default: a disc in the middle)",
    )
    group.add_argument(
        "--story-every",
        type=positive,
        metavar="N",
        help="steps for each scene of a story (default: equal shares)",
    )


def _add_canvas(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--quality",
        choices=("draft", "normal", "best"),
        help="steps, cutouts and size at once: 100 steps for 192 x 192 pixels, 300 for 256, or 500 for 384 "
        "(default: normal)",
    )
    group.add_argument(
        "--size",
        metavar="WxH",
        help="in pixels, rounded to what the network can paint (default: by --quality)",
    )
    group.add_argument(
        "--aspect",
        metavar="NAME",
        help="instead of --size: square, wide, tall, or such as 3:2",
    )
    group.add_argument(
        "--start",
        choices=("codes", "noise", "gradient", "fractal"),
        help="what painting starts from (default: codes, random entries of the codebook)",
    )
    group.add_argument(
        "--start-image", type=Path, metavar="FILE", help="start from this picture, in its shape"
    )
    group.add_argument(
        "--keep",
        type=float,
        metavar="WEIGHT",
        help="how strongly to stay near the start, such as 1 (default: 0)",
    )
    group.add_argument(
        "--keep-decay",
        type=float,
        metavar="RATE",
        help="how fast --keep lets go: it is divided by 1 + 2 x RATE x step (default: 1; 0: never)",
    )


def _add_course(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--steps", type=positive, metavar="N", help="how many (default: by --quality)")
    group.add_argument(
        "--seed",
        metavar="TEXT",
        help="a number or any text; the same seed, the same picture (default: random)",
    )
    group.add_argument(
        "--optimiser",
        choices=("adam", "adamw", "adamax", "adagrad", "nadam", "radam", "rmsprop", "adamp", "diffgrad"),
        help="how a step follows the gradient (default: adam)",
    )
    group.add_argument(
        "--learning-rate",
        type=float,
        metavar="RATE",
        help="how far a step goes, in standard deviations of the codebook (default: 0.1)",
    )
    group.add_argument(
        "--drops",
        metavar="LIST",
        help="after which parts of the run the rate falls to a tenth, such as 0.5,0.75, or none (default: 0.75)",
    )
    group.add_argument(
        "--early-stop", type=positive, metavar="N", help="end after N steps in which it got no better"
    )
    group.add_argument(
        "--cutouts",
        type=positive,
        metavar="N",
        help="how many random views of the picture are judged in each step (default: by --quality)",
    )
    group.add_argument(
        "--cutout-kind",
        choices=("crops", "pooled"),
        help="crops: parts of the picture and all of it; pooled: all of it (default: crops)",
    )
    group.add_argument(
        "--cut-power", type=float, metavar="P", help="larger parts below 1, smaller ones above (default: 1)"
    )


def _add_taste(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--palette", metavar="COLOURS", help='such as "navy,#ffcc00,white": keep near these colours'
    )
    group.add_argument(
        "--palette-weight", type=float, metavar="W", help="how strictly (default: 1 with --palette)"
    )
    group.add_argument("--smoothness", type=float, metavar="W", help="less detail (default: 0)")
    group.add_argument("--symmetry", type=float, metavar="W", help="left like right (default: 0)")
    group.add_argument(
        "--saturation", type=float, metavar="W", help="more colour; negative: less (default: 0)"
    )


def _add_film(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--video",
        type=Path,
        metavar="FILE",
        help=".mp4 (through ffmpeg) or .webp: how the picture came about",
    )
    group.add_argument(
        "--seconds", type=above_zero, default=10, metavar="S", help="length of the video (default: 10)"
    )
    group.add_argument(
        "--fps", type=positive, default=15, metavar="N", help="frames a second at most (default: 15)"
    )
    group.add_argument(
        "--zoom", type=float, metavar="FACTOR", help="come nearer with each move, such as 1.02 (default: 1)"
    )
    group.add_argument("--pan", metavar="X,Y", help="shift the view by so many pixels with each move")
    group.add_argument(
        "--move-every",
        type=positive,
        metavar="N",
        help="steps between two moves of --zoom and --pan (default: 10)",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the picture, a .png (default: named after the prompt)",
    )
    group.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    group.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FILE.png",
        help="paint this picture again, by the recipe in it, but for what other options say",
    )
    group.add_argument(
        "--resume", action="store_true", help="go on with the picture of -o, which was interrupted"
    )
    group.add_argument(
        "--save-every",
        type=positive,
        default=50,
        metavar="N",
        help="write the picture so far every N steps (default: 50)",
    )
    group.add_argument(
        "--no-recipe",
        action="store_true",
        help="leave prompts, names of files and settings out of the picture's file",
    )
    group.add_argument(
        "--add", action="store_true", help="put it into the library, too, with the tag generated"
    )
    group.add_argument("--json", action="store_true", help="print one JSON object")


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--vqgan", metavar="NAME", help="the network that paints (oko models list; default: builtin)"
    )
    group.add_argument(
        "--clip",
        action="append",
        metavar="NAME",
        help="the model that says how well the picture fits; several decide together (repeatable; default: builtin)",
    )
    group.add_argument(
        "--memory", type=above_zero, metavar="GB", help="stay within so much memory (default: what is free)"
    )
    add_machine_options(group)


def run(args: argparse.Namespace, context: Context) -> int:
    """Paint, and say where the picture is."""
    from library.allocation import keep_freed_memory
    from oko import painting

    keep_freed_memory()
    painted = painting.paint(context, args)
    if args.add:
        painted = painting.added(context, painted)
    painting.show(context, painted, as_json=args.json)
    return exits.INTERRUPTED if painted.is_interrupted else exits.DONE
