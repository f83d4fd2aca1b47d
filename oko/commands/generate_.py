"""paint a new picture from words, with VQGAN and CLIP"""

from __future__ import annotations

import argparse
from pathlib import Path

from oko import exits
from oko.commands.index_ import positive
from oko.context import Context


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
        help='what it shows: words, several with weights and stops ("a | b:0.5 | c:-1"), scenes of a story '
        '("morning ^ night")',
    )
    group = parser.add_argument_group("more wishes (each FILE or QUERY may end in :WEIGHT or :WEIGHT:STOP)")
    for flag, metavar, about in (
        ("--image", "FILE", "what the picture in a file shows (repeatable)"),
        ("--like", "QUERY", "what your photos that answer a search show (repeatable)"),
        ("--noise-prompt", "SEED", "a random direction: the same words, another picture (repeatable)"),
        ("--spot", "PROMPTS", "only what is inside the mask"),
        ("--spot-off", "PROMPTS", "only what is outside the mask"),
    ):
        group.add_argument(flag, action="append", metavar=metavar, help=about)
    group.add_argument(
        "--like-top", type=positive, default=4, metavar="N", help="how many photos --like takes (default: 4)"
    )
    group.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="a picture, white inside the spot (default: a disc in the middle)",
    )
    group.add_argument(
        "--story-every", type=positive, metavar="N", help="steps a scene (default: equal shares)"
    )


def _add_canvas(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--quality",
        choices=("draft", "normal", "best"),
        help="steps, cutouts and size at once (default: normal)",
    )
    group.add_argument("--size", metavar="WxH", help="in pixels, rounded to what the VQGAN can paint")
    group.add_argument(
        "--aspect",
        metavar="NAME",
        help="square, wide, tall, or such as 3:2, as large as the quality's square",
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
        "--keep", type=float, metavar="WEIGHT", help="pull back to the start, such as 1 (default: 0)"
    )
    group.add_argument(
        "--keep-decay",
        type=float,
        metavar="RATE",
        help="that pull is divided by 1 + 2 x RATE x step (default: 1; 0 keeps it)",
    )


def _add_course(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--steps", type=positive, metavar="N", help="how many (default: by quality)")
    group.add_argument(
        "--seed",
        metavar="TEXT",
        help="a number or any text; the same seed, the same picture (default: random)",
    )
    group.add_argument(
        "--optimiser",
        choices=("adam", "adamw", "adamax", "adagrad", "nadam", "radam", "rmsprop"),
        help="(default: adam)",
    )
    group.add_argument(
        "--learning-rate",
        type=float,
        metavar="RATE",
        help="in standard deviations of the codebook (default: 0.1)",
    )
    group.add_argument(
        "--drops",
        metavar="LIST",
        help="parts of the course after which the rate is a tenth (default: 0.75); none",
    )
    group.add_argument("--early-stop", type=positive, metavar="N", help="end after N steps without gain")
    group.add_argument(
        "--cutouts", type=positive, metavar="N", help="views CLIP gets in each step (default: by quality)"
    )
    group.add_argument(
        "--cutout-kind",
        choices=("crops", "pooled"),
        help="parts and whole views, or only the whole (default: crops)",
    )
    group.add_argument(
        "--cut-power", type=float, metavar="P", help="below 1 larger parts, above 1 smaller ones (default: 1)"
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
        "--seconds", type=float, default=10, metavar="S", help="length of the video (default: 10)"
    )
    group.add_argument(
        "--fps", type=positive, default=15, metavar="N", help="frames a second at most (default: 15)"
    )
    group.add_argument("--zoom", type=float, metavar="FACTOR", help="come nearer, such as 1.02 (default: 1)")
    group.add_argument("--pan", metavar="X,Y", help="move the view by so many pixels")
    group.add_argument(
        "--move-every",
        type=positive,
        metavar="N",
        help="steps between two moves of --zoom and --pan (default: 10)",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help=".png (default: named after the prompt)"
    )
    group.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    group.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FILE.png",
        help="repeat a picture by the recipe in its file",
    )
    group.add_argument("--resume", action="store_true", help="go on with the interrupted picture of -o")
    group.add_argument(
        "--save-every",
        type=positive,
        default=50,
        metavar="N",
        help="steps between two writings of the picture so far (default: 50)",
    )
    group.add_argument(
        "--no-recipe",
        action="store_true",
        help="leave prompts, names of files and settings out of the picture's file",
    )
    group.add_argument(
        "--add", action="store_true", help="put it into the library, with the tag generated, too"
    )
    group.add_argument("--json", action="store_true", help="print one JSON object")


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--vqgan", metavar="NAME", help="the network that paints (default: builtin)")
    group.add_argument(
        "--clip",
        action="append",
        metavar="NAME",
        help="the model that judges; several judge together (repeatable; default: builtin)",
    )
    group.add_argument(
        "--memory", type=float, metavar="GB", help="stay within so much memory (default: what is free)"
    )
    group.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="where it runs")
    group.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), help="number format")


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
