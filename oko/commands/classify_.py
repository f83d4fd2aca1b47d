"""say which of some labels each photo shows (zero-shot)"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
from pathlib import Path

from oko import exits
from oko.commands.index_ import add_model_options
from oko.context import Context, write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="photos or folders")
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument("--labels", metavar="A,B,...", help="the labels, separated by commas")
    labels.add_argument("--labels-file", type=Path, metavar="FILE", help="the labels, one a line")
    parser.add_argument(
        "--template",
        action="append",
        metavar="TEXT",
        help='prompt template, {} is the label: "a photo of a {}" (repeatable)',
    )
    parser.add_argument(
        "-k", "--top", type=int, default=3, metavar="N", help="how many labels a photo (default: 3)"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="one JSON array of objects")
    shape.add_argument("--csv", action="store_true", help="comma-separated values with a header")
    add_model_options(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Classify, and print the labels of every photo that can be read."""
    from oko import classifying

    found = list(classifying.classify(context, args))
    for photo in found:
        if photo.problem:
            context.note(f"! {photo.path}: {photo.problem}")
    sound = [photo for photo in found if not photo.problem]
    if args.json:
        context.result(
            json.dumps(
                [
                    {**photo.path_fields, "labels": list(map(dataclasses.asdict, photo.labels))}
                    for photo in sound
                ],
                indent=2,
            )
        )
    elif args.csv:
        write_text(_csv(sound))
    else:
        for photo in sound:
            context.result(
                f"{photo.path}: "
                + ", ".join(f"{label.name} {label.probability:.0%}" for label in photo.labels)
            )
    return exits.DONE if sound or not found else exits.FAILED


def _csv(photos: list) -> str:  # type: ignore[type-arg]
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["path", "rank", "label", "probability", "cosine"])
    for photo in photos:
        for rank, label in enumerate(photo.labels, 1):
            table.writerow([photo.path, rank, label.name, f"{label.probability:.6f}", f"{label.cosine:.6f}"])
    return out.getvalue()
