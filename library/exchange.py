"""Tags that people decided on, as JSON Lines: out of one library and into another, joined by content.

The first line says what the file is: {"format": "oko-tags", "version": 1, ...}. Each further line is one
decision on one photo: content_sha256 (hex), paths, name, state ("confirmed" or "rejected"), score, decided_at; or,
of a favourite: content_sha256, paths, favourite (true or false), decided_at.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from library.catalog import Connection, favourites, reading
from library.errors import UsageError
from library.store import Store

FORMAT, VERSION = "oko-tags", 1
BATCH = 2_000
PROBLEMS_KEPT = 1_000
STATES = ("confirmed", "rejected")
MOST_SCORE = 1e6  # a cosine is at most 1; other programs may count in percent
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about one tag of one photo."""

    content_sha256: bytes
    name: str
    state: str  # "confirmed" or "rejected"
    score: float | None
    decided_at: str | None  # ISO 8601


@dataclass(frozen=True, slots=True)
class Favour:
    """Whether a person made a photo a favourite."""

    content_sha256: bytes
    is_favourite: bool
    decided_at: str | None  # ISO 8601


@dataclass(slots=True)
class ImportReport:
    """What an import did. Counts are lines."""

    lines: int = 0
    written: int = 0
    unchanged: int = 0  # the library has the same decision
    older: int = 0  # the library has a newer one, which stays
    unknown_photos: int = 0
    malformed: int = 0
    problems: list[str] = field(default_factory=list)  # the first malformed lines, as sentences

    def refuse(self, number: int, why: str) -> None:
        """Count a line that could not be understood."""
        self.malformed += 1
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(f"line {number}: {why}")


def export_lines(store: Store) -> Iterator[str]:
    """The file, line by line without line ends: its header, then every decision."""
    with store.catalog.reading() as c:
        yield json.dumps({"format": FORMAT, "version": VERSION, "exported_at": _now()})
        for rows in reading.chunked(reading.decided_tags(c), BATCH):
            files = reading.photo_files(c, [row.id for row in rows])
            for row in rows:
                yield json.dumps(_as_json(row, [path for path, _ in files.get(row.id, [])]))
        for rows in reading.chunked(favourites.every_decision(c), BATCH):
            files = reading.photo_files(c, [row.id for row in rows])
            for row in rows:
                yield json.dumps(_favour_json(row, [path for path, _ in files.get(row.id, [])]))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _as_json(row: Any, paths: list[Path]) -> dict[str, Any]:
    decision = {"name": row.name, "state": row.state, "score": row.score, "decided_at": row.decided_at}
    return {**_photo_json(row, paths), **decision}


def _favour_json(row: Any, paths: list[Path]) -> dict[str, Any]:
    return {
        **_photo_json(row, paths),
        "favourite": bool(row.is_favourite),
        "decided_at": row.decided_at,
    }


def _photo_json(row: Any, paths: list[Path]) -> dict[str, Any]:
    raw = [os.fsencode(path) for path in paths]
    found: dict[str, Any] = {
        "content_sha256": row.content_sha256.hex(),
        "paths": [path.decode("utf-8", "replace") for path in raw],
    }
    if any(not _is_utf8(path) for path in raw):
        found["paths_b64"] = [base64.b64encode(path).decode("ascii") for path in raw]
    return found


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def import_lines(store: Store, lines: Iterable[bytes], *, dry_run: bool = False) -> ImportReport:
    """Take decisions over where the library has none, or an older one. `store` must be a writer unless `dry_run`.

    Raises UsageError when the first line does not say that the rest is what `export_lines` writes. A line
    that cannot be understood is counted and skipped.
    """
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    _check_header(next(numbered, (0, b""))[1])
    report = ImportReport()
    for batch in reading.chunked(_decisions(numbered, report), BATCH):
        with store.catalog.reading() as c:
            rows = _newer(c, [each for each in batch if isinstance(each, Decision)], report)
            favours = _newer_favours(c, [each for each in batch if isinstance(each, Favour)], report)
        if not dry_run:
            store.set_decisions(rows)
            store.set_favourites(favours)
    return report


