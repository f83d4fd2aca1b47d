"""the models: which there are, and which this library uses"""

from __future__ import annotations

import argparse
from pathlib import Path

from library.errors import UsageError
from oko import exits
from oko.commands.index_ import add_machine_options
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes: an action of its own, `list` when none is named."""
    from oko.cli import add_action

    parser.add_argument("--json", action="store_true", help="with list and use: print one JSON object")
    parser.set_defaults(action="list")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    add_action(actions, "list", "show every model")
    about = "give a local checkpoint of a CLIP or a VQGAN a name"
    # --config, a settings file elsewhere, is the network's here, and gives way.
    _add_add_options(add_action(actions, "add", about, conflict_handler="resolve"))
    remove = add_action(actions, "remove", "forget a name that was added; the file stays")
    remove.add_argument("name", metavar="NAME", help="the name")
    use = add_action(actions, "use", "download a model, embed all photos with it, then search with it")
    _add_use_options(use)


def _add_add_options(add: argparse.ArgumentParser) -> None:
    add.add_argument("name", metavar="NAME", help="what to call it")
    add.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="its weights (.safetensors, .pt; of a VQGAN .ckpt, too), or its folder",
    )
    add.add_argument("--weights", type=Path, metavar="FILE", help="the same")
    add.add_argument(
        "--arch", metavar="ARCH", help="a CLIP's architecture, as open_clip names it (ViT-B-32, ...)"
    )
    add.add_argument(
        "--config", dest="network", type=Path, metavar="YAML", help="what came with a VQGAN's weights"
    )


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
    add_machine_options(use)
    use.add_argument("--batch-size", type=int, metavar="N", help="photos per step of the model")


def run(args: argparse.Namespace, context: Context) -> int:
    """Do the action."""
    from oko import modelling

    match args.action:
        case "add":
            _add(args, context)
        case "remove":
            modelling.remove(context, args.name)
        case "use":
            return _use(args, context)
        case _:
            modelling.print_list(context, as_json=args.json)
    return exits.DONE


def _add(args: argparse.Namespace, context: Context) -> None:
    """A CLIP when its architecture is named, else a VQGAN, whose configuration says all. Raises UsageError."""
    from oko import modelling

    if (args.file is None) == (args.weights is None):
        raise UsageError("name one file of weights", hint="oko models add NAME FILE --config YAML")
    weights = args.file or args.weights
    if args.arch and args.network:
        raise UsageError("--arch is for a CLIP, --config for a VQGAN: give one of them")
    if args.arch:
        modelling.add(context, args.name, args.arch, weights)
    else:
        modelling.add_vqgan(context, args.name, weights, args.network)


def _use(args: argparse.Namespace, context: Context) -> int:
    from oko import modelling, power

    if args.nice:
        power.be_gentle()
    is_switched = modelling.use(context, args.name, anyway=args.anyway, as_json=args.json)
    return exits.DONE if is_switched else exits.FAILED
