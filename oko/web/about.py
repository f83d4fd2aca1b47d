"""The library as a whole: whether the server is there, how the library is, which folders it has."""

from __future__ import annotations

from fastapi import APIRouter

from library.overview import indexed_folders, look_over
from oko import __version__, jobs, status
from oko.render import path_fields
from oko.web.answers import FolderAnswer, HealthAnswer, StatusAnswer
from oko.web.failures import documented
from oko.web.serving import Desk

router = APIRouter(prefix="/api", tags=["library"])


@router.get("/health", operation_id="get_health", responses=documented())
def get_health() -> HealthAnswer:
    """The server is there, and of this version."""
    return HealthAnswer(status="ok", version=__version__)


@router.get("/status", operation_id="get_status", responses=documented())
def get_status(serving: Desk) -> StatusAnswer:
    """What the library holds, and how it is: the object of `oko status --json`."""
    overview = look_over(serving.store)
    return StatusAnswer(**status.as_json(overview, None), **jobs.as_json(serving.folder))


@router.get(
    "/folders", operation_id="list_folders", response_model_exclude_unset=True, responses=documented()
)
def list_folders(serving: Desk) -> list[FolderAnswer]:
    """The indexed folders, with the number of their files."""
    with serving.store.catalog.reading() as c:
        found = indexed_folders(c)
    return [
        FolderAnswer(
            **path_fields(folder.path),
            id=folder.id,
            name=folder.path.name or str(folder.path),
            files=folder.files,
            missing_files=folder.missing_files,
            scanned_at=folder.scanned_at,
            presence=folder.presence.value,
        )
        for folder in found
    ]