def _check_header(line: bytes) -> None:
    try:
        header = json.loads(line)
        name, version = header["format"], header["version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        name = version = None
    if name != FORMAT or not isinstance(version, int):
        raise UsageError(
            "the file does not begin with oko's own first line",
            hint="oko import reads what oko export wrote.",
        )
    if version > VERSION:
        raise UsageError(
            f"the file was written by a newer oko (its version is {version})",
            hint="Upgrade oko.",
        )


def _decisions(numbered: Iterable[tuple[int, bytes]], report: ImportReport) -> Iterator[Decision | Favour]:
    for number, line in numbered:
        report.lines += 1
        try:
            yield _parse(json.loads(line))
        except UnicodeDecodeError:
            report.refuse(number, "not UTF-8")
        except json.JSONDecodeError as e:
            report.refuse(number, f"not JSON ({e.msg})")
        except RecursionError:
            report.refuse(number, "nested too deeply")
        except ValueError as e:
            report.refuse(number, str(e))


def _parse(row: Any) -> Decision | Favour:
    """One line's content. Raises ValueError saying what is wrong with it."""
    if not isinstance(row, dict):
        raise ValueError("not an object")
    content, name = row.get("content_sha256"), row.get("name")
    if not isinstance(content, str) or not _SHA256.fullmatch(content):
        raise ValueError("content_sha256 must be 64 hexadecimal digits")
    if name is None and "favourite" in row:
        if not isinstance(row["favourite"], bool):
            raise ValueError("favourite must be true or false")
        moment(row.get("decided_at"))
        return Favour(bytes.fromhex(content), row["favourite"], row.get("decided_at"))
    if not isinstance(name, str) or not name.strip() or not _is_text(name):
        raise ValueError("name must be a text")
    if row.get("state") not in STATES:
        raise ValueError(f"state must be {' or '.join(STATES)}")
    decided_at = row.get("decided_at")
    moment(decided_at)
    return Decision(bytes.fromhex(content), name, row["state"], _score(row.get("score")), decided_at)


def _score(value: Any) -> float | None:
    if value is None:
        return None
    # JSON's whole numbers have no limit, and Python reads NaN, too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST_SCORE:
        raise ValueError("score must be a number or null")
    return float(value)


def _is_text(name: str) -> bool:
    # JSON can spell half a surrogate pair, which no database takes.
    return not any("\ud800" <= character <= "\udfff" for character in name)


def moment(decided_at: Any) -> datetime:
    """A decision's time, for comparing; a decision without one is older than any other. Raises ValueError."""
    if decided_at is None:
        return datetime.min.replace(tzinfo=UTC)
    try:
        found = datetime.fromisoformat(decided_at)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("decided_at must be a time such as 2025-07-14T18:03:22+00:00, or null") from None


def _newer(c: Connection, batch: list[Decision], report: ImportReport) -> list[dict[str, Any]]:
    """The rows to write: decisions on known photos that are newer than what is there, the last word of each."""
    photos = reading.photo_ids_of(c, {each.content_sha256 for each in batch})
    tags = reading.photo_tags(c, list(photos.values()))
    there = {(r.photo_id, r.name): (r.state, r.decided_at) for rows in tags.values() for r in rows}
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for each in batch:
        photo_id = photos.get(each.content_sha256)
        if photo_id is None:
            report.unknown_photos += 1
            continue
        key = (photo_id, each.name)
        state, decided_at = there.get(key, ("suggested", None))
        if state in STATES and moment(each.decided_at) <= moment(decided_at):
            same = (each.state, moment(each.decided_at)) == (state, moment(decided_at))
            report.unchanged, report.older = report.unchanged + same, report.older + (not same)
            continue
        report.written += 1
        there[key] = (each.state, each.decided_at)
        rows[key] = {
            "photo_id": photo_id,
            "name": each.name,
            "state": each.state,
            "score": each.score,
            "decided_at": each.decided_at,
        }
    return list(rows.values())


def _newer_favours(c: Connection, batch: list[Favour], report: ImportReport) -> list[dict[str, Any]]:
    """The same for favourites."""
    photos = reading.photo_ids_of(c, {each.content_sha256 for each in batch})
    there = favourites.decisions(c, list(photos.values()))
    known = {key: (bool(row.is_favourite), row.decided_at) for key, row in there.items()}
    rows: dict[int, dict[str, Any]] = {}
    for each in batch:
        key = photos.get(each.content_sha256)
        if key is None:
            report.unknown_photos += 1
        elif key in known and moment(each.decided_at) <= moment(known[key][1]):
            same = (each.is_favourite, moment(each.decided_at)) == (known[key][0], moment(known[key][1]))
            report.unchanged, report.older = report.unchanged + same, report.older + (not same)
        else:
            report.written += 1
            known[key] = (each.is_favourite, each.decided_at)
            values = {"is_favourite": int(each.is_favourite), "decided_at": each.decided_at}
            rows[key] = {"photo_id": key, **values}
    return list(rows.values())
