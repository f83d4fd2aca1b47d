"""The outermost layer of the server: lets in what `access` allows, bounds what is sent, and marks every answer.

No body is read, and no route is looked for, before a request has passed. What is logged is method, path and status:
never a query, which may hold the token, and is private anyway.
"""

from __future__ import annotations

import asyncio
import html
import json
import logging
import time
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oko.web.access import COOKIE_DAYS, SAFE_METHODS, Policy, Refusal, server_proof

log = logging.getLogger(__name__)

JSON_BODY_BYTES = 64 * 1024
# Between two parts of a request's body; a browser on a slow line sends something much more often.
BODY_PATIENCE_S = 30.0
UPLOAD_PATH = "/api/pictures"
MULTIPART_SLACK_BYTES = 16 * 1024

# Nothing but the server's own files, and no inline script or style; a picture that was dropped on the page is a blob.
CONTENT_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class TooLarge(Exception):
    """More was sent than is taken."""


class TooSlow(Exception):
    """The rest of a request did not come."""


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, policy: Policy, *, upload_bytes: int) -> None:
        self.app = app
        self.policy = policy
        self.upload_bytes = upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there is no WebSocket here; uvicorn is told so, too
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        answer = _Answer(scope, send, self._proof(headers))
        try:
            refusal = self.policy.refusal(scope["method"], scope["path"], headers)
            if refusal is not None:
                await answer.refuse(refusal)
            elif not await self._let_in_by_link(scope, headers, answer):
                await self._pass_on(scope, headers, receive, answer)
        finally:
            answer.log()

    def _proof(self, headers: MutableMapping[str, str]) -> str:
        nonce = headers.get("oko-nonce", "")
        return server_proof(self.policy.token, nonce) if nonce else ""

    async def _let_in_by_link(self, scope: Scope, headers: MutableMapping[str, str], answer: _Answer) -> bool:
        """Answer a link that holds the token with a cookie, and a request without any with a refusal."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        given = query.pop("token", None)
        if given is not None and scope["method"] in SAFE_METHODS:
            if self.policy.is_token(given):
                await answer.let_in(self.policy, query, is_link=headers.get("sec-fetch-site") == "cross-site")
            else:
                await answer.refuse(_no_token("the token is wrong"))
            return True
        if self.policy.is_let_in(headers):
            return False
        await answer.refuse(_no_token("a token is needed"))
        return True

    async def _pass_on(
        self, scope: Scope, headers: MutableMapping[str, str], receive: Receive, answer: _Answer
    ) -> None:
        body = _Body(receive, self._most_bytes(scope))
        try:
            if _is_longer(headers.get("content-length"), body.most_bytes):
                raise TooLarge
            await self.app(scope, body.receive, answer.send_unless(body))
        except (TooLarge, TooSlow) as e:
            body.trouble = body.trouble or e
        if body.trouble is not None:
            await answer.refuse(_of_body(body.trouble, body.most_bytes))

    def _most_bytes(self, scope: Scope) -> int:
        return self.upload_bytes + MULTIPART_SLACK_BYTES if scope["path"] == UPLOAD_PATH else JSON_BODY_BYTES


def _no_token(message: str) -> Refusal:
    hint = "Open the link that oko serve printed, or send the header Authorization: Bearer TOKEN."
    return Refusal(401, message, hint)


def _of_body(trouble: Exception, most_bytes: int) -> Refusal:
    if isinstance(trouble, TooSlow):
        return Refusal(408, f"nothing more of the request came for {BODY_PATIENCE_S:.0f} seconds")
    return Refusal(413, f"the request holds more than {most_bytes / 1e6:,.1f} MB")


def _is_longer(length: str | None, most_bytes: int) -> bool:
    return length is not None and length.isdecimal() and int(length) > most_bytes


class _Body:
    """A request's body as it comes in, within bounds of size and patience. What goes beyond them is kept in `trouble`,

    because a framework may turn an exception that passes through it into an answer of its own.
    """

    def __init__(self, receive: Receive, most_bytes: int) -> None:
        self._receive = receive
        self.most_bytes = most_bytes
        self.trouble: Exception | None = None
        self._taken = 0
        self._is_whole = False

    async def receive(self) -> Message:
        """The next part. Raises TooLarge and TooSlow."""
        if self._is_whole:
            return (
                await self._receive()
            )  # only the end of the connection is waited for now, however long that takes
        try:
            async with asyncio.timeout(
                BODY_PATIENCE_S
            ):  # not `wait_for`, which looks at what is there too late
                message = await self._receive()
        except TimeoutError as e:
            self.trouble = TooSlow()
            raise self.trouble from e
        self._is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        self._taken += len(message.get("body", b""))
        if self._taken > self.most_bytes:
            self.trouble = TooLarge()
            raise self.trouble
        return message


class _Answer:
    """What is sent back: with the headers that every answer has, and logged."""

    def __init__(self, scope: Scope, send: Send, proof: str) -> None:
        self._scope = scope
        self._send = send
        self._proof = proof
        self._began = time.monotonic()
        self.status = 0

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._marked(message.get("headers", []))}
        await self._send(message)

    def send_unless(self, body: _Body) -> Send:
        """The same, but nothing once there was trouble with the request's body: it is answered otherwise."""

        async def send(message: Message) -> None:
            if body.trouble is None or self.status:
                await self.send(message)

        return send

    def _marked(self, headers: Any) -> list[tuple[bytes, bytes]]:
        given = [(bytes(name).lower(), bytes(value)) for name, value in headers]
        names = {name for name, _ in given}
        extra = [pair for pair in HEADERS if pair[0] not in names]
        if b"cache-control" not in names:
            is_static = str(self._scope["path"]).startswith("/static/") or self._scope["path"] == "/"
            extra.append((b"cache-control", b"no-cache" if is_static else b"no-store"))
        if self._proof:
            extra.append((b"oko-proof", self._proof.encode()))
        return given + extra

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with an error, unless an answer has begun."""
        if self.status:
            return
        error = {"message": refusal.message, "hint": refusal.hint, "kind": "Refused"}
        headers = [(b"connection", b"close")] if refusal.status in (408, 413) else []
        if refusal.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await self._whole(refusal.status, json.dumps({"error": error}).encode(), "application/json", headers)

    async def let_in(self, policy: Policy, query: MutableMapping[str, str], *, is_link: bool) -> None:
        """Set the cookie, and go on to the same address without the token."""
        path = quote(self._scope["path"], safe="/") + ("?" + urlencode(query) if query else "")
        path = "/" + path.lstrip("/")  # "//name" would be another host
        age = COOKIE_DAYS * 86_400
        cookie = (
            f"{policy.cookie_name}={policy.cookie_value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={age}"
        )
        headers = [(b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]
        if not is_link:
            await self._whole(303, b"", "text/plain", [*headers, (b"location", path.encode())])
            return
        # After a link on another site a redirect still counts as coming from there, and brings no strict cookie; a page
        # of our own that leads on does not.
        place = html.escape(path, quote=True)
        page = f'<!doctype html><meta http-equiv="refresh" content="0;url={place}"><title>oko</title>'
        await self._whole(200, page.encode(), "text/html; charset=utf-8", headers)

    async def _whole(
        self, status: int, body: bytes, media_type: str, headers: list[tuple[bytes, bytes]]
    ) -> None:
        length = (b"content-length", str(len(body)).encode())
        kind = (b"content-type", media_type.encode())
        await self.send(
            {"type": "http.response.start", "status": status, "headers": [kind, length, *headers]}
        )
        sent = b"" if self._scope["method"] == "HEAD" else body
        await self.send({"type": "http.response.body", "body": sent})

    def log(self) -> None:
        """One line: method, path, status, milliseconds."""
        took_ms = 1000 * (time.monotonic() - self._began)
        path = self._scope["path"].encode("unicode_escape").decode()
        log.info("%s %s %d %.0f ms", self._scope["method"], path, self.status, took_ms)
