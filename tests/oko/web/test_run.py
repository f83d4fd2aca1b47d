"""`oko serve` from its beginning to its end, as a person types it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import IO

import psutil
import pytest
from PIL import Image

from library.config import Config, LoadedConfig
from library.errors import LibraryLocked, UsageError
from oko import exits
from oko.context import Context
from oko.jobs import Job, read_job
from oko.web import connections, found, run
from oko.web.access import is_loopback
from oko.web.connections import listen
from oko.web.run import Options, kept_token, make_policy
from oko.web.serving import serving
from tests.house.source import ROOT
from tests.oko import small_library
from tests.oko.small_library import SmallLibrary
from tests.watched import wait_for

LINE = re.compile(
    r"Serving (?P<folder>.+) at (?P<url>http://\S+)(?: \(the token is in .+\))?"
    r" — 3 photos, model one; Ctrl-C ends it\.\n"
)


@dataclass
class Process:
    """A running `oko serve`."""

    child: subprocess.Popen[str]
    folder: Path
    url: str
    errors: IO[str]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].partition("/")[0])

    def get(self, path: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body


@contextlib.contextmanager
def served(folder: Path, log: Path, *options: str) -> Iterator[Process]:
    module = "tests.oko.web.serve_child"
    command = [sys.executable, "-m", module, "serve", "--library", str(folder), "--port", "0", *options]
    with open(log, "w+") as errors:
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert child.stdout is not None
        try:
            line = child.stdout.readline()
            match = LINE.fullmatch(line)
            assert match, line + log.read_text()
            yield Process(child, folder, match["url"], errors)
        finally:
            child.kill()
            child.communicate()


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    return small_library.make(tmp_path, monkeypatch)


def watched_by_this_process(folder: Path) -> None:
    """A job that does not end by itself."""
    Job(folder, "watch").tell(at_once=True, phase="watching")


def test_from_the_line_that_says_where_to_the_end(
    library: SmallLibrary, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with served(library.folder, tmp_path / "log", "-v") as process:
        told = found.read(library.folder)
        assert told is not None
        assert (told.pid, told.url) == (process.child.pid, process.url)
        assert library.oko("search", "a red square", "--json", "--all") == 0
        assert len(json.loads(capfd.readouterr().out)) == 3
        assert "/api/command-line/search 200" in (tmp_path / "log").read_text()

        assert library.oko("serve", "--port", "0") == exits.FAILED
        assert f"served already at {process.url}" in capfd.readouterr().err

        # A stream that has no end of its own, and a connection that is kept, do not keep it from ending.
        watched_by_this_process(library.folder)
        kept = HTTPConnection("127.0.0.1", process.port, timeout=60)
        kept.request("GET", "/api/health")
        kept.getresponse().read()
        stream = HTTPConnection("127.0.0.1", process.port, timeout=60)
        stream.request("GET", f"/api/jobs/watch-{os.getpid()}/events")
        events = stream.getresponse()
        assert events.readline().startswith(b"retry: ")
        asked_at = time.monotonic()
        process.child.send_signal(signal.SIGINT)
        code = process.child.wait(60)
        took_s = time.monotonic() - asked_at
        kept.close()
        stream.close()
    assert code == 0
    assert took_s < 10, "a second, on a machine with nothing else to do"
    assert found.read(library.folder) is None
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert told.token not in log
    assert "square" not in log


def test_the_watcher_runs_beside_the_server_and_ends_with_it(
    library: SmallLibrary, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def found_photos() -> int:
        capfd.readouterr()
        assert library.oko("search", "sort:newest has:gps", "--json", "--missing") == 0
        return len(json.loads(capfd.readouterr().out))

    with served(library.folder, tmp_path / "log", "--watch", "--require-token") as process:
        assert "token=..." in process.url, "what is no terminal may be a log"
        wait_for(lambda: (read_job(library.folder, "watch") or {}).get("phase") in ("watching", "tagging"))
        Image.new("RGB", (64, 48), (200, 200, 0)).save(
            library.photos / "new.jpg", exif=small_library.gps_exif()
        )
        wait_for(lambda: found_photos() == 4)
        process.child.kill()  # even so
        process.child.wait()
        wait_for(lambda: not (read_job(library.folder, "watch") or {})["running"])
    assert found.read(library.folder) is not None, "a killed server leaves its file behind"
    assert found_photos() == 4, "and it is noticed"


def test_the_end_of_the_watcher_is_said(library: SmallLibrary, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with served(library.folder, log, "--watch") as process:
        wait_for(lambda: (read_job(library.folder, "watch") or {}).get("phase") in ("watching", "tagging"))
        watcher = read_job(library.folder, "watch")
        assert watcher is not None
        os.kill(watcher["pid"], signal.SIGKILL)
        wait_for(lambda: "The watcher has ended" in log.read_text())
        assert process.get("/api/health")[0] == 200


def test_new_weights_keep_no_server_from_starting(library: SmallLibrary, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(library.folder / "catalog.sqlite")) as catalog, catalog:
        catalog.execute("UPDATE model SET weights_sha256 = 'of the version before'")
    log = tmp_path / "log"
    with served(library.folder, log, "--watch") as process:
        said = log.read_text()
        assert said.startswith("Words find nothing yet: oko now has other weights named one")
        assert said.endswith("The watcher reads all photos once more now.\n")
        assert process.get("/api/search?q=has:gps")[0] == 200
        wait_for(lambda: process.get("/api/search?q=red")[0] == 200, "it reads them once more")
        wait_for(lambda: json.loads(process.get("/api/search?q=red&all=1")[1])["total"] == 3)


# Without a process


def test_a_port_that_is_taken_comes_with_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} is taken") as error:
            listen("127.0.0.1", port)
    match = re.search(r"--port (\d+)", error.value.hint)
    assert match
    with listen("127.0.0.1", int(match[1])):
        pass


def test_an_address_of_another_machine_is_said() -> None:
    with pytest.raises(UsageError, match="cannot be listened on"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.9.9.9", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("photos.example", False), ("", False)],
)  # fmt: skip
def test_any_address_but_this_machine_needs_a_token(tmp_path: Path, host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local
    policy = make_policy(tmp_path, Options(host=host), 8017)
    assert policy.needs_token is not is_local
    assert policy.any_address is not is_local
    assert len(policy.token) >= 32


def test_the_token_stays_until_a_new_one_is_wanted(tmp_path: Path) -> None:
    token = kept_token(tmp_path)
    assert kept_token(tmp_path) == token
    assert kept_token(tmp_path, new=True) != token
    if os.name == "posix":
        assert (tmp_path / "server-token").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_token_that_others_could_read_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = kept_token(tmp_path)
    (tmp_path / "server-token").chmod(0o644)
    new = kept_token(tmp_path)
    assert new != token
    assert "others could read the token" in caplog.text
    assert token not in caplog.text
    assert kept_token(tmp_path) == new


Address = namedtuple("Address", "family address")


def test_the_addresses_that_are_printed_work(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "lo": ["127.0.0.1"],
        "card": ["::1", "127.7.7.7"],
    }  # the card's are loopback, too: no test goes further
    families = {False: socket.AF_INET, True: socket.AF_INET6}
    found = {name: [Address(families[":" in text], text) for text in each] for name, each in texts.items()}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
    monkeypatch.setattr(connections, "_is_public", lambda text: text != "127.0.0.1")
    with listen("0.0.0.0", 0) as listener:
        assert connections.reachable(listener) == ["127.7.7.7"], "nobody answers at the other"


@pytest.mark.parametrize(
    ("text", "is_public"),
    [("192.168.1.5", True), ("2001:db8::1", True), ("127.0.0.1", False), ("::1", False), ("fe80::1%eth0", False),
     ("169.254.1.1", False)],
)  # fmt: skip
def test_what_others_may_reach(text: str, is_public: bool) -> None:
    assert connections._is_public(text) is is_public


def test_a_link_names_no_machine(
    library: SmallLibrary, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context = Context(library.folder, LoadedConfig(Config(), {}), quiet=True, purpose="oko serve")
    options = Options(host="0.0.0.0")
    monkeypatch.setattr(run, "reachable", lambda listener: ["192.0.2.1", "2001:db8::1"])
    with listen("127.0.0.1", 0) as listener, serving(library.folder, Config()) as desk:
        port = listener.getsockname()[1]
        run._announce(context, desk, options, (make_policy(library.folder, options, port), listener))
        monkeypatch.setattr(run, "reachable", lambda listener: [])
        run._announce(context, desk, options, (make_policy(library.folder, options, port), listener))
    first, second, third = capsys.readouterr().out.splitlines()
    assert f"at http://192.0.2.1:{port}/?token=... (the token is in" in first
    assert second == f"Also at http://[2001:db8::1]:{port}/?token=..."
    assert f"at http://127.0.0.1:{port}/?token=..." in third, "without a network there is this machine"


def test_only_one_server_a_library(library: SmallLibrary) -> None:
    from oko.web.run import _alone

    with _alone(library.folder), pytest.raises(LibraryLocked, match="served already"), _alone(library.folder):
        pass


def test_serving_nothing_says_what_to_do(oko_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from oko.cli import main

    assert main(["serve"]) == exits.FAILED
    assert "oko index" in capsys.readouterr().err


def test_forgetting_a_photo_takes_its_previews_along(library: SmallLibrary) -> None:
    previews = library.folder / "previews"
    previews.mkdir()
    (previews / "something.jpg").write_bytes(b"x")
    assert library.oko("forget", library.photos / "blue.jpg", "--yes") == 0
    assert not previews.exists()
