"""What `oko search` asks a running server: the same question, in the words of its own command line.

The flags come as the words that a person typed and are read by the very parser that would have read them there, so that
the answer is the same either way.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Annotated, Any, NoReturn

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from library.errors import QueryError, UsageError
from oko import remarks, remote, searching
from oko.commands.search_ import add_question
from oko.web.answers import Answer
from oko.web.failures import Conflict, documented
from oko.web.searching import MOST_PICTURES, ask, on_the_wire, with_pictures
from oko.web.serving import Desk, Serving

router = APIRouter(prefix="/api/command-line", tags=["command line"])

MOST_WORDS = 400
Text = Annotated[str, Field(max_length=8_000)]


class CommandLineSearch(BaseModel):
    """A search as the command line has it."""

    model_config = ConfigDict(extra="forbid")
    words: list[Text] = Field(max_length=MOST_WORDS, description="of the command line, paths absolute")
    pictures: list[str] = Field(max_length=MOST_PICTURES)
    top: int = Field(ge=1, le=1_000_000)
    model: Text
    settings: str = Field(description="fingerprint of the settings that answers depend on")


class CommandLineAnswer(Answer):
    """What the command prints."""

    results: list[dict[str, Any]] = Field(description="as `oko search --json` prints them")
    notes: list[str]


class _Parser(argparse.ArgumentParser):
    """Reads the filters; a mistake is an error of ours, not the end of the server."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise UsageError(message or "these flags make no sense")


@router.post(
    "/search",
    operation_id="search_for_command_line",
    response_model=CommandLineAnswer,
    responses=documented(400, 404, 409, 412, 422),
)
def search_for_command_line(serving: Desk, asked: CommandLineSearch) -> JSONResponse:
    """For `oko search` alone: it works by itself where versions or settings differ (412)."""
    refusal = _difference(serving, asked)
    if refusal:
        return JSONResponse({"error": {"message": refusal, "hint": "", "kind": "UsageError"}}, 412)
    try:
        request = with_pictures(serving, _request(serving, asked), asked.pictures)
        page, stamp = ask(serving, request)
    except QueryError as e:
        error = {"message": e.message, "hint": e.hint, "kind": "QueryError", "start": e.start, "end": e.end}
        return JSONResponse({"error": {**error, "text": e.text}}, 400)
    notes = remarks.on_command_line(serving.store, serving.config, request, page, stamp)
    return JSONResponse({"results": [on_the_wire(each) for each in page.results], "notes": notes})


def _difference(serving: Serving, asked: CommandLineSearch) -> str:
    """Why the server might answer otherwise than the command would by itself; "" if it would not."""
    if asked.settings != remote.fingerprint(serving.config):
        return "the settings differ"
    model = serving.warm.chosen(serving.store).spec
    own = {serving.config.model, model.name, model.canonical_name}
    if asked.model == "auto":
        return "" if model.name == serving.store.default_model() else "the server uses another model"
    return "" if asked.model in own - {"auto"} else "the server uses another model"


def _request(serving: Serving, asked: CommandLineSearch) -> searching.Request:
    parser = _Parser(add_help=False, allow_abbrev=False)
    add_question(parser)
    found, rest = parser.parse_known_args(asked.words)
    if rest:
        raise Conflict("these words are not understood here")
    found.image = asked.pictures
    return searching.request(found, dataclasses.replace(serving.config, top=asked.top))
