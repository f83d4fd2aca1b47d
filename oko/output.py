"""The flags that say in which shape a list of photos is wanted; `oko search` and `oko duplicates` share them."""

from __future__ import annotations

import argparse
from pathlib import Path

from library.errors import UsageError

SHEET_FORMATS = (".png", ".jpg", ".jpeg", ".webp")
THUMBNAILS = ("auto", "always", "never")


def add_output(parser: argparse.ArgumentParser, *, json: str, csv: str, paths: str) -> None:
    """--json, --csv, --paths, -0, whose help is given, --preview, --thumbnails; and files beside the list."""
    group = parser.add_argument_group("output")
    shape = group.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help=json)
    shape.add_argument("--csv", action="store_true", help=csv)
    shape.add_argument("--paths", action="store_true", help=f"{paths}, one a line")
    shape.add_argument("-0", "--null", action="store_true", help=f"{paths}, a NUL after each (for xargs -0)")
    shape.add_argument(
        "--preview",
        action="store_true",
        help="draw the photos large in the terminal, in coloured blocks if need be",
    )
    group.add_argument(
        "--thumbnails",
        choices=THUMBNAILS,
        default="auto",
        help="small photos in the table; auto: in terminals that draw pictures (kitty, iTerm2, sixel)",
    )
    group = parser.add_argument_group("files (beside the list)")
    group.add_argument(
        "--contact-sheet",
        "--sheet",  # its name in the first version
        dest="sheet",
        type=Path,
        metavar="FILE",
        help="write the thumbnails as one picture (.png, .jpg, .webp)",
    )
    group.add_argument(
        "--copy-to",
        type=Path,
        metavar="DIR",
        help="copy the photos there, with numbered names that keep the order; nothing is overwritten",
    )
    group.add_argument(
        "--link-to", type=Path, metavar="DIR", help="the same with symbolic links instead of copies"
    )


def check_files(args: argparse.Namespace) -> None:
    """Before any work is done. Raises UsageError for a place that cannot be written to."""
    check_sheet(args.sheet)
    for flag in ("copy_to", "link_to"):
        folder = getattr(args, flag)
        if folder is not None and folder.exists() and not folder.is_dir():
            raise UsageError(f"--{flag.replace('_', '-')} {folder}: this is a file, not a folder")


def check_sheet(path: Path | None) -> None:
    """Raises UsageError for a contact sheet in a format there is not, or in a folder that is not there."""
    if path is None:
        return
    if path.suffix.lower() not in SHEET_FORMATS:
        raise UsageError(f"--contact-sheet {path}: the name must end in {', '.join(SHEET_FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--contact-sheet {path}: there is no folder {path.absolute().parent}")
