"""An indexing run as the command line shows it: progress, interruption, report."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from indexer.pipeline import IndexRun, Progress, plan_run
from library.catalog import reading as catalog_reading
from library.encoder import Encoder
from library.errors import ModelError, UsageError
from library.records import IndexReport
from library.store import Store
from oko import assemble, jobs
from oko.aligned import count
from oko.context import Context
from oko.power import BatteryPause, paused
from oko.progress import clock, show

log = logging.getLogger(__name__)

# When no run of this library has been timed yet: `builtin` on two cores.
DEFAULT_RATE = 60.0


def index(
    context: Context, paths: Sequence[Path], *, retry: bool = False, limit: int | None = None
) -> IndexReport:
    """Index some folders, or all that are known. Ctrl-C ends it early with everything done so far kept."""
    config = context.config
    assemble.check_paths(context.folder, config, paths)
    with assemble.writing(context.folder, config, purpose=context.purpose, create=bool(paths)) as store:
        _require_folders(store, paths)
        spec = assemble.choose_model(context.folder, config, store, context.note)
        encoder = assemble.make_encoder(spec, config)
        settings = assemble.index_settings(config, context.folder, encoder, retry=retry, limit=limit)
        run = IndexRun(store, encoder, settings, model_name=spec.name)
        with jobs.telling(context.folder, "index") as job:
            try:
                show(_told(context, run.steps(paths), job), context.notes)
            except KeyboardInterrupt:
                run.report.interrupted = True
                job.tell(phase="interrupted")
    if run.report.embedded and not run.report.interrupted:
        prepare_search(context, encoder)
    return run.report


def prepare_search(context: Context, encoder: Encoder) -> None:
    """Embed the texts that relevance is judged by, which the first search would wait for: see `search.relevance`."""
    from search.relevance import null_vectors

    try:
        with assemble.reading(context.folder, context.config) as store:
            null_vectors(store, encoder.stamp, assemble.remembering(encoder))
    except ModelError as e:
        log.debug("the first search will embed its texts itself: %s", e)


def _told(context: Context, steps: Iterator[Progress], job: jobs.Job) -> Iterator[Progress]:
    """The steps of a run, told to `oko status`, and paused while on battery if that is wanted."""
    told = jobs.followed(steps, job)
    if not context.config.pause_on_battery:
        return told
    return paused(told, BatteryPause(), lambda why: job.tell(phase=f"paused: {why}"))


def _require_folders(store: Store, paths: Sequence[Path]) -> None:
    with store.catalog.reading() as c:
        if not paths and not catalog_reading.roots(c):
            raise UsageError("no folder has been indexed yet", hint="Name one: oko index ~/Pictures")


def embed_with(context: Context, store: Store, encoder: Encoder) -> IndexReport:
    """Bring all known folders up to date with one model, whichever the library's own is. Ctrl-C ends it early."""
    run = IndexRun(store, encoder, assemble.index_settings(context.config, context.folder, encoder))
    try:
        show(run.steps([]), context.notes)
    except KeyboardInterrupt:
        run.report.interrupted = True
    return run.report


def plan(context: Context, paths: Sequence[Path], *, limit: int | None = None) -> IndexReport:
    """What `index` would find; nothing is written."""
    config = context.config
    report = IndexReport()
    with assemble.reading_if_there(context.folder, config) as store:
        spec = assemble.choose_model(context.folder, config, store, context.note)
        encoder = assemble.make_encoder(spec, config)
        settings = assemble.index_settings(config, context.folder, encoder, limit=limit)
        show(plan_run(store, encoder.stamp, settings, paths, report), context.notes)
        report.embed_s = report.embedded / (_last_rate(store) or DEFAULT_RATE)
    return report


def _last_rate(store: Store | None) -> float | None:
    """Photos a second of the newest run that embedded enough to tell."""
    if store is None:
        return None
    with store.catalog.reading() as c:
        reports = [
            json.loads(row.report)
            for row in catalog_reading.last_runs(c, 20)
            if row.kind == "index" and row.report
        ]
    for report in reports:
        if report["embedded"] >= 50 and report["embed_s"] > 0:
            return float(report["embedded"] / report["embed_s"])
    return None


def print_report(context: Context, report: IndexReport, *, as_json: bool, planned: bool = False) -> None:
    """The report as JSON on standard output, or in sentences beside it."""
    if as_json:
        values = {**dataclasses.asdict(report), "planned": planned}
        context.result(json.dumps(values, ensure_ascii=True))
        return
    for line in report_lines(report, planned=planned):
        context.note(line)


def report_lines(report: IndexReport, *, planned: bool = False) -> list[str]:
    """The report in sentences."""
    lines = [_headline(report, planned=planned)]
    gone_for_good = "" if report.offline_roots else " (deleted on purpose? oko forget --missing)"
    details = [
        (report.known, "already known by their content, not embedded again"),
        (report.moved, "moved or renamed"),
        (report.returned, "back again"),
        (report.missing, "not there now; everything about them is kept" + gone_for_good),
        (report.excluded, "indexed before and excluded now (hidden; `oko forget PATH` would delete them)"),
        (report.unreadable, "unreadable"),
        (report.failed, "failed; the next run tries them again"),
        (report.companions, "RAW files and live videos counted with their photo"),
    ]
    lines += [f"  {number:>9,} {text}" for number, text in details if number]
    lines += [
        f"  {folder} seems to be offline: nothing was deleted, its photos come back with it"
        for folder in report.offline_roots
    ]
    lines += [f"  ! {problem}" for problem in report.problems]
    if report.unreadable + report.failed > len(report.problems):
        lines.append("  which and why: oko status --problems")
    if report.skipped:
        lines.append(
            "  passed over: " + ", ".join(f"{n:,} {reason}" for reason, n in sorted(report.skipped.items()))
        )
    return lines


def _headline(report: IndexReport, *, planned: bool) -> str:
    if planned:
        return (
            f"Would read {report.embedded:,} of {count(report.scanned, 'file')}, about {clock(report.embed_s)}; "
            f"{report.unchanged:,} are unchanged. Nothing was written."
        )
    word = "Interrupted" if report.interrupted else "Done"
    rate = ""
    if report.embedded and report.embed_s > 1:
        rate = f" ({report.embedded / report.embed_s:,.0f} a second)"
    return (
        f"{word} in {clock(report.elapsed_s)}: {count(report.scanned, 'file')} seen, "
        f"{count(report.embedded, 'photo')} embedded{rate}, {report.unchanged:,} unchanged."
    )
