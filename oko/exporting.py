"""`oko export` and `oko import` between the library and files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from library import exchange
from library.catalog import reading
from library.embeddings import export_embeddings
from library.errors import LibraryUnreadable, ModelMismatch, UsageError
from library.models import Registry
from library.overview import library_model
from library.records import ModelStamp, display_path
from library.store import Store
from oko import assemble
from oko.aligned import count
from oko.context import Context

PROBLEMS_SHOWN = 10


def export_tags(context: Context, path: Path | None) -> None:
    """Write every decision to a file, replaced only when all is written, or to standard output."""
    with assemble.reading(context.folder, context.config) as store:
        lines = exchange.export_lines(store)
        if path is None or str(path) == "-":
            for line in lines:
                context.result(line)
            return
        written = _write(path.expanduser(), lines)
    context.note(f"{count(written - 1, 'decision')} written to {display_path(path)}.")


def _write(path: Path, lines: Iterator[str]) -> int:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    written = 0
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as out:
            for line in lines:
                out.write(line + "\n")
                written += 1
        os.replace(temporary, path)
    except OSError as e:
        raise LibraryUnreadable(
            f"{path} cannot be written: {e.strerror}", hint="Look at its folder and permissions."
        ) from e
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return written


def export_vectors(context: Context, folder: Path, name: str | None) -> None:
    """Write the vectors of the library's own model, or of the one named."""
    from oko.transfers import transfer_bar

    with assemble.reading(context.folder, context.config) as store:
        model_id, stamp = _model(context, store, name)
        with transfer_bar(context, "Writing vectors") as progress:
            number = export_embeddings(store, model_id, stamp.dim, folder, progress=progress)
    context.note(
        f"{count(number, 'vector')} of {stamp.name} ({stamp.dim} dimensions) written to {display_path(folder)}."
    )


def _model(context: Context, store: Store, name: str | None) -> tuple[int, ModelStamp]:
    if name in (None, "auto"):
        own = library_model(store)
        if own is None:
            raise UsageError(
                "the library has no vectors yet", hint="Index some photos first: oko index ~/Pictures"
            )
        return own
    canonical = Registry(context.folder).resolve(name or "").canonical_name
    with store.catalog.reading() as c:
        found = [(key, stamp) for key, stamp, n in reading.models(c) if stamp.name == canonical and n]
        others = dict.fromkeys(stamp.name for _, stamp, n in reading.models(c) if n)
    if not found:
        there = ", ".join(others) or "no model"
        raise ModelMismatch(
            f"this library has no vectors made by {name}; it has those of {there}",
            hint=f"Make them: oko index --model {name}",
        )
    return found[-1]


def import_tags(context: Context, path: Path, *, dry_run: bool, as_json: bool) -> None:
    """Take the decisions in a file over, and report."""
    with _opened(path.expanduser()) as lines, contextlib.ExitStack() as stack:
        if dry_run:
            store = stack.enter_context(assemble.reading(context.folder, context.config))
        else:
            store = stack.enter_context(
                assemble.writing(context.folder, context.config, purpose=context.purpose)
            )
        report = exchange.import_lines(store, lines, dry_run=dry_run)
    if as_json:
        context.result(json.dumps({**dataclasses.asdict(report), "planned": dry_run}, indent=2))
        return
    for problem in report.problems[:PROBLEMS_SHOWN]:
        context.note(f"  ! {problem}")
    if report.malformed > PROBLEMS_SHOWN:
        context.note(f"  ! and {report.malformed - PROBLEMS_SHOWN:,} more")
    context.note(_sentence(report, dry_run=dry_run))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        source = path.open("rb")
    except OSError as e:
        raise UsageError(f"{path} cannot be read: {e.strerror}") from e
    with source:
        yield source


def _sentence(report: exchange.ImportReport, *, dry_run: bool) -> str:
    verb = "would be taken over" if dry_run else "taken over"
    rest = (
        (report.unchanged, "known already"),
        (report.older, "older than the library's own"),
        (report.unknown_photos, "about photos that this library does not have"),
        (report.malformed, "not understood"),
    )
    parts = [f"{number:,} {text}" for number, text in rest if number]
    return f"{count(report.written, 'decision')} {verb}" + (f" ({', '.join(parts)})" if parts else "") + "."
