"""`oko tag --write-xmp` and `--read-keywords`: between the library's tags and the files beside and in photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from library.catalog import reading
from library.catalog.tagging import CONFIRMED, REJECTED
from library.catalog.writing import now
from library.errors import SidecarUnusable
from library.keywords import keywords_of
from library.records import display_path
from library.sidecars import Keyword, sidecar_to_write, write_keywords
from library.vocabulary import OWN_GROUP
from oko import assemble
from oko.context import Context
from oko.tagging import photos_on_disk, vocabulary_of
from oko.tagnames import TagNames
from oko.transfers import transfer_bar

BATCH = 500
PROBLEMS_KEPT = 1_000


@dataclass(slots=True)
class FilesReport:
    """What was written or read. Counts are files for writing, photos for reading."""

    looked_at: int = 0
    changed: int = 0
    keywords: int = 0  # decisions that were new
    problems: list[str] = field(default_factory=list)

    def refuse(self, sentence: str) -> None:
        """Note what could not be read or written."""
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(sentence)


def write_sidecars(context: Context, *, confirmed_only: bool) -> FilesReport:
    """Write the tags of every photo on disk into the sidecars of all its files. A file that fails is reported."""
    report = FilesReport()
    vocabulary = vocabulary_of(context.config)
    with (
        assemble.reading(context.folder, context.config) as store,
        transfer_bar(context, "Writing sidecars") as progress,
    ):
        photos = photos_on_disk(store)
        groups = {tag.name: tag.group for tag in vocabulary.tags if tag.group != OWN_GROUP}
        for start in range(0, len(photos), BATCH):
            batch = photos[start : start + BATCH]
            with store.catalog.reading() as c:
                tags = reading.photo_tags(c, [key for key, _ in batch])
            for key, files in batch:
                rows = tags.get(key, [])
                words = _keywords(rows, groups, confirmed_only=confirmed_only)
                rejected = [row.name for row in rows if row.state == REJECTED]
                for path in files:
                    report.looked_at += 1
                    sidecar = sidecar_to_write(path)
                    try:
                        report.changed += write_keywords(sidecar, words, rejected=rejected)
                    except SidecarUnusable as e:
                        report.refuse(f"{display_path(sidecar)}: {e.message}")
            progress(start + len(batch), len(photos))
    return report


def _keywords(rows: Sequence[Any], groups: dict[str, str], *, confirmed_only: bool) -> list[Keyword]:
    found = []
    for row in rows:
        if row.state == REJECTED or (confirmed_only and row.state != CONFIRMED):
            continue
        found.append(Keyword(row.name, groups.get(row.name, ""), is_suggested=row.state != CONFIRMED))
    return found


def read_keywords(context: Context) -> FilesReport:
    """Take the keywords that photos carry over as confirmed tags, where nobody decided otherwise here."""
    report = FilesReport()
    with (
        assemble.writing(context.folder, context.config, purpose=context.purpose) as store,
        transfer_bar(context, "Reading keywords") as progress,
    ):
        photos = photos_on_disk(store)
        spelled = TagNames.of(store, context.config)
        for start in range(0, len(photos), BATCH):
            batch = photos[start : start + BATCH]
            rows = [
                {"photo_id": key, "name": name, "state": CONFIRMED, "score": None, "decided_at": now()}
                for key, files in batch
                for name in _names(files, spelled, report)
            ]
            new = store.add_decisions(rows)
            report.keywords += new
            progress(start + len(batch), len(photos))
    return report


def _names(files: Sequence[Path], spelled: TagNames, report: FilesReport) -> Iterator[str]:
    seen: set[str] = set()
    report.looked_at += 1
    for path in files:
        names, problems = keywords_of(path)
        for problem in problems:
            report.refuse(problem)
        seen.update(map(spelled.taken_up, names))
    report.changed += bool(seen)
    yield from sorted(seen)
