"""say which of some labels each photo shows (zero-shot)"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from library.errors import UsageError
from oko import exits
from oko.commands.index_ import add_model_options, positive
from oko.context import Context, write_text

if TYPE_CHECKING:
    from oko.classifying import Classified


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="photos or folders; none: everything indexed"
    )
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument(
        "--labels", metavar="A,B,...", help='the labels, separated by commas; one with a comma: "a, b"'
    )
    labels.add_argument(
        "--labels-file",
        type=Path,
        metavar="FILE",
        help="the labels, one a line; lines that begin with # are comments",
    )
    parser.add_argument(
        "--template",
        action="append",
        metavar="TEXT",
        help='prompt template, {} is the label: "a photo of a {}" (repeatable)',
    )
    parser.add_argument(
        "--independent",
        action="store_true",
        help="any number of labels may be true of a photo: a probability for each by itself",
    )
    parser.add_argument(
        "--evaluate",
        action="store_true",
        help="with one folder a class: print top-1, top-5 and what is taken for what (labels: the folders' names)",
    )
    parser.add_argument(
        "-k", "--top", type=positive, default=3, metavar="N", help="how many labels a photo (default: 3)"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--json", action="store_true", help="one JSON object: photos with their labels, and problems"
    )
    shape.add_argument("--csv", action="store_true", help="comma-separated values with a header")
    add_model_options(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Classify, and print the labels of every photo that can be read, as they come."""
    from oko import classifying

    _check(args)
    if args.evaluate:
        return _evaluate(args, context)
    found = classifying.classify(context, args)
    if args.json:
        return _print_json(context, found)
    sound = problems = 0
    if args.csv:
        write_text(_csv_row(["path", "rank", "label", "probability", "cosine"]))
    for photo in found:
        if photo.problem:
            problems += 1
            context.note(f"! {photo.path}: {photo.problem}")
            continue
        sound += 1
        if args.csv:
            write_text("".join(_csv_rows(photo)))
        else:
            answers = (f"{label.name} {label.probability:.0%}" for label in photo.labels)
            context.result(f"{photo.path}: {', '.join(answers)}")
    return exits.FAILED if problems and not sound else exits.DONE


def _check(args: argparse.Namespace) -> None:
    if args.evaluate and not args.paths:
        raise UsageError("--evaluate needs a folder that holds one folder a class")
    if args.labels is None and args.labels_file is None and not args.evaluate:
        raise UsageError("there are no labels to choose from", hint="Give some: --labels cat,dog,car")
    if args.evaluate and args.csv:
        raise UsageError("--evaluate prints a table or --json, no CSV")


def _evaluate(args: argparse.Namespace, context: Context) -> int:
    from oko import classifying, evaluating
    from oko.labels import labels_of

    args.top = evaluating.TOP
    labels = labels_of(args)
    result = evaluating.evaluate(classifying.classify(context, args), args.paths, labels)
    if args.json:
        context.result(json.dumps(result.as_json(), indent=2))
    else:
        for line in result.lines():
            context.result(line)
    return exits.DONE if result.photos or not result.unreadable else exits.FAILED


def _print_json(context: Context, found: Iterable[Classified]) -> int:
    photos: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    for photo in found:
        if photo.problem:
            problems.append({**photo.path_fields, "reason": photo.problem})
        else:
            labels = [dataclasses.asdict(label) for label in photo.labels]
            photos.append({**photo.path_fields, "labels": labels})
    context.result(json.dumps({"photos": photos, "problems": problems}, indent=2))
    return exits.FAILED if problems and not photos else exits.DONE


def _csv_rows(photo: Classified) -> Iterator[str]:
    for rank, label in enumerate(photo.labels, 1):
        path = os.fsdecode(photo.raw_path)
        yield _csv_row([path, rank, label.name, f"{label.probability:.6f}", f"{label.cosine:.6f}"])


def _csv_row(cells: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
