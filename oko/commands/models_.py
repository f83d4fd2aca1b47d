"""the models: which there are, and which this library uses"""

from __future__ import annotations

import argparse
from pathlib import Path

from oko import exits
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes: an action of its own, `list` when none is named."""
    parser.add_argument("--json", action="store_true", help="with list and use: print one JSON object")
    parser.set_defaults(action="list")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    shared = _shared_options()
    _action(actions, "list", "show every model", shared)
    add = _action(actions, "add", "give a local CLIP checkpoint a name", shared)
    add.add_argument("name", metavar="NAME", help="what to call it")
    add.add_argument(
        "--arch",
        required=True,
        metavar="ARCH",
        help="its architecture, as open_clip names it (ViT-B-32, ...)",
    )
    add.add_argument(
        "--weights", required=True, type=Path, metavar="FILE", help="its weights (.safetensors, .pt)"
    )
    remove = _action(actions, "remove", "forget a name that was added; the file stays", shared)
    remove.add_argument("name", metavar="NAME", help="the name")
    use = _action(actions, "use", "download a model, embed all photos with it, then search with it", shared)
    _add_use_options(use)


def _add_use_options(use: argparse.ArgumentParser) -> None:
    use.add_argument(
        "name", metavar="NAME", help="the model; ARCH/PRETRAINED and hf-hub:ORG/NAME are names too"
    )
    use.add_argument(
        "--anyway",
        action="store_true",
        help="switch although some photos could not be embedded: failed, or on a drive that is away",
    )
    use.add_argument(
        "--nice", action="store_true", help="run gently in the background: low priority, one core"
    )
    use.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="where it runs")
    use.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), help="its number format")
    use.add_argument("--batch-size", type=int, metavar="N", help="photos per step of the model")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    about: str,
    shared: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    return actions.add_parser(name, help=about, description=about, parents=[shared])


def _shared_options() -> argparse.ArgumentParser:
    """The common options once more, so that they may also follow the action; unset they leave the earlier ones be."""
    from oko.cli import common_options

    common = common_options()
    common.add_argument("--json", action="store_true", help="print one JSON object")
    for option in common._actions:
        option.default = argparse.SUPPRESS
    return common


def run(args: argparse.Namespace, context: Context) -> int:
    """Do the action."""
    from oko import modelling

    match args.action:
        case "add":
            modelling.add(context, args.name, args.arch, args.weights)
        case "remove":
            modelling.remove(context, args.name)
        case "use":
            return _use(args, context)
        case _:
            modelling.print_list(context, as_json=args.json)
    return exits.DONE


def _use(args: argparse.Namespace, context: Context) -> int:
    from oko import modelling, power

    if args.nice:
        power.be_gentle()
    is_switched = modelling.use(context, args.name, anyway=args.anyway, as_json=args.json)
    return exits.DONE if is_switched else exits.FAILED
