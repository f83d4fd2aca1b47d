"""train a model on your own pictures and their captions"""

from __future__ import annotations

import argparse
from pathlib import Path

from oko import exits
from oko.commands.index_ import positive
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes: what is to be trained."""
    actions = parser.add_subparsers(dest="action", metavar="WHAT", required=True)
    clip = add_action(actions, "clip", "fine-tune a model that finds pictures by words")
    _add_clip_arguments(clip)
    vqgan = add_action(actions, "vqgan", "train a network that paints, on pictures without captions")
    _add_vqgan_arguments(vqgan)
    builtin = add_action(actions, "builtin", "make the model inside the package again")
    _add_builtin_arguments(builtin)


def add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    """One thing to train, with the common options after it, too; unset they leave the earlier ones be."""
    from oko.cli import common_options

    common = common_options()
    common.add_argument("--json", action="store_true", help="print one JSON object")
    for option in common._actions:
        option.default = argparse.SUPPRESS
    parser = actions.add_parser(name, help=about, description=about, parents=[common])
    parser.set_defaults(json=False)
    return parser


def _add_clip_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="a folder of pictures with .txt files of captions beside them, .tar shards (WebDataset), a .csv with "
        "the columns path and caption, or the word library: your photos with their confirmed tags",
    )
    parser.add_argument("--name", required=True, metavar="NAME", help="what to call the new model")
    parser.add_argument(
        "--from",
        dest="start",
        default="builtin",
        metavar="MODEL",
        help="the model to start from (default: builtin)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="its folder (default: in the library)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    _add_data_options(parser.add_argument_group("what is learnt from, and measured on"))
    _add_model_options(parser.add_argument_group("what learns"))
    _add_course_options(parser.add_argument_group("how"))


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--hold-back",
        type=float,
        metavar="SHARE",
        help="photos kept for measuring and never trained on (default: 0.1; 0 with --eval)",
    )
    group.add_argument("--eval", nargs="+", default=[], metavar="DATA", help="measure on these pictures")
    group.add_argument(
        "--queries", type=Path, metavar="FILE", help="texts for the sheet of answers, one a line"
    )


def _add_model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--lock",
        choices=("image", "text", "none"),
        default="image",
        help="which tower stays (default: image)",
    )
    group.add_argument(
        "--unfreeze",
        type=int,
        metavar="N",
        help="layer groups at the end of the image tower that learn (default: 1 with --lock image, else all)",
    )
    group.add_argument(
        "--teacher",
        default="start",
        metavar="MODEL",
        help="keep the text tower near this model's; start: near what it was; none (default: start)",
    )
    group.add_argument(
        "--near", type=float, metavar="WEIGHT", help="how much that counts beside the pairs (default: 1)"
    )


def _add_course_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--epochs", type=positive, metavar="N", help="times through the photos (default: 15)")
    group.add_argument("--steps", type=positive, metavar="N", help="stop after this many steps instead")
    group.add_argument("--batch", type=positive, metavar="N", help="pairs in one step (default: 256)")
    group.add_argument(
        "--piece",
        type=positive,
        metavar="N",
        help="pairs in memory at once: less memory, more time, the same result (default: 256)",
    )
    group.add_argument(
        "--loss", choices=("clip", "siglip"), default="clip", help="which loss (default: clip)"
    )
    group.add_argument(
        "--lr", type=float, metavar="RATE", help="learning rate (default: by the model's size)"
    )
    group.add_argument(
        "--average", type=float, metavar="DECAY", help="average the weights over the steps, such as 0.99"
    )
    group.add_argument(
        "--keep",
        type=float,
        metavar="SHARE",
        help="how much of the starting weights the result keeps, 0 to 1 (default: 0)",
    )
    group.add_argument(
        "--views", type=positive, metavar="N", help="crops of each photo, computed once (default: 4)"
    )
    group.add_argument(
        "--no-cache", action="store_true", help="decode and crop anew in each epoch: slow, more varied"
    )
    group.add_argument("--seed", type=int, metavar="N", help="another seed, another order (default: 0)")
    group.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="where it runs")
    group.add_argument("--precision", choices=("auto", "fp32", "bf16"), help="number format")


def _add_vqgan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="a folder of pictures, .tar shards (WebDataset), or the word library: your indexed photos",
    )
    parser.add_argument("--name", metavar="NAME", help="what to call the new network")
    parser.add_argument("--out", type=Path, metavar="DIR", help="its folder (default: in the library)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    parser.add_argument(
        "--from", dest="start", metavar="NAME", help="train an added VQGAN further (default: a new network)"
    )
    parser.add_argument(
        "--recipe",
        default="small",
        metavar="NAME",
        help="network and options: small, coarse, builtin (the one inside the package), paper (default: small)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting of the recipe, such as n_embed=4096; may be repeated",
    )
    parser.add_argument(
        "--features",
        default="builtin",
        metavar="MODEL",
        help="the CLIP by whose layers pictures are compared, or none (default: builtin)",
    )
    parser.add_argument(
        "--hold-back", type=float, metavar="SHARE", help="pictures kept for measuring (default: 0.05)"
    )
    _add_vqgan_course(parser.add_argument_group("how"))


def _add_vqgan_course(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--steps", type=positive, metavar="N", help="how many steps (default: 20000)")
    group.add_argument("--batch", type=positive, metavar="N", help="pictures in one step (default: 16)")
    group.add_argument("--crop", type=positive, metavar="PX", help="how much of each is seen (default: 96)")
    group.add_argument("--lr", type=float, metavar="RATE", help="learning rate (default: 0.0003)")
    group.add_argument("--seed", type=int, metavar="N", help="another seed, another order (default: 0)")
    group.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="where it runs")
    group.add_argument("--precision", choices=("auto", "fp32", "bf16"), help="number format")


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
        help="change a setting of the recipe, such as tail_steps=180; may be repeated",
    )
    parser.add_argument("--small", action="store_true", help="try all steps in minutes; the model is bad")


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
