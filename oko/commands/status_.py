"""what the library holds, and how it is"""

from __future__ import annotations

import argparse
import json

from oko import exits
from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--problems", action="store_true", help="list every file that could not be read or embedded, and why"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, context: Context) -> int:
    """Look, and print."""
    from library.overview import look_over, problem_rows
    from oko import assemble, jobs, status

    with assemble.reading(context.folder, context.config) as store:
        overview = look_over(store)
        problems = problem_rows(store) if args.problems else None
    if args.json:
        found = {**status.as_json(overview, problems), **jobs.as_json(context.folder)}
        context.result(json.dumps(found, indent=2))
    elif problems is not None:
        status.print_problems(context, problems)
    else:
        status.print_overview(context, overview, jobs.status_rows(context.folder))
    return exits.DONE
