"""What long-running commands tell `oko status` about themselves: one small file a kind of job in the library folder."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from indexer.pipeline import Progress
from library.errors import LibraryLocked, LibraryUnreadable
from library.folder import owners_alone
from oko.aligned import ago, count

KINDS = ("watch", "index", "tag", "generate")
# Whoever asks looks about once a second at most.
WRITE_EVERY_S = 1.0
CLOCK_SLACK_S = 2.0  # the time of boot, from which a process's beginning is counted, is known to a second


@dataclass
class Job:
    """A job's own side: `tell` what changes. A disk that is full or read-only is no reason to stop."""

    folder: Path
    kind: str
    values: dict[str, Any] = field(default_factory=dict)
    _written_at: float = float("-inf")

    def __post_init__(self) -> None:
        import psutil

        now = utc_now()
        self.values = {
            "kind": self.kind,
            "pid": os.getpid(),
            "began": psutil.Process().create_time(),
            "started_at": now,
            "ended_at": None,
            "phase": "starting",
            "error": None,
            **self.values,
        }
        self._write()

    def tell(self, *, at_once: bool = False, **values: Any) -> None:
        """Change some values; the file follows within a second or so, or at once when the phase changes."""
        if all(self.values.get(name) == value for name, value in values.items()):
            return
        at_once = at_once or values.get("phase", self.values["phase"]) != self.values["phase"]
        self.values.update(values)
        if at_once or time.monotonic() - self._written_at >= WRITE_EVERY_S:
            self._write()

    def end(self, phase: str, *, error: str | None = None) -> None:
        """The job is over."""
        self.tell(at_once=True, phase=phase, ended_at=utc_now(), error=error or self.values["error"])

    def _write(self) -> None:
        self._written_at = time.monotonic()
        path = job_path(self.folder, self.kind)
        with contextlib.suppress(OSError):
            replace_private(path, json.dumps({**self.values, "updated_at": utc_now()}).encode())


def replace_private(path: Path, data: bytes) -> None:
    """A file for the owner's eyes, replaced as a whole."""
    new = path.with_suffix(".new")
    with open(new, "wb", opener=owners_alone) as out:
        out.write(data)
    os.replace(new, path)


def job_path(folder: Path, kind: str) -> Path:
    """Where a job of that kind tells about itself."""
    return folder / f"job-{kind}.json"


def sketch_path(folder: Path) -> Path:
    """Where painting keeps the picture so far, small, for those who follow it: WebP."""
    return folder / "job-generate.webp"


def utc_now() -> str:
    """ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_job(folder: Path, kind: str) -> dict[str, Any] | None:
    """What the newest job of a kind told, with `running`: whether its process lives. None when there was none."""
    try:
        values: dict[str, Any] = json.loads(job_path(folder, kind).read_text(encoding="utf-8"))
        running = values["ended_at"] is None and _is_alive(int(values["pid"]), float(values["began"]))
        values["phase"] = str(values["phase"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not running and values["ended_at"] is None:
        values["phase"] = "killed"
    return {**values, "running": running}


def _is_alive(pid: int, began: float) -> bool:
    """Whether that process runs: one that began at another time has only got its number."""
    import psutil

    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - began) < CLOCK_SLACK_S
        return bool(is_same and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError, ValueError, OverflowError):
        return False


@contextlib.contextmanager
def only_one(folder: Path, kind: str, purpose: str) -> Iterator[None]:
    """See that no other process does this job for the library. Raises LibraryLocked, naming the one that does."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"job-{kind}.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout as e:
        other = read_job(folder, kind) or {}
        who = (
            f"process {other['pid']}, since {other['started_at']}"
            if other
            else "a process that did not say which"
        )
        raise LibraryLocked(
            f"another `{purpose}` is at work on the library in {folder}: {who}",
            hint="One is enough. How it is: oko status",
        ) from e
    except OSError as e:
        raise LibraryUnreadable(
            f"the library folder {folder} cannot be written to: {e.strerror}",
            hint="Look at its owner and permissions.",
        ) from e
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def telling(folder: Path, kind: str) -> Iterator[Job]:
    """A job whose end is told, too, whatever it is."""
    job = Job(folder, kind)
    try:
        yield job
    except KeyboardInterrupt:
        job.end("interrupted")
        raise
    except BaseException as e:
        job.end("failed", error=str(e) or type(e).__name__)
        raise
    job.end("interrupted" if job.values["phase"] == "interrupted" else "done")


def followed(steps: Iterable[Progress], job: Job) -> Iterator[Progress]:
    """The same steps, told as they come."""
    for step in steps:
        job.tell(phase=step.phase, done=step.done, total=step.total)
        yield step


def as_json(folder: Path) -> dict[str, Any]:
    """The jobs for `oko status --json`: "watcher", "indexing" and "painting", each one object or null."""
    return {
        name: _public(read_job(folder, kind))
        for name, kind in (("watcher", "watch"), ("indexing", "index"), ("painting", "generate"))
    }


def _public(job: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if job is None else {name: value for name, value in job.items() if name != "began"}


def status_rows(folder: Path) -> list[tuple[str, str]]:
    """The jobs for `oko status`: those that run, and what went wrong with those that do not."""
    rows = []
    watcher, indexing = read_job(folder, "watch"), read_job(folder, "index")
    if watcher is not None:
        rows.append(("Watching", _watcher_sentence(watcher)))
        trouble = watcher.get("trouble") or watcher.get("last_trouble")
        if trouble:
            when = (
                "now" if watcher.get("trouble") and watcher["running"] else f"last, {ago(trouble['since'])}"
            )
            rows.append(("", f"trouble ({when}): {trouble['message']}. {trouble['hint']}".rstrip(". ") + "."))
    if indexing is not None and (indexing["running"] or indexing["phase"] in ("failed", "killed")):
        rows.append(("Indexing", _indexing_sentence(indexing)))
    painting = read_job(folder, "generate")
    if painting is not None and painting["running"]:
        rows.append(("Painting", _painting_sentence(painting)))
    return rows


def _watcher_sentence(job: dict[str, Any]) -> str:
    if not job["running"]:
        how = {"killed": "it was killed, or the machine went down", "failed": job.get("error") or "it failed"}
        return f"no: ended {ago(job['ended_at'] or job['updated_at'])}" + (
            f"; {how[job['phase']]}" if job["phase"] in how else ""
        )
    parts = [f"process {job['pid']}, {job['phase']}"]
    if job.get("waiting"):
        parts.append(f"{count(job['waiting'], 'file')} to do")
    if job.get("folders_watched"):
        parts.append(f"{count(job['folders_watched'], 'folder')} watched")
    if job.get("folders_polled"):
        parts.append(f"{job['folders_polled']:,} looked at now and then")
    return ", ".join(parts)


def _painting_sentence(job: dict[str, Any]) -> str:
    done = f", {job['done']:,} of {count(job['total'], 'step')}" if job.get("total") else ""
    return f"process {job['pid']}{done}" + (f": {job['picture']}" if job.get("picture") else "")


def _indexing_sentence(job: dict[str, Any]) -> str:
    if not job["running"]:
        why = job.get("error") or "it was killed, or the machine went down; run it again"
        return f"no: {job['phase']} {ago(job['ended_at'] or job['updated_at'])}; {why}"
    total = job.get("total")
    done = f"{job.get('done') or 0:,} of {count(total, 'file')}" if total is not None else "looking at files"
    return f"process {job['pid']}, {done}" + (
        f", {job['phase']}" if job["phase"].startswith("paused") else ""
    )
