"""Painted pictures in the library: copied into a folder of its own, indexed, tagged."""

from __future__ import annotations

import shutil
from pathlib import Path

from library.catalog.tagging import CONFIRMED
from library.errors import OkoError
from oko import assemble, indexing
from oko.context import Context
from oko.deciding import find_photos, write_decisions
from oko.paintfiles import free_name, write_whole, writing

TAG = "generated"


def painted_folder(context: Context) -> Path:
    """Where pictures go with --add: the setting, else Painted in the user's folder for pictures."""
    import platformdirs

    if context.config.painted_folder:
        return Path(context.config.painted_folder).expanduser().absolute()
    return platformdirs.user_pictures_path() / "Painted"


def made_folder(context: Context) -> Path:
    """That folder, made if need be. Raises UsageError, DiskFull."""
    folder = painted_folder(context)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def add(context: Context, picture: Path) -> tuple[int, Path]:
    """Put a picture into the library; returns its photo id and where its copy is. Raises OkoError."""
    folder = made_folder(context)
    path = picture.absolute()
    if path.parent != folder.absolute():
        path = free_name(folder, picture.name)
        write_whole(path, lambda new: shutil.copyfile(picture, new))
    report = indexing.index(context, [folder])
    if report.interrupted:
        raise KeyboardInterrupt
    with assemble.writing(context.folder, context.config, purpose=context.purpose) as store:
        found = list(find_photos(store, [str(path)]))
        if not found:
            raise OkoError(f"{path} could not be indexed", hint="What is wrong: oko status --problems")
        write_decisions(store, TAG, found, CONFIRMED)
    return found[0], path
