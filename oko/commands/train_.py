"""train a model of your own, that finds pictures or paints them"""

from __future__ import annotations

import argparse
from pathlib import Path

from oko import exits
from oko.commands.index_ import add_machine_options, positive
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes: what is to be trained."""
    from oko.cli import add_action

    parser.set_defaults(json=False)
    actions = parser.add_subparsers(dest="action", metavar="WHAT", required=True)
    clip = add_action(
        actions, "clip", "fine-tune a model that finds pictures by words, on pictures with captions"
    )
    _add_clip_arguments(clip)
    vqgan = add_action(actions, "vqgan", "train a network that paints, on pictures without captions")
    _add_vqgan_arguments(vqgan)
    builtin = add_action(actions, "builtin", "make the model that comes with oko once more, from its data")
    _add_builtin_arguments(builtin)


def _add_clip_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="a folder of pictures with .txt files of captions beside them, .tar shards (WebDataset), a .csv with "
        "the columns path and caption, or the word library: your photos with their confirmed tags",
    )
    parser.add_argument("--name", required=True, metavar="NAME", help="what to call the new model")
    _add_folder_options(parser)
    parser.add_argument(
        "--from",
        dest="start",
        default="builtin",
        metavar="MODEL",
        help="the model to start from (default: builtin)",
    )
    _add_data_options(parser.add_argument_group("what is learnt from, and measured on"))
    _add_model_options(parser.add_argument_group("what learns"))
    _add_course_options(parser.add_argument_group("how"))


def _add_folder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="its folder (default: models/NAME in the library folder)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--hold-back",
        type=float,
        metavar="SHARE",
        help="share of the photos that is measured on and never trained on (default: 0.1; 0 with --eval)",
    )
    group.add_argument(
        "--eval",
        nargs="+",
        default=[],
        metavar="DATA",
        help="measure on these pictures with captions instead",
    )
    group.add_argument(
        "--queries",
        type=Path,
        metavar="FILE",
        help="texts, one a line, whose answers before and after are drawn in answers.png (default: some captions)",
    )


def _add_model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--lock",
        choices=("image", "text", "none"),
        default="image",
        help="the part that stays as it is: the image tower but for --unfreeze, or the text tower (default: image)",
    )
    group.add_argument(
        "--unfreeze",
        type=int,
        metavar="N",
        help="how many groups of layers at the end of the image tower learn (default: 1 with --lock image, else all)",
    )
    group.add_argument(
        "--teacher",
        default="start",
        metavar="MODEL",
        help="keep texts near what they mean to this model; start: the one of --from; or none (default: start)",
    )
    group.add_argument(
        "--near",
        type=float,
        metavar="WEIGHT",
        help="how much --teacher counts beside the pairs of picture and caption (default: 1)",
    )


def _add_course_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--epochs", type=positive, metavar="N", help="times through the photos (default: 15)")
    group.add_argument(
        "--steps", type=positive, metavar="N", help="train for so many steps, instead of --epochs"
    )
    group.add_argument(
        "--batch", type=positive, metavar="N", help="pairs of picture and caption in a step (default: 256)"
    )
    group.add_argument(
        "--piece",
        type=positive,
        metavar="N",
        help="pairs in memory at once: less memory, more time, the same result (default: 256)",
    )
    group.add_argument(
        "--loss",
        choices=("clip", "siglip"),
        default="clip",
        help="compare the pairs of a step with each other, or each by itself (default: clip)",
    )
    group.add_argument(
        "--lr", type=float, metavar="RATE", help="learning rate (default: by the model's size)"
    )
    group.add_argument(
        "--average",
        type=float,
        metavar="DECAY",
        help="take the average of the weights over the steps, such as 0.99 (default: the last)",
    )
    group.add_argument(
        "--keep",
        type=float,
        metavar="SHARE",
        help="how much of the starting weights the result keeps, 0 to 1 (default: 0)",
    )
    group.add_argument(
        "--views", type=positive, metavar="N", help="views of each photo, computed once (default: 4)"
    )
    group.add_argument(
        "--no-cache", action="store_true", help="decode and crop anew in each epoch: slow, more varied"
    )
    _add_run_options(group)


def _add_run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--seed", type=int, metavar="N", help="another seed, another order (default: 0)")
    add_machine_options(group, formats=("auto", "fp32", "bf16"))


def _add_vqgan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="a folder of pictures, .tar shards (WebDataset), or the word library: your indexed photos",
    )
    parser.add_argument("--name", metavar="NAME", help="what to call the new network; without it give --out")
    _add_folder_options(parser)
    parser.add_argument(
        "--from", dest="start", metavar="NAME", help="train an added VQGAN further (default: a new network)"
    )
    parser.add_argument(
        "--recipe",
        default="small",
        metavar="NAME",
        help="network and settings: small, coarse, paper (large, for a GPU and days), builtin (the one that comes "
        "with oko) (default: small)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting of the recipe, such as n_embed=4096 (repeatable)",
    )
    parser.add_argument(
        "--features",
        default="builtin",
        metavar="MODEL",
        help="the model that says how alike two pictures look, or none (default: builtin)",
    )
    parser.add_argument(
        "--hold-back",
        type=float,
        metavar="SHARE",
        help="share of the pictures that is measured on and never trained on (default: 0.05)",
    )
    _add_vqgan_course(parser.add_argument_group("how (default: as the recipe says)"))


def _add_vqgan_course(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--steps", type=positive, metavar="N", help="how many steps")
    group.add_argument("--batch", type=positive, metavar="N", help="pictures in a step")
    group.add_argument("--crop", type=positive, metavar="PX", help="side of the square that is seen of each")
    group.add_argument("--lr", type=float, metavar="RATE", help="learning rate")
    _add_run_options(group)


def _add_builtin_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="the folder with the shards of photos (.tar) and text/"
    )
    parser.add_argument(
        "--starts",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder with the packages of trunk and teacher, as wheels or unpacked (docs/training.md)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new model's folder")
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="where each step's result is kept, so that the same command goes on after an interruption "
        "(default: --out with -work behind it)",
    )
    parser.add_argument("--wordnet", type=Path, metavar="DIR", help="WordNet's files (default: Debian's)")
    parser.add_argument("--seed", type=int, metavar="N", help="another seed, other weights (default: 0)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting of the recipe, such as tail_steps=180 (repeatable)",
    )
    parser.add_argument(
        "--small", action="store_true", help="try all steps in minutes, for a model that is worth little"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Train, and print what it was worth."""
    if args.action == "builtin":
        from oko import building

        building.build(context, args)
        return exits.DONE
    if args.action == "vqgan":
        from oko import training_vqgan

        training_vqgan.train(context, args)
        return exits.DONE
    from oko import training

    training.train_clip(context, args)
    return exits.DONE
