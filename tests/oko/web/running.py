"""A server on a real socket, in a thread of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from oko import __version__, jobs
from oko.web import found
from oko.web.access import Policy
from oko.web.app import make_app
from oko.web.connections import Server, listen, make_server
from oko.web.serving import Serving
from tests.oko.web.conftest import TOKEN, policy
from tests.watched import wait_for


@dataclass
class Running:
    """Where it is, and what ends it."""

    server: Server
    port: int
    thread: threading.Thread

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(desk: Serving, rules: Policy | None = None) -> Iterator[Running]:
    """Serve for as long as the block lasts, told in server.json."""
    desk.warm_up()
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        server = make_server(make_app(desk, rules or policy()), desk.stopping)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_for(lambda: server.started)
        told = found.Found(os.getpid(), f"http://127.0.0.1:{port}", TOKEN, jobs.utc_now(), __version__)
        found.write(desk.folder, told)
        try:
            yield Running(server, port, thread)
        finally:
            found.remove(desk.folder, os.getpid())
            server.stop()
            thread.join(30)
            assert not thread.is_alive(), "the server does not end"
