"""find photos by words, by a picture, or by both"""

from __future__ import annotations

import argparse
from pathlib import Path

from oko import exits
from oko.commands.index_ import add_model_options
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("query", nargs="*", metavar="QUERY", help="what the photo shows, in words")
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="find photos that look like this one",
    )
    parser.add_argument(
        "-k", "--top", type=int, metavar="N", help="how many results (default: the setting `top`, 20)"
    )
    parser.add_argument(
        "--all", action="store_true", help="no relevance cut (there is none until relevance is calibrated)"
    )
    add_filters(parser)
    shape = parser.add_argument_group("output").add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="one JSON array of objects")
    shape.add_argument("--csv", action="store_true", help="comma-separated values with a header")
    shape.add_argument("--paths", action="store_true", help="paths only, one a line")
    shape.add_argument(
        "-0", "--null", action="store_true", help="paths only, a NUL after each (for xargs -0)"
    )
    shape.add_argument("--preview", action="store_true", help="draw the photos in the terminal")
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="also write a contact sheet of the results (.png, .jpg, .webp)",
    )
    add_model_options(parser)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Which photos may answer; applied before the ranking."""
    group = parser.add_argument_group(
        "filters (applied before the ranking: N results come back whenever N photos match)"
    )
    group.add_argument(
        "--in",
        dest="folders",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="only photos below this folder",
    )
    group.add_argument("--after", metavar="DATE", help="taken on or after 2023, 2023-07 or 2023-07-14")
    group.add_argument("--before", metavar="DATE", help="taken on or before")
    group.add_argument("--camera", metavar="TEXT", help="camera or lens contains this")
    group.add_argument(
        "--tag", dest="tags", action="append", default=[], metavar="NAME", help="has this tag (repeatable)"
    )
    group.add_argument(
        "--missing", action="store_true", help="also photos that are not on disk at the moment"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Search, and print the results."""
    from oko import assemble, render, searching

    wanted = searching.photo_filter(args)
    render.check_sheet(args.sheet)
    with assemble.reading(context.folder, context.config) as store:
        wanted = searching.with_known_tags(store, context.config, wanted)
        spec = assemble.choose_model(context.folder, context.config, store, context.note)
        searching.require_vectors(store, spec)
        encoder = assemble.make_encoder(spec, context.config)
        with searching.status(context, "Searching"):
            vector = searching.query_vector(context, encoder, " ".join(args.query), args.image)
            results = assemble.make_searcher(store, encoder).search(vector, context.config.top, wanted=wanted)
        render.print_results(context, store, results, args)
        if not results:
            context.note(searching.why_nothing(store, context.config, encoder.stamp, wanted))
    return exits.DONE
