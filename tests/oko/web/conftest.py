"""A small library, served in this process: no socket, no weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from library.config import Config
from oko.web.access import Policy
from oko.web.app import make_app
from oko.web.serving import Serving, serving
from tests.oko import small_library
from tests.oko.small_library import SmallLibrary

HOST = "127.0.0.1:8017"
TOKEN = "a token that is long enough to be one of the server's"


@dataclass
class Site:
    """A served library: `get` and the like ask as the page does, from the same site."""

    library: SmallLibrary
    desk: Serving
    client: TestClient

    def id_of(self, name: str) -> int:
        """The photo in a file."""
        path = str(self.library.photos / name)
        found = self.client.get("/api/search", params={"limit": 1000}).json()["results"]
        return next(
            int(r["id"]) for r in found if path in [r["path"], *(copy["path"] for copy in r["copies"])]
        )


def policy(**changes: object) -> Policy:
    values: dict[str, object] = {
        "names": frozenset({"127.0.0.1", "localhost"}),
        "token": TOKEN,
        "needs_token": False,
        **changes,
    }
    return Policy(**values)  # type: ignore[arg-type]


def client_of(desk: Serving, rules: Policy | None = None) -> TestClient:
    app = make_app(desk, rules or policy())
    return TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    return small_library.make(tmp_path, monkeypatch)


@pytest.fixture
def desk(library: SmallLibrary) -> Iterator[Serving]:
    with serving(library.folder, Config(upload_mb=1, upload_megapixels=1)) as found:
        yield found


@pytest.fixture
def site(library: SmallLibrary, desk: Serving) -> Iterator[Site]:
    with client_of(desk) as client:
        yield Site(library, desk, client)
