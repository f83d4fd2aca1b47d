"""`oko forget`: which files are meant, the question before it, and the report after it."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from library.catalog import Connection, forgetting
from library.catalog.forgetting import Chosen
from library.errors import UsageError
from library.overview import Folder, indexed_folders
from library.records import display_path
from library.store import Store
from oko import assemble, exits, jobs
from oko.aligned import count
from oko.context import Context
from oko.render import path_fields
from oko.searching import status
from oko.web.previews import forget_previews

DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}
SHOWN = 10
TRACES = (
    "Another program was using the catalog, or the disk is full, so traces may remain in its free space. "
    "Close the program and run any `oko forget` again."
)


@dataclass(slots=True)
class Selection:
    """What is to be forgotten, and what follows from it."""

    files: list[Chosen] = field(default_factory=list)
    roots: list[Folder] = field(default_factory=list)  # whole indexed folders that go
    protected: list[Folder] = field(default_factory=list)  # offline: their missing files stay
    photos: int = 0  # photos that lose their last file
    decisions: int = 0  # tags confirmed or rejected that go with them

    @property
    def photos_kept(self) -> int:
        """Photos that stay, because another file with the same content does."""
        return len({each.photo_id for each in self.files if each.photo_id is not None}) - self.photos

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to forget."""
        return not (self.files or self.roots)


def forget(context: Context, args: argparse.Namespace) -> int:
    """The whole command."""
    before = _check(args)
    if args.dry_run:
        with assemble.reading(context.folder, context.config) as store:
            selection = _select(store, args, before)
        return _report(context, selection, as_json=args.json, planned=True)
    with assemble.writing(context.folder, context.config, purpose=context.purpose) as store:
        selection = _select(store, args, before)
        if selection.is_empty:
            return _report(context, selection, as_json=args.json)
        if not (args.yes or confirmed(context, _plan_lines(selection))):
            context.note("Nothing was deleted.")
            return exits.DONE
        with status(context, "Forgetting"):
            _, is_clean = store.forget(selection.files, root_ids=[root.id for root in selection.roots])
            forget_previews(context.folder)  # all: they are made again when they are looked at
    return _report(context, selection, as_json=args.json, is_clean=is_clean)


def _check(args: argparse.Namespace) -> str | None:
    """The time before which a file must have gone missing. Raises UsageError for arguments that do not fit."""
    if not args.paths and not args.missing:
        raise UsageError("name files or folders, or give --missing or --model")
    if not args.missing and (args.older_than or args.include_offline):
        raise UsageError("--older-than and --include-offline go with --missing")
    require_answer(args)
    return cutoff(args.older_than) if args.older_than else None


def require_answer(args: argparse.Namespace) -> None:
    """Raises UsageError where somebody would have to be asked and nobody is there."""
    if not (args.yes or args.dry_run or sys.stdin.isatty()):
        raise UsageError(
            "oko forget deletes for good, and nobody is here to be asked",
            hint="Add --yes, or look first: --dry-run",
        )


