"""Tags: all there are, and what a person decides about those of a photo.

A decision is one short transaction on a few rows, and no vector changes with it. So it does not wait for the library's
one writer: somebody who indexes for an hour must not keep anybody from accepting a tag. SQLite itself sees to it that
the two do not write at the same moment.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath

from library.catalog import reading, tagging
from library.catalog.tagging import CONFIRMED, REJECTED
from library.vocabulary import LONGEST_NAME
from oko.deciding import write_decisions
from oko.tagging import tag_rows
from oko.tagnames import TagNames
from oko.web.answers import Decide, DecisionAnswer, TagAnswer
from oko.web.failures import documented
from oko.web.photos import PhotoId, photo_row
from oko.web.serving import Desk, Serving

router = APIRouter(prefix="/api", tags=["tags"])

TagName = Annotated[str, InPath(min_length=1, max_length=LONGEST_NAME, description="in any capitals")]


@router.get("/tags", operation_id="list_tags", responses=documented())
def list_tags(serving: Desk) -> list[TagAnswer]:
    """Every tag of the vocabulary and of the library, with the number of photos that have it."""
    return [
        TagAnswer(name=row.name, group=row.group, suggested=row.suggested, confirmed=row.confirmed)
        for row in tag_rows(serving.store, serving.vocabulary)
    ]


@router.put(
    "/photos/{photo_id}/tags/{name:path}", operation_id="decide_tag", responses=documented(400, 404, 409, 422)
)
def decide_tag(serving: Desk, photo_id: PhotoId, name: TagName, decision: Decide) -> DecisionAnswer:
    """Confirm a tag of a photo, or reject it. A name that no tag has makes a new tag, if it is confirmed."""
    photo_row(serving, photo_id)
    is_accepted = decision.state == "confirmed"
    names = TagNames.of(serving.store, serving.config)
    known = names.known(name) if is_accepted else names.require(name)
    write_decisions(serving.store, known, [photo_id], CONFIRMED if is_accepted else REJECTED)
    return DecisionAnswer(id=photo_id, name=known, state=decision.state, is_new=known not in names)


@router.delete(
    "/photos/{photo_id}/tags/{name:path}",
    operation_id="undecide_tag",
    responses=documented(400, 404, 409, 422),
)
def undecide_tag(serving: Desk, photo_id: PhotoId, name: TagName) -> DecisionAnswer:
    """Take back what was decided: the tag is suggested again where a model had suggested it, else it goes."""
    photo_row(serving, photo_id)
    known = TagNames.of(serving.store, serving.config).require(name)
    with serving.store.catalog.reading() as c:
        decided = photo_id in tagging.decisions(c).get(known, {})
    if decided:
        serving.store.clear_decisions(known, [photo_id])
    return DecisionAnswer(id=photo_id, name=known, state=_state(serving, photo_id, known), is_new=False)


def _state(serving: Serving, photo_id: int, name: str) -> Any:
    with serving.store.catalog.reading() as c:
        rows = reading.photo_tags(c, [photo_id]).get(photo_id, [])
    return next((row.state for row in rows if row.name == name), None)
