"""`oko serve` from beginning to end: address, token, server.json, watcher, and the line that says where it is."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from library.catalog import reading
from library.errors import LibraryLocked, LibraryUnreadable, ModelMismatch
from library.folder import owners_alone
from library.records import display_path
from oko import __version__, jobs, searching
from oko.aligned import count
from oko.context import Context
from oko.web import found, watcher
from oko.web.access import Policy, is_loopback
from oko.web.app import make_app
from oko.web.connections import listen, make_server, reachable
from oko.web.serving import Serving, serving

log = logging.getLogger(__name__)

TOKEN_NAME = "server-token"
OPENER_NAME = "open-page.html"
# Hosts that stand for every address of this machine -> the one by which it reaches itself.
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve."""

    host: str = "127.0.0.1"
    port: int = 8017
    allow_hosts: tuple[str, ...] = ()
    require_token: bool = False
    new_token: bool = False
    watch: bool = False
    open_page: bool = False
    words: tuple[str, ...] = ()  # options of this command that commands started from it must have, too


def serve(context: Context, options: Options) -> None:
    """Serve the library until told to end.

    Raises NoLibrary, UsageError for an address that cannot be had, and LibraryLocked when another server has it.
    """
    with (
        serving(context.folder, context.config, job_options=options.words) as desk,
        _alone(context.folder),
        listen(options.host, options.port) as listener,
    ):
        policy = make_policy(context.folder, options, listener.getsockname()[1])
        with searching.status(context, "Loading the model"):
            trouble = _warmed_up(desk)
        if trouble is not None:
            what_now = "The watcher reads all photos once more now." if options.watch else trouble.hint
            context.note(f"Words find nothing yet: {trouble.message}. {what_now}")
        server = make_server(make_app(desk, policy), desk.stopping)
        with _told(context.folder, options, policy, listener), contextlib.ExitStack() as stack:
            if options.watch:
                stack.enter_context(watcher.watching(context, options.words))
            _announce(context, desk, options, (policy, listener))
            if options.open_page:
                stack.enter_context(_opened(context.folder, _link(_local_url(options, listener), policy)))
            server.run(sockets=[listener])


def _warmed_up(desk: Serving) -> ModelMismatch | None:
    """Load the model. Where it has seen no photo the page, filters and tags work all the same: that is returned."""
    try:
        desk.warm_up()
    except ModelMismatch as e:
        return e
    return None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """See that this is the only server of the library: server.json names one. Raises LibraryLocked."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(jobs.only_one(folder, "serve", "oko serve"))
        except LibraryLocked as e:
            other = found.read(folder)
            where = f" at {other.url}, process {other.pid}" if other is not None else ""
            raise LibraryLocked(
                f"the library in {display_path(folder)} is being served already{where}",
                hint="One server is enough; end it first to start another.",
            ) from e
        yield


def make_policy(folder: Path, options: Options, port: int) -> Policy:
    """Who may ask, as it follows from the address. Raises LibraryUnreadable if the token cannot be kept."""
    is_open = not is_loopback(options.host)
    names = {options.host.lower(), "localhost", "127.0.0.1", "::1", *map(str.lower, options.allow_hosts)}
    if is_open:
        own = socket.gethostname().lower()
        names |= {own, f"{own}.local"}
    return Policy(
        names=frozenset(names),
        token=kept_token(folder, new=options.new_token),
        needs_token=is_open or options.require_token,
        any_address=is_open,
        cookie_name=f"oko-{port}",
    )


def kept_token(folder: Path, *, new: bool = False) -> str:
    """The library's token: the same at every start, so that a bookmark on a phone goes on working."""
    path = folder / TOKEN_NAME
    try:
        if not new and found.is_open_to_others(path):
            log.warning("others could read the token in %s: there is a new one, and so a new link", path)
            new = True
        if new:
            path.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            text = path.read_text(encoding="ascii").strip()
            if len(text) >= 32:
                return text
            path.unlink()
        token = secrets.token_urlsafe(32)
        with open(path, "x", encoding="ascii", opener=owners_alone) as out:
            out.write(token + "\n")
        return token
    except (OSError, ValueError) as e:
        raise LibraryUnreadable(
            f"the server's token {display_path(path)} cannot be kept: {e}",
            hint="Look at the folder's owner and permissions, or delete the file.",
        ) from e


@contextlib.contextmanager
def _told(folder: Path, options: Options, policy: Policy, listener: socket.socket) -> Iterator[None]:
    """Tell the command line where the server is, for as long as it is there."""
    pid = os.getpid()
    values = found.Found(pid, _local_url(options, listener), policy.token, jobs.utc_now(), __version__)
    try:
        found.write(folder, values)
    except OSError as e:
        raise LibraryUnreadable(
            f"the library folder {display_path(folder)} cannot be written to: {e.strerror}",
            hint="Look at its owner and permissions.",
        ) from e
    try:
        yield
    finally:
        found.remove(folder, pid)


def _local_url(options: Options, listener: socket.socket) -> str:
    """The address as it is reached from this machine."""
    return _url(ANY.get(options.host, options.host), listener)


def _url(host: str, listener: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def _link(url: str, policy: Policy) -> str:
    """The address to open, with the token where one is needed."""
    return f"{url}/?token={policy.token}" if policy.needs_token else url


def _announce(context: Context, desk: Serving, options: Options, where: tuple[Policy, socket.socket]) -> None:
    """The one line, and one more for each further address. A token is shown to a person alone: what is not a terminal
    may be a log."""
    policy, listener = where
    urls = [_local_url(options, listener)]
    if options.host in ANY:
        urls = [_url(address, listener) for address in reachable(listener)] or urls
    link, *others = [_link(url, policy) for url in urls]
    if policy.needs_token and not sys.stdout.isatty():
        place = context.folder / TOKEN_NAME
        link, *others = [f"{url}/?token=..." for url in urls]
        link += f" (the token is in {display_path(place)})"
    model = desk.warm.chosen(desk.store).spec.name
    with desk.store.catalog.reading() as c:
        photos = count(reading.photo_count(c), "photo")
    name = display_path(context.folder)
    context.result(f"Serving {name} at {link} \N{EM DASH} {photos}, model {model}; Ctrl-C ends it.")
    for other in others:
        context.result(f"Also at {other}")
    sys.stdout.flush()


@contextlib.contextmanager
def _opened(folder: Path, link: str) -> Iterator[None]:
    """Open the page in the browser. A token must not stand in the process table: the browser is given a file."""
    if "?token=" not in link:
        _open(link)
        yield
        return
    path = folder / OPENER_NAME
    path.unlink(missing_ok=True)
    with open(path, "x", encoding="utf-8", opener=owners_alone) as out:
        out.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={link}"><title>oko</title>')
    try:
        _open(path.as_uri())
        yield
    finally:
        path.unlink(missing_ok=True)


def _open(address: str) -> None:
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
