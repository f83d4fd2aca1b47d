"""Search over HTTP: a text in the query language, and pictures that were handed in before."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from library.catalog import reading
from library.records import ModelStamp, SearchResult
from oko import remarks, searching
from oko.remote import FURTHER
from oko.render import as_json
from oko.searching import Request
from oko.web.answers import Result, SearchAnswer, TaggedAnswer
from oko.web.failures import documented
from oko.web.photos import version_of
from oko.web.pictures import vector_of
from oko.web.serving import Desk, Serving
from oko.web.suggesting import LONGEST_QUERY
from search.query import parse
from search.rank import SearchPage, Sort

router = APIRouter(prefix="/api", tags=["search"])

MOST_OFFSET = 2**31 - 1
MOST_RESULTS = 1_000  # on one page; there may be any number of pages
MOST_PICTURES = 8


@router.get(
    "/search",
    operation_id="search",
    response_model=SearchAnswer,
    responses=documented(400, 404, 409, 422),
)
def search(
    serving: Desk,
    q: Annotated[str, Query(max_length=LONGEST_QUERY, description="words and filters, as on the page")] = "",
    picture: Annotated[
        list[str] | None, Query(max_length=MOST_PICTURES, description="ids of POST /api/pictures")
    ] = None,
    sort: Annotated[Sort | None, Query(description="default: what the query says, else by relevance")] = None,
    offset: Annotated[int, Query(ge=0, le=MOST_OFFSET)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_RESULTS)] = 60,
    everything: Annotated[
        bool, Query(alias="all", description="also what lies below the relevance line")
    ] = False,
) -> Response:
    """Photos that answer, best first. Nothing to look for at all gives every photo, newest first."""
    began = time.monotonic()
    query = parse(q)
    order = sort or query.sort
    request = Request(query, (), query.wanted, order, offset, limit, everything)
    request = with_pictures(serving, request, picture or ())
    page, stamp = ask(serving, request)
    tagged = remarks.tagged(serving.store, request, page)
    answer = SearchAnswer(
        results=results(serving, page.results),
        offset=page.offset,
        total=page.total,
        cut=page.cut,
        at_least=page.at_least,
        took_ms=round(1000 * (time.monotonic() - began), 2),
        notes=remarks.about(serving.store, serving.config, request, page, stamp),
        tagged=TaggedAnswer(tag=tagged.tag, photos=tagged.photos, query=tagged.query) if tagged else None,
    )
    # FastAPI would take the answer apart, and check all of it once more.
    return Response(answer.model_dump_json(exclude_unset=True), media_type="application/json")


def with_pictures(serving: Serving, asked: Request, pictures: Sequence[str]) -> Request:
    """What is asked for, with pictures that were handed in, by their ids. Raises NotThere, ModelMismatch."""
    if not pictures:
        return asked
    stamp = serving.model().stamp
    return replace(asked, pictures=[vector_of(serving, key, stamp) for key in pictures])


def ask(serving: Serving, asked: Request) -> tuple[SearchPage, ModelStamp | None]:
    """As `oko.searching.answer`, with the model warm. Raises QueryError, ModelError, LibraryError."""
    store, config = serving.store, serving.config
    if asked.is_of_filters_alone:
        return searching.by_filters(store, config, asked, serving.filterer())
    model = serving.model()
    return searching.by_likeness(store, config, asked, model.encoder, model.searcher), model.stamp


def results(serving: Serving, found: Sequence[SearchResult]) -> list[Result]:
    """What `oko search --json` says of the photos, and their versions."""
    with serving.store.catalog.reading() as c:
        rows: dict[int, Any] = reading.photo_rows(c, [each.id for each in found])
    return [
        Result(**on_the_wire(each), version=version_of(rows[each.id])) for each in found if each.id in rows
    ]


def on_the_wire(result: SearchResult) -> dict[str, Any]:
    """Everything that is known of a result, from which `oko.remote` makes the very same one again."""
    further = {name: getattr(result, name) for name in FURTHER}
    return {**further, **as_json(result)}
