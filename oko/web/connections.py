"""uvicorn, bounded: connections that say nothing are closed, and open streams do not keep the server from ending."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import threading
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from library.errors import UsageError

HEAD_PATIENCE_S = 10.0  # until a request's line and headers are there
KEEP_ALIVE_S = 15
MOST_CONNECTIONS = 200  # a page needs 6 and an event stream; 20 of them fit
MOST_HEAD_BYTES = 16 * 1024
GRACE_S = 1
PORTS_TRIED = 50
TRY_S = 0.3  # to reach an address of this machine


class PatientProtocol(H11Protocol):
    """HTTP/1.1 whose request must have a whole head in time; uvicorn itself waits for ever for the first one."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection: its first request must come soon."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Part of a request."""
        before = self.cycle
        if self._deadline is None and (before is None or before.response_complete):
            self._expect_head()
        super().data_received(data)
        if self.cycle is not before:  # a head was complete
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_PATIENCE_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Ends at once when told to: what streams is told to stop."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C, or SIGTERM."""
        self.stop()

    def stop(self) -> None:
        """End soon; from any thread."""
        self._stopping.set()
        self.should_exit = True


def make_server(app: ASGIApp, stopping: threading.Event) -> Server:
    """uvicorn with our bounds and without its own access log, in which queries would stand."""
    options: dict[str, Any] = {
        "http": PatientProtocol,
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "proxy_headers": False,
        "limit_concurrency": MOST_CONNECTIONS,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": GRACE_S,
        "h11_max_incomplete_event_size": MOST_HEAD_BYTES,
    }
    logging.getLogger("uvicorn.error").setLevel(
        logging.CRITICAL
    )  # it has nothing to say that is not said better
    return Server(uvicorn.Config(app, **options), stopping)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes any free one. Raises UsageError, naming a free port."""
    try:
        return _bound(host, port)
    except (OSError, OverflowError) as e:
        free = _free_port(host, port)
        if free is None:
            raise UsageError(
                f"{host} port {port} cannot be listened on: {getattr(e, 'strerror', None) or e}",
                hint="Name an address of this machine: --host 127.0.0.1",
            ) from e
        raise UsageError(
            f"port {port} is taken by another program: {getattr(e, 'strerror', None) or e}",
            hint=f"Take another one: --port {free} (or --port 0 for any free one)",
        ) from e


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # on Windows it would let two programs have one port
            made.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # not to wait for what a server left behind
        made.bind(address)
        made.listen(128)
    except BaseException:
        made.close()
        raise
    return made


def reachable(listener: socket.socket) -> list[str]:
    """This machine's addresses at which others may reach a socket that listens to any; those of IPv4 first.

    Addresses and not the machine's name, which only some networks resolve. Each has been tried.
    """
    import psutil

    cards = psutil.net_if_addrs().values()
    texts = [
        each.address for card in cards for each in card if each.family in (socket.AF_INET, socket.AF_INET6)
    ]
    port = listener.getsockname()[1]
    found = [text for text in texts if _is_public(text) and _answers(text, port)]
    return sorted(found, key=lambda text: ":" in text)


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    return not address.is_loopback and not address.is_link_local


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=TRY_S).close()
    except OSError:
        return False
    return True


def _free_port(host: str, port: int) -> int | None:
    for candidate in range(port + 1, min(port + PORTS_TRIED, 65_536)):
        try:
            _bound(host, candidate).close()
        except OSError:
            continue
        return candidate
    return None
