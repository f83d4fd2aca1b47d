"""The overview of a library as sentences and as JSON."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from library.overview import Folder, LastRun, ModelUse, Overview, Presence
from library.records import IndexReport, display_path
from oko.aligned import ago, columns, count, percent, print_rows, size
from oko.context import Context
from oko.render import folder_fields, path_fields

PRESENCES = {
    Presence.THERE: "",
    Presence.ABSENT: "not there right now",
    Presence.EMPTY: "empty right now: is its drive connected?",
    Presence.UNREADABLE: "cannot be read",
    Presence.SUSPICIOUS: "much of it was gone at the last scan: is its drive connected?",
}
INDEX_STATES = {
    "current": "index current",
    "empty": "no index",
    "missing": "index missing (the next search makes it)",
    "torn": "index torn (the next search makes it anew)",
    "foreign": "index of another state (the next search makes it anew)",
}
RUN_STATES = {
    "complete": "",
    "interrupted": "interrupted",
    "running": "running now",
    "killed": "ended without a report: it was killed, or the machine went down; run it again",
}

Problem = tuple[bytes, str, str]


def print_overview(context: Context, overview: Overview, jobs: Sequence[tuple[str, str]] = ()) -> None:
    """The overview for people."""
    rows = [
        ("Library", display_path(overview.folder)),
        ("Photos", _photos(overview)),
        ("Files", _files(overview)),
    ]
    rows += _labelled("Folders", columns(map(_folder_cells, overview.roots), right=frozenset({1})))
    models = map(_model_cells, model_names(overview.models), overview.models)
    rows += _labelled("Models", columns(models, right=frozenset({1, 2, 3})))
    rows.append(("Disk", _disk(overview)))
    rows.append(("Last run", _run(overview.last_run)))
    rows.append(("Writing", _writer(overview.writer)))
    rows += jobs
    print_rows(context, rows)


def _labelled(label: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    return [(label if at == 0 else "", line) for at, line in enumerate(lines or ["none"])]


def _photos(overview: Overview) -> str:
    away = overview.photos - overview.photos_on_disk
    return f"{overview.photos:,}" + (f" ({overview.photos_on_disk:,} on disk, {away:,} not)" if away else "")


def _files(overview: Overview) -> str:
    shown = [f"{n:,} {state}" for state, n in overview.files.items() if n or state == "indexed"]
    bad = overview.files["unreadable"] + overview.files["failed"]
    return ", ".join(shown) + ("; which and why: oko status --problems" if bad else "")


def _folder_cells(folder: Folder) -> tuple[str, ...]:
    missing = f"{folder.missing_files:,} missing" if folder.missing_files else ""
    remarks = [missing, f"scanned {ago(folder.scanned_at)}", PRESENCES[folder.presence]]
    return display_path(folder.path), count(folder.files, "file"), "; ".join(filter(None, remarks))


def model_names(models: Sequence[ModelUse]) -> list[str]:
    """A new version of oko may bring new weights of the same name: those that are alike tell their weights."""
    times = Counter(model.stamp.name for model in models)
    return [
        model.stamp.name + (f" ({model.stamp.weights_sha256[:8]})" if times[model.stamp.name] > 1 else "")
        for model in models
    ]


def _model_cells(name: str, model: ModelUse) -> tuple[str, ...]:
    index = (
        INDEX_STATES.get(model.index)
        or f"index behind by {model.index_behind:,} (the next search catches up)"
    )
    own = "the library's own; " if model.is_library_model else ""
    taken = size(model.vectors_bytes + model.index_bytes)
    if model.recall is not None:
        index += f"; search finds {model.recall:.1%} of the ten best, as measured against exact search"
    return name, count(model.photos, "photo"), percent(model.share_complete), taken, own + index


def _disk(overview: Overview) -> str:
    disk = overview.disk
    parts = [f"catalog {size(disk.catalog)}", f"indexes {size(disk.indexes)}"]
    if disk.thumbnails:
        parts[0] += f" (about {size(disk.thumbnails)} of it thumbnails)"
    if disk.wal:
        parts.insert(1, f"write-ahead log {size(disk.wal)}")
    return f"{size(disk.total)}: {', '.join(parts)}"


def _run(run: LastRun | None) -> str:
    if run is None:
        return "none yet"
    text = f"{run.kind}, {ago(run.started_at)}"
    return ": ".join(filter(None, [text, RUN_STATES[run.state], run_sentence(run)]))


def run_sentence(run: LastRun) -> str:
    """What a run did in one sentence; "" for a run that left no report."""
    if run.report is None:
        return ""
    known = {name: run.report[name] for name in IndexReport.__slots__ if name in run.report}
    report = IndexReport(**known)
    parts = [count(report.scanned, "file") + " seen", count(report.embedded, "photo") + " embedded"]
    rest = ((report.moved, "moved"), (report.missing, "gone missing"), (report.unreadable, "unreadable"))
    parts += [f"{number:,} {word}" for number, word in (*rest, (report.failed, "failed")) if number]
    took = f"{report.elapsed_s:.1f} s" if report.elapsed_s < 60 else f"{report.elapsed_s / 60:,.0f} min"
    return f"{', '.join(parts)}, in {took}"


def _writer(writer: dict[str, Any] | None) -> str:
    if writer is None:
        return "nobody"
    if writer["pid"] is None:
        return "a process that did not say which"
    return f"`{writer['purpose']}`, process {writer['pid']}, since {writer['since']}"


def print_problems(context: Context, problems: Sequence[Problem]) -> None:
    """Every file that could not be indexed, and why."""
    for path, state, reason in problems:
        context.result(f"{display_path(path)}: {'' if state == 'unreadable' else state + ': '}{reason}")
    if problems:
        context.note(f"{count(len(problems), 'file')}. Try them again: oko retry")
    else:
        context.note("Every file could be read.")


def as_json(overview: Overview, problems: Sequence[Problem] | None) -> dict[str, Any]:
    """The overview as one object."""
    disk, run = overview.disk, overview.last_run
    found: dict[str, Any] = {
        **folder_fields(overview.folder),
        "model": overview.model,
        "photos": {"total": overview.photos, "on_disk": overview.photos_on_disk},
        "files": overview.files,
        "folders": [_folder_json(folder) for folder in overview.roots],
        "models": [_model_json(model) for model in overview.models],
        "last_run": None if run is None else _run_json(run),
        "disk": {
            "total_bytes": disk.total,
            "catalog_bytes": disk.catalog,
            "wal_bytes": disk.wal,
            "indexes_bytes": disk.indexes,
            "thumbnails_estimated_bytes": disk.thumbnails,
        },
        "writer": overview.writer,
    }
    if problems is not None:
        found["problems"] = [{**path_fields(_path(p)), "state": s, "reason": r} for p, s, r in problems]
    return found


def _path(raw: bytes) -> Path:
    return Path(os.fsdecode(raw))


def _folder_json(folder: Folder) -> dict[str, Any]:
    return {
        **path_fields(folder.path),
        "files": folder.files,
        "missing_files": folder.missing_files,
        "scanned_at": folder.scanned_at,
        "presence": folder.presence.value,
        "offline": folder.is_offline,
    }


def _model_json(model: ModelUse) -> dict[str, Any]:
    return {
        "name": model.stamp.name,
        "weights_sha256": model.stamp.weights_sha256,
        "dim": model.stamp.dim,
        "photos": model.photos,
        "share_complete": round(model.share_complete, 6),
        "is_library_model": model.is_library_model,
        "vectors_bytes": model.vectors_bytes,
        "search": "exact" if model.recall is None else "inverted lists",
        "recall_at_10": model.recall,
        "index": {"state": model.index, "behind": model.index_behind, "size_bytes": model.index_bytes},
    }


def _run_json(run: LastRun) -> dict[str, Any]:
    return {
        "kind": run.kind,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "state": run.state,
        "sentence": run_sentence(run),
        "report": run.report,
    }
