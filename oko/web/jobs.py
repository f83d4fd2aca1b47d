"""Jobs over HTTP: start, look, cancel, and follow as server-sent events."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Header, Response
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse

from library.catalog import reading
from library.errors import UsageError
from oko.jobs import sketch_path
from oko.web.answers import Job, JobAnswer, JobsAnswer, StartJob
from oko.web.failures import NotThere, documented
from oko.web.serving import Desk, Serving

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

LOOK_S = 0.25
HEARTBEAT_S = 15.0  # less than what proxies and phones take for a dead connection
RETRY_MS = 2_000
# Event ids of another run of the server mean nothing to this one.
_run = secrets.token_hex(4)

JobId = Annotated[str, InPath(max_length=64)]
LastEventId = Annotated[
    str | None, Header(description="the id of the last event that came: sent by browsers")
]


@router.get("", operation_id="list_jobs", responses=documented())
def list_jobs(serving: Desk) -> JobsAnswer:
    """The library's jobs, those at work first; also those that were started elsewhere, and the watcher."""
    return JobsAnswer(jobs=serving.jobs.all())


@router.post("", operation_id="start_job", status_code=202, responses=documented(400, 409, 422))
def start_job(serving: Desk, wanted: StartJob) -> JobAnswer:
    """Index folders, or suggest tags; one job at a time. It goes on when the server ends."""
    if wanted.kind != "index" and wanted.folder_ids is not None:
        raise UsageError("folder_ids belong to a job of the kind index", hint="Leave them out.")
    return JobAnswer(job=serving.jobs.start(wanted.kind, _folders(serving, wanted.folder_ids or ())))


def _folders(serving: Serving, ids: Any) -> list[Path]:
    with serving.store.catalog.reading() as c:
        known = {root.id: root.path for root in reading.roots(c)}
    strange = [str(key) for key in ids if key not in known]
    if strange:
        raise UsageError(f"there is no folder {', '.join(strange)}", hint="All folders: /api/folders")
    return [known[key] for key in ids]


@router.get("/{job_id}", operation_id="get_job", responses=documented(404, 422))
def get_job(serving: Desk, job_id: JobId) -> JobAnswer:
    """How a job is."""
    return JobAnswer(job=serving.jobs.get(job_id)[0])


@router.get(
    "/{job_id}/picture",
    operation_id="get_job_picture",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}}, **documented(404, 422)},
)
def get_picture(serving: Desk, job_id: JobId) -> Response:
    """The picture so far of a job that paints."""
    job = serving.jobs.get(job_id)[0]
    try:
        data = sketch_path(serving.jobs.folder).read_bytes() if job.sketched else b""
    except OSError:
        data = b""
    if not data:
        raise NotThere(f"job {job_id} has no picture", hint="Only painting has, from its first step on.")
    return Response(data, media_type="image/webp", headers={"Cache-Control": "no-store"})


@router.delete("/{job_id}", operation_id="cancel_job", status_code=202, responses=documented(404, 409, 422))
def cancel_job(serving: Desk, job_id: JobId) -> JobAnswer:
    """Ask a job to end. What it has done is kept."""
    return JobAnswer(job=serving.jobs.cancel(job_id))


@router.get(
    "/{job_id}/events",
    operation_id="follow_job",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "progress ..., then done or failed"},
        204: {"description": "the job has ended, and its last event has come: do not connect again"},
        **documented(404, 422),
    },
)
async def follow_job(serving: Desk, job_id: JobId, last_event_id: LastEventId = None) -> Response:
    """A job as it goes on: server-sent events `progress`, then one `done` or `failed`; each holds the job.

    An event is the whole state, so a reader that was away for a while gets the newest one, and misses nothing.
    """
    job, version = await _get(serving, job_id)
    seen = _version(last_event_id)
    if not job.running and seen == version:
        return Response(status_code=204)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(serving, job_id, seen), media_type="text/event-stream", headers=headers)


async def _get(serving: Serving, job_id: str) -> tuple[Job, int]:
    return await anyio.to_thread.run_sync(serving.jobs.get, job_id, limiter=serving.following)


def _version(last_event_id: str | None) -> int | None:
    run, _, number = (last_event_id or "").partition("-")
    return int(number) if run == _run and number.isdecimal() and len(number) < 10 else None


async def _events(serving: Serving, job_id: str, seen: int | None) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    sent_at = time.monotonic()
    while not serving.stopping.is_set():
        job, version = await _get(serving, job_id)
        if version != seen:
            yield _event(job, version)
            seen, sent_at = version, time.monotonic()
        elif time.monotonic() - sent_at >= HEARTBEAT_S:
            yield ": still here\n\n"
            sent_at = time.monotonic()
        if not job.running:
            return
        await asyncio.sleep(LOOK_S)


def _event(job: Job, version: int) -> str:
    name = "progress" if job.running else "done" if job.phase == "done" else "failed"
    return f"id: {_run}-{version}\nevent: {name}\ndata: {json.dumps(job.model_dump())}\n\n"
