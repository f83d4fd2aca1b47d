"""`oko search` through a running `oko serve`: its model is warm, so the answer is there at once.

Loads nothing but the standard library: that is the point. Whatever is not as it should be (no server, one that died,
another program on its port, another version, other settings) is no error: the command works alone then.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from library import errors
from library.config import Config, LoadedConfig
from library.records import SearchResult, Tag
from oko import __version__
from oko.web import found
from oko.web.access import PROOF_SCHEME, client_proof, is_same, server_proof

if TYPE_CHECKING:
    from http.client import HTTPConnection

log = logging.getLogger(__name__)

GREETING_PATH = "/api/health"
SEARCH_PATH = "/api/command-line/search"
CONNECT_S = 0.5  # it is this machine, so a server that is there answers at once
ANSWER_S = 20.0  # a slow model with a long query, on a busy machine
# Settings that an answer depends on: where server and command differ in one of them, the command works alone.
ANSWERING = ("database_url", "relevance", "tags", "tags_file", "max_megapixels", "max_file_mb")
HOW_IT_RUNS = ("device", "precision", "batch_size")
# Statuses with which the server says what this command would find out by itself, too.
SAID = (400, 409)


@dataclass(frozen=True, slots=True)
class Asked:
    """A search as the command line has it."""

    words: Sequence[str]  # of the command line: query, filters, order; paths absolute
    pictures: Sequence[Path]
    top: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says."""

    results: tuple[SearchResult, ...]
    notes: tuple[str, ...]


class _Unusable(Exception):
    """The server cannot be asked this."""


def search(folder: Path, loaded: LoadedConfig, asked: Asked) -> Answer | None:
    """Ask the server of the library in `folder`; None where there is none that could answer as this command would.

    Raises what the command would raise: QueryError, UsageError, ModelMismatch.
    """
    config = loaded.config
    explicit = [name for name in HOW_IT_RUNS if loaded.sources.get(name) == "command line"]
    if not config.ask_server or explicit:
        return None
    server = found.read(folder)
    if server is None or server.version != __version__ or not found.is_running(server.pid):
        return None
    if found.is_open_to_others(folder / found.NAME):
        log.warning(
            "the server is not asked: others may read its token in %s (chmod 600, or start oko serve again)",
            folder / found.NAME,
        )
        return None
    try:
        with _Session(server) as session:
            return _ask(session, config, asked)
    except (_Unusable, OSError, ValueError, KeyError, TypeError) as e:
        log.debug("the server is not asked: %s: %s", type(e).__name__, e)
        return None


def fingerprint(config: Config) -> str:
    """What tells whether a server and a command have the same settings, as far as answers depend on them."""
    values = json.dumps([getattr(config, name) for name in ANSWERING])
    return hashlib.sha256(values.encode()).hexdigest()


def _ask(session: _Session, config: Config, asked: Asked) -> Answer:
    question = {
        "words": list(asked.words),
        "pictures": [_hand_in(session, config, path) for path in asked.pictures],
        "top": asked.top,
        "model": config.model,
        "settings": fingerprint(config),
    }
    status, body = session.send(SEARCH_PATH, json.dumps(question).encode(), "application/json")
    values = json.loads(body)
    if status in SAID:
        raise _error(values["error"])
    if status != 200:
        raise _Unusable(f"status {status}")
    return Answer(tuple(_result(each) for each in values["results"]), tuple(values["notes"]))


def _error(values: dict[str, Any]) -> errors.OkoError:
    """The error that the server met, as this command would have met it. Raises _Unusable where it would not have."""
    kind = getattr(errors, str(values["kind"]), None)
    message, hint = str(values["message"]), str(values.get("hint", ""))
    if kind is errors.QueryError:
        place = {name: int(values[name]) for name in ("start", "end")}
        return errors.QueryError(message, text=str(values["text"]), hint=hint, **place)
    if kind in (errors.UsageError, errors.ModelMismatch):
        error: errors.OkoError = kind(message, hint=hint)
        return error
    raise _Unusable(f"{values['kind']}: {message}")


def _hand_in(session: _Session, config: Config, path: Path) -> str:
    """Send a picture, as bytes: the server opens no path that it is told. Returns its id there."""
    path = path.expanduser()
    if not path.is_file() or path.stat().st_size > config.upload_mb * 1_000_000:
        raise _Unusable("a picture that the server would not take")
    boundary = secrets.token_hex(16)
    suffix = path.suffix.encode("ascii", "ignore").decode().replace('"', "")
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="picture{suffix}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    status, answer = session.send("/api/pictures", body, f"multipart/form-data; boundary={boundary}")
    if status != 201:
        raise _Unusable(f"status {status} for {path.name}")
    return str(json.loads(answer)["picture"])


def _result(values: dict[str, Any]) -> SearchResult:
    plain = ("id", "score", "relevance", "taken_at", "missing", *FURTHER)
    return SearchResult(
        path=_path(values),
        copies=tuple(_path(copy) for copy in values["copies"]),
        width=values["width_px"],
        height=values["height_px"],
        tags=tuple(Tag(tag["name"], tag["score"], tag["state"]) for tag in values["tags"]),
        **{name: values[name] for name in plain if name in values},
    )


# Fields of SearchResult that have the same name in JSON.
FURTHER = (
    "format",
    "size_bytes",
    "camera",
    "lens",
    "latitude",
    "longitude",
    "favourite",
    "taken_from",
)


def _path(values: dict[str, Any]) -> Path:
    if "path_b64" in values:
        return Path(os.fsdecode(base64.b64decode(values["path_b64"])))
    return Path(values["path"])


class _Session:
    """One connection to the server, each of whose answers must prove that it is the one that wrote server.json."""

    def __init__(self, server: found.Found) -> None:
        self._server = server
        self._connection: HTTPConnection | None = None
        self._has_proved = False

    def __enter__(self) -> _Session:
        from http.client import HTTPConnection, HTTPException
        from urllib.parse import urlsplit

        self._failures: tuple[type[Exception], ...] = (HTTPException,)
        parts = urlsplit(self._server.url)
        if parts.scheme != "http" or not parts.hostname:
            raise _Unusable("an address that is none")
        self._connection = HTTPConnection(parts.hostname, parts.port, timeout=CONNECT_S)
        self._connection.connect()
        # What is told goes to the one who proved itself, never through another connection.
        self._connection.auto_open = 0
        self._connection.sock.settimeout(ANSWER_S)
        return self

    def __exit__(self, *error: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def send(self, path: str, body: bytes, media_type: str) -> tuple[int, bytes]:
        """POST; returns the status and the answer's body. Raises _Unusable for an answer from somebody else.

        Somebody else learns nothing: neither what is asked, nor a proof that would open the real server later.
        """
        if not self._has_proved:
            self._exchange("GET", GREETING_PATH, None, {})
            self._has_proved = True
        nonce = secrets.token_hex(16)
        proof = f"{PROOF_SCHEME} {nonce}:{client_proof(self._server.token, nonce)}"
        return self._exchange("POST", path, body, {"Content-Type": media_type, "Authorization": proof})

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        assert self._connection is not None
        nonce = secrets.token_hex(16)
        try:
            self._connection.request(method, path, body, {**headers, "Oko-Nonce": nonce})
            response = self._connection.getresponse()
            answer = response.read()
        except self._failures as e:
            raise _Unusable(str(e)) from e
        if not is_same(response.headers.get("oko-proof", ""), server_proof(self._server.token, nonce)):
            raise _Unusable("somebody else listens there")
        return response.status, answer