def cutoff(age: str) -> str:
    """The time that was `age` (30d, 12w, 6m, 1y) ago, as the catalog writes times. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,5})\s*([dwmy])", age.strip().lower())
    if found is None:
        raise UsageError(f"--older-than {age} is not an age", hint="Write 30d, 12w, 6m or 1y.")
    then = datetime.now(UTC) - min(timedelta(days=int(found[1]) * DAYS[found[2]]), timedelta(days=365 * 1000))
    return then.isoformat(timespec="seconds")


def _select(store: Store, args: argparse.Namespace, before: str | None) -> Selection:
    found = Selection()
    with store.catalog.reading() as c:
        roots = indexed_folders(c)
        if args.missing:
            _take_missing(c, found, roots, args, before)
        else:
            for path in args.paths:
                _take(c, found, roots, path)
        found.files = list({each.id: each for each in found.files}.values())
        going = forgetting.photos_losing_all(c, found.files)
        found.photos, found.decisions = len(going), forgetting.decisions_on(c, going)
    return found


def _take(c: Connection, found: Selection, roots: Sequence[Folder], path: Path) -> None:
    """Add what `path` means. Raises UsageError when the library knows nothing there."""
    before = len(found.files), len(found.roots)
    for place in spellings(path):
        for root in roots:
            if root.path == place or place in root.path.parents:
                if root not in found.roots:
                    found.roots.append(root)
                    found.files += forgetting.files_below(c, root.id)
            elif root.path in place.parents:
                found.files += forgetting.files_below(c, root.id, os.fsencode(place.relative_to(root.path)))
        if (len(found.files), len(found.roots)) != before:
            return
    if any(
        root in found.roots
        for root in roots
        for place in spellings(path)
        if root.path in (place, *place.parents)
    ):
        return  # a root named before holds it
    raise UsageError(
        f"the library knows nothing about {display_path(path)}", hint="oko status lists its folders."
    )


def spellings(path: Path) -> list[Path]:
    """The absolute paths that a path on the command line may have in the catalog: as indexed, and through links."""
    plain = Path(os.path.abspath(path.expanduser()))
    found = [Path(os.path.realpath(plain)), Path(os.path.realpath(plain.parent)) / plain.name, plain]
    return list(dict.fromkeys(found))


def _take_missing(
    c: Connection, found: Selection, roots: Sequence[Folder], args: argparse.Namespace, before: str | None
) -> None:
    wanted = [place for path in args.paths for place in spellings(path)]
    for root in roots:
        found_missing = forgetting.missing_files(c, root.id, before=before)
        # What is there after all (an excluded file, say) is back or hidden, not missing.
        files = [each for each in found_missing if not os.path.lexists(each.path)]
        if wanted:
            files = [
                each
                for each in files
                if any(place == each.path or place in each.path.parents for place in wanted)
            ]
        if files and root.is_offline and not args.include_offline:
            found.protected.append(root)
        else:
            found.files += files


def confirmed(context: Context, lines: Sequence[str]) -> bool:
    """Whether somebody who has read these lines says yes."""
    for line in lines:
        context.notes.print(line, markup=False)
    sys.stderr.write("Delete this from the library? The files themselves stay. [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _plan_lines(selection: Selection) -> list[str]:
    lines = [f"  {display_path(root.path)} (the whole folder)" for root in selection.roots]
    within = [
        each.path for each in selection.files if not any(r.path in each.path.parents for r in selection.roots)
    ]
    lines += [f"  {display_path(path)}" for path in within[:SHOWN]]
    if len(within) > SHOWN:
        lines.append(f"  and {len(within) - SHOWN:,} more")
    lines.append(_summary(selection) + ".")
    return lines


def _summary(selection: Selection) -> str:
    text = f"{count(len(selection.files), 'file')}, {count(selection.photos, 'photo')}"
    if selection.decisions:
        text += f" with {count(selection.decisions, 'tag')} that you confirmed or rejected"
    if selection.photos_kept:
        text += f"; {count(selection.photos_kept, 'photo')} stay{'s' if selection.photos_kept == 1 else ''}, "
        text += "having other copies"
    return text


def _report(
    context: Context, selection: Selection, *, as_json: bool, planned: bool = False, is_clean: bool = True
) -> int:
    back = [] if selection.is_empty else _come_back(selection)
    if as_json:
        context.result(
            json.dumps(_as_object(selection, planned=planned, is_clean=is_clean, back=len(back)), indent=2)
        )
        return exits.DONE if is_clean else exits.FAILED
    if planned and not selection.is_empty:
        for line in _plan_lines(selection)[:-1]:
            context.result(line)
    verb = "Would forget" if planned else "Forgotten:"
    context.result("Nothing to forget." if selection.is_empty else f"{verb} {_summary(selection)}.")
    for root in selection.protected:
        context.note(
            f"{display_path(root.path)} seems to be offline; its missing files stay (--include-offline takes them too)."
        )
    if back:
        context.note(
            f"{count(len(back), 'file')} still on disk, which {_who_takes(context)} again, unless you move or "
            'exclude them (exclude = ["..."] in config.toml).'
        )
    if not is_clean:
        context.note(TRACES)
    return exits.DONE if is_clean else exits.FAILED


def _who_takes(context: Context) -> str:
    watcher = jobs.read_job(context.folder, "watch")
    if watcher is not None and watcher["running"]:
        return f"the running `oko watch` (process {watcher['pid']}) takes at its next look"
    return "the next `oko index` takes"


def _come_back(selection: Selection) -> list[Path]:
    """Forgotten files that are still there, in folders that stay indexed."""
    gone = {root.path for root in selection.roots}
    stay = [each.path for each in selection.files if not gone.intersection(each.path.parents)]
    return [path for path in stay if os.path.lexists(path)]


def _as_object(selection: Selection, *, planned: bool, is_clean: bool, back: int) -> dict[str, object]:
    return {
        "planned": planned,
        "files": len(selection.files),
        "photos": selection.photos,
        "photos_kept": selection.photos_kept,
        "decisions": selection.decisions,
        "folders": [path_fields(root.path)["path"] for root in selection.roots],
        "offline_folders": [path_fields(root.path)["path"] for root in selection.protected],
        "still_on_disk": back,
        "traces_removed": is_clean,
    }
