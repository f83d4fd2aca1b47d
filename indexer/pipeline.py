"""The indexing run: composes scan, compare, decode, embed and write, and says how far it is."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from indexer.changes import Changes, compare
from indexer.decode import Decoder, Limits, Prepared
from indexer.embed import embed
from indexer.scan import Rules, Scan, ScanLog
from indexer.targets import NO_ID, Target, planned_targets, targets_for
from library.ahead import ordered_map
from library.catalog import reading
from library.collector import held_back
from library.encoder import Encoder
from library.records import (
    FailedFile,
    FileRow,
    FileStamp,
    FileState,
    IndexReport,
    KnownPhoto,
    ModelStamp,
    NewPhoto,
    Root,
    display_path,
)
from library.store import Store

log = logging.getLogger(__name__)

# Files that need no embedding are written in batches of this size.
WRITE_BATCH = 512
PROBLEMS_SHOWN = 10
SCAN_STEP = 500


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run needs to know."""

    rules: Rules
    limits: Limits
    batch_size: int
    workers: int
    retry: bool = False  # try unreadable files again
    limit: int | None = None  # read at most so many files


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. In phase "scan", `done` files were seen and `total` is None."""

    phase: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class _Known:
    """Contents that have a vector. Of this run's, only those of sizes that occur twice: memory stays flat."""

    contents: set[bytes]
    repeated_sizes: set[int]

    def note(self, written: _Pending) -> None:
        """Remember what a batch has just written."""
        self.contents.update(
            i.content_sha256 for i in written.prepared if i.stamp.size_bytes in self.repeated_sizes
        )


@dataclass(slots=True)
class _Pending:
    """What has been read and not been written yet."""

    prepared: list[Prepared] = field(default_factory=list)
    known: list[KnownPhoto] = field(default_factory=list)
    failed: list[FailedFile] = field(default_factory=list)

    def take(self, item: Prepared | KnownPhoto | FailedFile, known: _Known) -> None:
        """Sort one result in; a copy of what is known by now, or of what waits here, is not embedded again."""
        match item:
            case Prepared(stamp=stamp, content_sha256=sha256):
                if sha256 in known.contents or any(sha256 == other.content_sha256 for other in self.prepared):
                    self.known.append(KnownPhoto(stamp, sha256))
                else:
                    self.prepared.append(item)
            case KnownPhoto():
                self.known.append(item)
            case FailedFile():
                self.failed.append(item)

    def __len__(self) -> int:
        return len(self.prepared) + len(self.known) + len(self.failed)


