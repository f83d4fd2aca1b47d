"""Photos that are the same, or nearly: groups of the whole library, and the one of a photo. Nothing is deleted here."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request

from library.catalog import reading
from library.records import Hit
from oko.web.answers import DuplicateGroup, DuplicatesAnswer, DuplicatesOfPhoto
from oko.web.failures import documented
from oko.web.photos import PhotoId, photo_row
from oko.web.searching import MOST_OFFSET, results
from oko.web.serving import Desk, Serving
from search.duplicates import Group, Kind, Limits, find, group_of

router = APIRouter(prefix="/api", tags=["duplicates"])

MOST_GROUPS = 100  # on one page
MOST_SHOWN = 100  # photos of one group; a burst has fewer
# Looking through 300,000 photos takes seconds: not for every photo that is opened.
FRESH_S = 300.0


class DuplicatesCache:
    """The groups of the library as they were found last, by the kinds that were asked for. Any thread may use it."""

    def __init__(self) -> None:
        self._found: dict[frozenset[Kind], tuple[int, float, list[Group]]] = {}
        self._lock = threading.Lock()

    def groups(self, serving: Serving, kinds: frozenset[Kind]) -> list[Group]:
        """The groups, not older than a while, and of the library as its vectors are now."""
        with serving.store.catalog.reading() as c:
            revision = reading.revision(c)
        with self._lock:  # who asks meanwhile waits for the same answer
            known = self._found.get(kinds)
            if known is not None and known[0] == revision and time.monotonic() - known[1] < FRESH_S:
                return known[2]
            found = find(serving.store, serving.model().stamp, Limits(kinds=kinds))
            self._found[kinds] = (revision, time.monotonic(), found)
            return found


@router.get(
    "/duplicates",
    operation_id="list_duplicates",
    response_model_exclude_unset=True,
    responses=documented(409, 422),
)
async def list_duplicates(
    serving: Desk,
    request: Request,
    kind: Annotated[
        Kind, Query(description="several files of one content, saved again, of one scene")
    ] = Kind.NEAR,
    offset: Annotated[int, Query(ge=0, le=MOST_OFFSET)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_GROUPS)] = 20,
) -> DuplicatesAnswer:
    """Groups of photos that are one too many, those first that take most space. The first of a group is to be kept."""
    return await serving.slowly(request, _page, serving, kind, offset, limit)


def _page(serving: Serving, kind: Kind, offset: int, limit: int) -> DuplicatesAnswer:
    groups = serving.duplicates.groups(serving, frozenset({kind}))
    shown = [_answer(serving, group) for group in groups[offset : offset + limit]]
    return DuplicatesAnswer(groups=shown, offset=offset, total=len(groups))


@router.get(
    "/photos/{photo_id}/duplicates",
    operation_id="get_duplicates",
    response_model_exclude_unset=True,
    responses=documented(404, 409, 422),
)
async def get_duplicates(serving: Desk, request: Request, photo_id: PhotoId) -> DuplicatesOfPhoto:
    """The group that a photo is in, of whatever kind; no group for a photo that is the only one of its like."""
    return await serving.slowly(request, _of_photo, serving, photo_id)


def _of_photo(serving: Serving, photo_id: int) -> DuplicatesOfPhoto:
    photo_row(serving, photo_id)
    group = group_of(serving.store, serving.model().stamp, photo_id)
    return DuplicatesOfPhoto(id=photo_id, groups=[] if group is None else [_answer(serving, group)])


def _answer(serving: Serving, group: Group) -> DuplicateGroup:
    ids: Sequence[int] = [member.id for member in group.members]
    hits = [Hit(key, 0.0) for key in ids[:MOST_SHOWN]]
    photos = results(serving, serving.model().searcher.results(hits))
    return DuplicateGroup(
        kind=group.kind.value,
        ids=list(ids),
        photos=photos,
        reason=group.reason,
        saved_bytes=group.saved_bytes,
    )
