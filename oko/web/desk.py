"""Jobs: started in processes of their own, seen through the files in which they tell about themselves.

A process and not a thread, because indexing decodes whatever people have (a decoder that crashes must not take the
server along), takes processor time that searches would wait for behind Python's one lock, and gives its memory back at
the end. It is the same `oko index` that a person may start, so what was started elsewhere is seen here, too, and what
was started here goes on when the server ends, and tells `oko status` how far it is.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from library.overview import current_writer
from oko import background, jobs
from oko.web.answers import Job
from oko.web.failures import Conflict, NotThere

log = logging.getLogger(__name__)

RATE_WINDOW_S = 30.0
LOOK_AGAIN_S = 0.2  # several who ask at once get the same answer
ENDED_JOBS = 20  # so many are remembered, beside those that run
STARTABLE = ("index", "tag")
ENDABLE = (*STARTABLE, "generate")
PHASES = {
    "starting": "Starting",
    "scan": "Looking at files",
    "index": "Indexing",
    "tag": "Tagging",
    "painting": "Painting",
    "done": "Done",
    "interrupted": "Interrupted; everything done so far is kept",
    "killed": "It was killed, or the machine went down; start it again",
    "failed": "It failed",
    "watching": "Watching",
}

Spawn = Callable[[Path, list[str]], "subprocess.Popen[bytes]"]


@dataclass
class _Child:
    """A process that was started here."""

    kind: str
    process: subprocess.Popen[bytes]
    started_at: str

    @property
    def id(self) -> str:
        return f"{self.kind}-{self.process.pid}"


@dataclass
class _Seen:
    """A job as it was last seen, how often it had changed by then, and how fast it goes."""

    job: Job
    version: int = 1
    points: deque[tuple[float, int]] = field(default_factory=deque)  # (seconds, photos done)


class JobDesk:
    """Starts jobs for one library, one at a time, and tells how all of its jobs are. Any thread may use it."""

    def __init__(self, folder: Path, options: Sequence[str] = (), *, spawn: Spawn = background.spawn) -> None:
        self.folder = folder
        self._options = list(options)
        self._spawn = spawn
        self._child: _Child | None = None
        self._seen: dict[str, _Seen] = {}  # the oldest first
        self._looked_at = float("-inf")
        self._lock = threading.RLock()

    def start(self, kind: str, paths: Sequence[Path] = ()) -> Job:
        """Start a job. Raises Conflict while another one is at work, or somebody writes to the library."""
        with self._lock:
            self._look(at_once=True)
            self._require_idle()
            words = [kind, "--library", str(self.folder), "--quiet", *self._options]
            words += ["--", *map(str, paths)] if paths else []
            child = self._child = _Child(kind, self._spawn(self.folder, words), jobs.utc_now())
            self._look(at_once=True)  # which forgets a child that has ended already
            return self._seen[child.id].job

    def _require_idle(self) -> None:
        for seen in self._seen.values():
            if seen.job.running and seen.job.kind in STARTABLE:
                raise Conflict(
                    f"a job is at work already: {seen.job.kind}, process {seen.job.pid}",
                    hint="Wait until it has ended, or cancel it.",
                )
        writer = current_writer(self.folder)
        # The watcher, and what a person decides, hold the library for moments; a job waits that long by itself.
        if writer is not None and str(writer["purpose"]) not in ("oko watch", "oko serve"):
            raise Conflict(
                f"`{writer['purpose']}`, process {writer['pid']}, is writing to the library",
                hint="Wait until it has finished.",
            )

    def all(self) -> list[Job]:
        """Every job that is known, those at work first, then the newest."""
        with self._lock:
            self._look()
            found = [seen.job for seen in reversed(self._seen.values())]
        return sorted(found, key=lambda job: not job.running)

    def get(self, job_id: str) -> tuple[Job, int]:
        """A job, and a number that grows whenever anything about it changes. Raises NotThere."""
        with self._lock:
            self._look()
            seen = self._seen.get(job_id)
        if seen is None:
            raise NotThere(f"there is no job {job_id}")
        return seen.job, seen.version

    def cancel(self, job_id: str) -> Job:
        """Ask a job to end; it finishes the batch in flight. Raises NotThere, and Conflict for the watcher."""
        with self._lock:
            self._look(at_once=True)
            job, _ = self.get(job_id)
            if job.kind not in ENDABLE:
                raise Conflict("the watcher is not ended from here", hint="End the program that watches.")
            if job.running:
                try:
                    os.kill(job.pid, signal.SIGTERM)
                except ProcessLookupError:
                    log.debug("job %s ended by itself meanwhile", job_id)
                except PermissionError as e:
                    raise Conflict("the job belongs to another user", hint="They have to end it.") from e
            return job

    def _look(self, *, at_once: bool = False) -> None:
        if not at_once and time.monotonic() - self._looked_at < LOOK_AGAIN_S:
            return
        self._looked_at = time.monotonic()
        told = {kind: jobs.read_job(self.folder, kind) for kind in jobs.KINDS}
        if self._child is not None:
            own = told[self._child.kind]
            code = self._child.process.poll()  # also lets the system forget a process that has ended
            if own is None or own["pid"] != self._child.process.pid:
                told[self._child.kind] = _silent(self._child, code)
            if code is not None:
                self._child = None
        for kind, values in told.items():
            if values is not None:
                self._note(kind, values)
        self._end_those_gone({f"{kind}-{values['pid']}" for kind, values in told.items() if values})
        for key in [key for key, seen in self._seen.items() if not seen.job.running][:-ENDED_JOBS]:
            del self._seen[key]

    def _note(self, kind: str, values: dict[str, Any]) -> None:
        key = f"{kind}-{values['pid']}"
        seen = self._seen.get(key)
        job = _job(key, kind, values)
        if seen is None:
            seen = self._seen[key] = _Seen(job)
        rate = _rate(seen.points, job)
        left = (
            (job.total - job.done) / rate if rate and job.total is not None and job.done is not None else None
        )
        job = job.model_copy(
            update={
                "photos_per_s": rate and round(rate, 2) if kind in STARTABLE else None,
                "left_s": None if left is None else round(max(left, 0.0), 1),
            }
        )
        if job != seen.job:
            seen.job, seen.version = job, seen.version + 1

    def _end_those_gone(self, told: set[str]) -> None:
        """A job whose file another one has taken over has ended, in a way that was not seen."""
        for key, seen in self._seen.items():
            if seen.job.running and key not in told:
                update = {"running": False, "phase": "done", "message": PHASES["done"], "left_s": None}
                seen.job, seen.version = seen.job.model_copy(update=update), seen.version + 1


def _silent(child: _Child, code: int | None) -> dict[str, Any]:
    """What to say of a process that has not yet told anything, or never did."""
    values = {"pid": child.process.pid, "started_at": child.started_at, "ended_at": None, "error": None}
    if code is None:
        return {**values, "phase": "starting", "running": True}
    is_stopped = code in (130, -signal.SIGTERM, -signal.SIGINT)
    error = None if is_stopped else f"it ended before it began (exit code {code})"
    phase = "interrupted" if is_stopped else "failed"
    return {**values, "phase": phase, "running": False, "ended_at": jobs.utc_now(), "error": error}


def _job(key: str, kind: Any, values: dict[str, Any]) -> Job:
    phase = str(values["phase"])
    is_counted = kind in ENDABLE
    return Job(
        id=key,
        kind=kind,
        pid=values["pid"],
        phase=phase,
        running=values["running"],
        started_at=values["started_at"],
        ended_at=values["ended_at"],
        done=values.get("done") if is_counted else None,
        total=values.get("total") if is_counted else None,
        photos_per_s=None,
        left_s=None,
        sketched=values.get("sketched") if kind == "generate" else None,
        message=PHASES.get(phase, phase[:1].upper() + phase[1:]),
        error=values["error"],
    )


def _rate(points: deque[tuple[float, int]], job: Job) -> float | None:
    """Photos a second over the last half minute; None while that cannot be told."""
    if not job.running or job.done is None or not job.total:
        return None
    now = time.monotonic()
    if not points or points[-1][1] != job.done:
        points.append((now, job.done))
    while len(points) > 2 and now - points[0][0] > RATE_WINDOW_S:
        points.popleft()
    (began, first), (_, last) = points[0], points[-1]
    return (last - first) / (points[-1][0] - began) if points[-1][0] > began else None
