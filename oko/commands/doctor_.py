"""find what is wrong with the library, and mend it"""

from __future__ import annotations

import argparse

from oko.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--check", action="store_true", help="only look, and exit with 1 if something is wrong that matters"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, context: Context) -> int:
    """Examine, mend, and print."""
    from oko import doctor

    findings = doctor.examine_library(context, mend=not args.check)
    doctor.print_findings(context, findings, check=args.check, as_json=args.json)
    return doctor.exit_code(findings)
