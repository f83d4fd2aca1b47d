"""Errors as answers: which of oko's errors is which status, in one form for all."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from library.errors import (
    LibraryLocked,
    LibraryTooNew,
    ModelError,
    NoLibrary,
    OkoError,
    PictureError,
    UsageError,
)
from oko.web.answers import ErrorAnswer, Trouble

log = logging.getLogger(__name__)

# The first that fits counts. What is not listed is our trouble or the machine's, and is answered with 500.
STATUSES: tuple[tuple[type[OkoError], int], ...] = (
    (UsageError, 400),
    (PictureError, 422),
    (NoLibrary, 404),
    (LibraryLocked, 409),
    (LibraryTooNew, 409),
    (ModelError, 409),
)


class NotThere(UsageError):
    """What an address names is not there."""


class Conflict(UsageError):
    """What is asked for cannot be done now."""


def status_of(error: OkoError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, NotThere):
        return 404
    if isinstance(error, Conflict):
        return 409
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, for its description. Any may be refused, or be sent a body that makes no sense."""
    return {status: {"model": ErrorAnswer} for status in (400, 401, 403, 408, 413, *statuses)}


def add_handlers(app: FastAPI) -> None:
    """See that every error is answered in the one form."""
    app.add_exception_handler(OkoError, _oko_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _crash)


def _answer(status: int, trouble: Trouble, headers: Any = None) -> JSONResponse:
    return JSONResponse(
        ErrorAnswer(error=trouble).model_dump(exclude_none=True), status_code=status, headers=headers
    )


def _oko_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OkoError)
    status = status_of(error)
    if status == 500:
        log.error("%s: %s", type(error).__name__, error.message)
    place = {name: value for name in ("start", "end") if (value := getattr(error, name, None)) is not None}
    return _answer(
        status, Trouble(message=error.message, hint=error.hint, kind=type(error).__name__, **place)
    )


def _invalid(request: Request, error: Exception) -> JSONResponse:
    """What does not fit the description; without the values, which may be anything."""
    assert isinstance(error, RequestValidationError)
    parts = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
    return _answer(422, Trouble(message="; ".join(parts) or "the request makes no sense", kind="UsageError"))


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    message = {404: "there is nothing at this address", 405: "this address does not take that method"}
    text = message.get(error.status_code, str(error.detail))
    return _answer(error.status_code, Trouble(message=text, kind="UsageError"), error.headers)


def _crash(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(
        500,
        Trouble(
            message=f"something went wrong inside: {type(error).__name__}",
            hint="What happened is in the output of oko serve.",
            kind="Exception",
        ),
    )
