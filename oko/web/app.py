"""The application: the API's routes, the page's files, and the guard around both."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from oko import __version__
from oko.web import about, command_line, duplicates, jobs, photos, pictures, searching, suggesting, tags
from oko.web.access import Policy
from oko.web.failures import NotThere, add_handlers
from oko.web.security import Guard
from oko.web.serving import QUICK_THREADS, Serving

STATIC = Path(__file__).parent / "static"
DESCRIPTION = (
    "Everything that the page does. Ids are photo ids, the same as in `oko search --json`; paths are only ever shown, "
    "never taken. Every error is an object with `message` and `hint`, for people."
)
# The system's own table may say otherwise, and a browser runs no script that is called plain text.
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".woff2": "font/woff2"}

page = APIRouter(include_in_schema=False)


def make_app(serving: Serving, policy: Policy) -> ASGIApp:
    """The whole server as one ASGI application."""
    return Guard(make_api(serving), policy, upload_bytes=serving.config.upload_mb * 1_000_000)


def make_api(serving: Serving) -> FastAPI:
    """What stands behind the guard."""
    # FastAPI can report to OpenTelemetry when the environment says so; here nothing does.
    quiet: dict[str, Any] = {
        "telemetry": {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    }
    app = FastAPI(
        title="oko",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        **quiet,
    )
    app.state.serving = serving
    for module in (about, searching, suggesting, pictures, tags, photos, duplicates, jobs, command_line):
        app.include_router(module.router)
    app.include_router(page)
    for suffix, kind in TYPES.items():
        mimetypes.add_type(kind, suffix)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    add_handlers(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = QUICK_THREADS
    yield


@page.get("/")
def get_page() -> Response:
    """The page."""
    index = STATIC / "index.html"
    if not index.is_file():
        raise NotThere("this oko was installed without its page", hint="The API is there: /api/openapi.json")
    return FileResponse(index, media_type="text/html; charset=utf-8")


@page.get("/favicon.ico")
def get_icon() -> Response:
    """Browsers ask for it by themselves."""
    return Response(status_code=204)