class IndexRun:
    """One run over some roots. Iterate `steps()`; `report` is right at every moment, also after an interruption."""

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        settings: Settings,
        *,
        model_name: str | None = None,
        on_batch: Callable[[Sequence[NewPhoto]], None] | None = None,
    ) -> None:
        """`model_name` is recorded as the library's own model, if it has none yet, before the first photo."""
        self.store = store
        self.encoder = encoder
        self.settings = settings
        self.report = IndexReport()
        self._model_name = model_name
        self._on_batch = on_batch
        self._model_id = NO_ID

    def steps(self, paths: Sequence[Path] = ()) -> Iterator[Progress]:
        """Do the run over some folders or files, or over every known folder. What was written when it is left stays.

        Raises UsageError for a path that is neither there nor known, before the model is loaded.
        """
        targets = targets_for(self.store, paths, self.settings.rules)
        self._begin()
        run_id = self.store.start_run("index")
        started = time.monotonic()
        complete = False
        try:
            plans = []
            for target in targets:
                changes = yield from look(self.store, self._model_id, self.settings, target, self.report)
                self._apply(target, changes)
                plans.append((target, changes))
            yield from self._index(plans)
            complete = True
        finally:
            self.report.interrupted = not complete
            self.report.elapsed_s = time.monotonic() - started
            self.store.finish_run(run_id, json.dumps(dataclasses.asdict(self.report)))
        self.store.save_index(self._model_id, self.encoder.stamp.dim)

    def survey(self, target: Target, on_folder: Callable[[bytes], None] | None = None) -> Changes:
        """Scan a root (or its part) and write what needs no reading; the rest is in the answer's `work`."""
        self._begin()
        looking = look(self.store, self._model_id, self.settings, target, self.report, on_folder)
        changes = finish(looking)
        self._apply(target, changes)
        return changes

    def steps_at(self, target: Target, paths: Collection[bytes]) -> Iterator[Progress]:
        """Bring some files of a root (relative paths, gone ones too) up to date, looking at nothing else.

        Leaves no record of a run, and the saved index as it is: readers catch up with a few changes by themselves.
        """
        self._begin()
        changes = look_at(self.store, self._model_id, self.settings, target, paths, self.report)
        # That many of so few files vanished says nothing here: each was asked for because something happened to it.
        self._apply(target, changes, is_whole=False)
        yield from self._index([(target, changes)])

    def _begin(self) -> None:
        self._model_id = self.store.use_model(self.encoder.stamp)
        if self._model_name is not None and self.store.default_model() is None:
            self.store.set_default_model(self._model_name)

    def _apply(self, target: Target, changes: Changes, *, is_whole: bool = True) -> None:
        away = not os.path.isdir(target.root.path)
        offline = away or (is_whole and changes.is_suspicious(whole_root=not target.below))
        self.store.apply(
            target.root.id,
            moved=changes.moved,
            returned=changes.returned,
            restamped=changes.restamped,
            missing=[*changes.missing, *changes.excluded],
            offline=offline,
        )
        if offline:
            self.report.offline_roots.append(display_path(target.root.path))
        _count(self.report, changes)

    # Indexing

    def _index(self, plans: Sequence[tuple[Target, Changes]]) -> Iterator[Progress]:
        left = self.settings.limit
        work = []
        for target, changes in plans:
            files = changes.work if left is None else changes.work[:left]
            left = None if left is None else left - len(files)
            work.append((target, changes, files))
        total, done = sum(len(files) for _, _, files in work), 0
        yield Progress("index", 0, total)
        started = time.monotonic()
        for target, changes, files in work:
            for written in self._write_all(target.root, files):
                done += written
                self.report.embed_s = time.monotonic() - started
                yield Progress("index", done, total)
            if changes.absorbed:
                self.store.absorb(target.root.id, changes.absorbed)

    def _write_all(self, root: Root, files: Sequence[FileStamp]) -> Iterator[int]:
        """Read, embed and write the files; yields how many were written."""
        while files:
            lost: list[FileStamp] = []
            pending = _Pending()
            known = self._known(files)
            for item in self._decoded(root, files, known):
                pending.take(item, known)
                if len(pending.prepared) >= self.settings.batch_size or len(pending) >= WRITE_BATCH:
                    yield self._write(root, pending, lost)
                    known.note(pending)
                    pending = _Pending()
            if pending:
                yield self._write(root, pending, lost)
            # Content that was known when it was read, and gone when it was to be written, is read once more.
            files = lost

    def _known(self, files: Sequence[FileStamp]) -> _Known:
        sizes = Counter(stamp.size_bytes for stamp in files)
        with self.store.catalog.reading() as c:
            return _Known(
                reading.known_contents(c, sizes, self._model_id), {size for size, n in sizes.items() if n > 1}
            )

    def _decoded(
        self, root: Root, files: Sequence[FileStamp], known: _Known
    ) -> Iterator[Prepared | KnownPhoto | FailedFile]:
        decoder = Decoder(root.path, self.settings.limits, known.contents, self.encoder.prepare)
        workers = self.settings.workers
        yield from ordered_map(decoder, files, workers=workers, ahead=self.settings.batch_size + 2 * workers)

    def _write(self, root: Root, pending: _Pending, lost: list[FileStamp]) -> int:
        new, failed = embed(pending.prepared, self.encoder) if pending.prepared else ([], [])
        failed = [*pending.failed, *failed]
        again = self.store.add(root.id, self._model_id, new, pending.known, failed)
        lost += again
        self.report.embedded += len(new)
        self.report.known += len(pending.known) - len(again)
        for item in failed:
            self._note_failure(root, item)
        if self._on_batch is not None and new:
            self._on_batch(new)
        return len(pending) - len(again)

    def _note_failure(self, root: Root, item: FailedFile) -> None:
        if item.state == FileState.UNREADABLE:
            self.report.unreadable += 1
        elif item.state == FileState.FAILED:
            self.report.failed += 1
        else:
            self.report.missing += 1
        _note_problem(
            self.report,
            f"{display_path(os.path.join(os.fsencode(root.path), item.stamp.path))}: {item.reason}",
        )


