"""Who may ask the server what: decided from a request's headers alone, before anything of it is read.

Three things could reach a server on this machine that its owner did not mean to: a page in the owner's browser that has
its own name point here (DNS rebinding; told by Host), a page that sends requests across sites (told by Sec-Fetch-Site
and Origin, which a page cannot forge), and, where the server listens to more than this machine, anybody on the network
(kept out by the token).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD"})
COOKIE_DAYS = 365
# What a program that read the token in the library folder sends instead of it: see `oko/remote.py`.
PROOF_SCHEME = "oko-proof"
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the server is bound to, and what follows from it. `names` are host names in lower case."""

    names: frozenset[str]
    token: str
    needs_token: bool
    any_address: bool = False  # requests may name the host by any address: one cannot be rebound
    cookie_name: str = "oko"

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Why a request with these headers (names in lower case) is refused; None if it may go on to the token."""
        host = host_name(headers.get("host", ""))
        if host is None or not self._is_ours(host):
            return Refusal(
                403,
                "the request names a host that this server does not serve",
                "Open the address that oko serve printed, or start it with --allow-host NAME.",
            )
        if not self._is_same_site(method, path, headers):
            return Refusal(403, "the request comes from another site")
        return None

    def _is_ours(self, host: str) -> bool:
        if host in self.names:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return self.any_address

    def _is_same_site(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        site = headers.get("sec-fetch-site")
        origin = headers.get("origin")
        if origin is not None and not _is_origin_of(origin, headers.get("host", "")):
            return False
        if site is None or site in ("same-origin", "none"):
            return True
        # A link on another site may lead to the page; nothing else may come from there.
        return method in SAFE_METHODS and path == "/" and headers.get("sec-fetch-mode") == "navigate"

    # The token

    @property
    def cookie_value(self) -> str:
        """What the browser keeps: it opens this server, and does not tell the token."""
        return _mac(self.token, "cookie")

    def is_let_in(self, headers: Mapping[str, str]) -> bool:
        """Whether the request carries the token, in one way or another, or needs none."""
        return not self.needs_token or self.has_token(headers)

    def has_token(self, headers: Mapping[str, str]) -> bool:
        """Whether the request carries the token: as a bearer, as a proof of knowing it, or in the cookie."""
        scheme, _, value = headers.get("authorization", "").partition(" ")
        value = value.strip()
        if scheme.lower() == "bearer":
            return is_same(value, self.token)
        if scheme.lower() == PROOF_SCHEME:
            nonce, _, proof = value.partition(":")
            return is_same(proof, client_proof(self.token, nonce))
        return is_same(_cookies(headers.get("cookie", "")).get(self.cookie_name, ""), self.cookie_value)

    def is_token(self, text: str) -> bool:
        """Compared in constant time."""
        return is_same(text, self.token)


def client_proof(token: str, nonce: str) -> str:
    """What shows that the asker knows the token, without telling it to whatever listens on the port."""
    return _mac(token, f"client {nonce}")


def server_proof(token: str, nonce: str) -> str:
    """What shows that the answer is from the server that wrote the token down."""
    return _mac(token, f"server {nonce}")


def _mac(token: str, text: str) -> str:
    return hmac.new(token.encode(), text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def is_same(given: str, wanted: str) -> bool:
    """Compared in constant time; whatever characters were given."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def host_name(host: str) -> str | None:
    """The name in a Host header, in lower case and without port and brackets; None where it is none."""
    match = _HOST.fullmatch(host)
    return match["name"].strip("[]").rstrip(".").lower() if match else None


def _is_origin_of(origin: str, host: str) -> bool:
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _cookies(header: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return {name: value for name, _, value in pairs}


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