def look(
    store: Store | None,
    model_id: int,
    settings: Settings,
    target: Target,
    report: IndexReport,
    on_folder: Callable[[bytes], None] | None = None,
) -> Generator[Progress, None, Changes]:
    """Scan one target and compare it with the catalog; nothing is written but the report."""
    stamps: list[FileStamp] = []
    scan = Scan(target.root.path, settings.rules, target.elsewhere, on_folder)
    with held_back():
        if os.path.isdir(target.root.path):
            for stamp in scan.stamps(target.below):
                stamps.append(stamp)
                if len(stamps) % SCAN_STEP == 0:
                    yield Progress("scan", report.scanned + len(stamps), None)
        report.scanned += len(stamps)
        yield Progress("scan", report.scanned, None)
        _note_scan(report, scan.log)
        rows: list[FileRow] = []
        if store is not None:
            with store.catalog.reading() as c:
                rows = list(reading.file_rows(c, target.root.id, model_id, target.below))
        return compare(stamps, rows, retry=settings.retry, passed_over=scan.passed_over)


def look_at(
    store: Store,
    model_id: int,
    settings: Settings,
    target: Target,
    paths: Collection[bytes],
    report: IndexReport,
) -> Changes:
    """The same for some files of the root alone: those, and what belongs to the same shots."""
    scan = Scan(target.root.path, settings.rules, target.elsewhere)
    stamps = list(scan.stamps_of(paths))
    report.scanned += len(stamps)
    for problem in scan.log.problems:
        _note_problem(report, problem)
    concerned = {*paths, *(s.path for s in stamps), *(path for s in stamps for path in s.companions)}
    with store.catalog.reading() as c:
        rows = list(reading.file_rows_at(c, target.root.id, model_id, concerned))
    return compare(stamps, rows, retry=settings.retry, passed_over=scan.passed_over)


def finish(looking: Generator[Progress, None, Changes]) -> Changes:
    """What a look came to, its progress passed over."""
    while True:
        try:
            next(looking)
        except StopIteration as end:
            changes: Changes = end.value
            return changes


def plan_run(
    store: Store | None, stamp: ModelStamp, settings: Settings, paths: Sequence[Path], report: IndexReport
) -> Iterator[Progress]:
    """Fill the report with what a run would find, `embedded` being the files it would read. Writes nothing."""
    model_id = None
    if store is not None:
        with store.catalog.reading() as c:
            model_id = reading.model_id(c, stamp)
    for target in planned_targets(store, paths, settings.rules):
        changes = yield from look(store, NO_ID if model_id is None else model_id, settings, target, report)
        _count(report, changes)
        left = None if settings.limit is None else settings.limit - report.embedded
        report.embedded += len(changes.work[:left])


def _count(report: IndexReport, changes: Changes) -> None:
    report.unchanged += changes.unchanged
    report.unreadable += changes.unreadable
    report.moved += len(changes.moved)
    report.returned += len(changes.returned)
    report.missing += len(changes.missing)
    report.excluded += len(changes.excluded)
    report.companions += changes.companions


def _note_scan(report: IndexReport, seen: ScanLog) -> None:
    report.skipped = dict(Counter(report.skipped) + seen.skipped)
    for problem in seen.problems:
        _note_problem(report, problem)


def _note_problem(report: IndexReport, sentence: str) -> None:
    if len(report.problems) < PROBLEMS_SHOWN:
        report.problems.append(sentence)
