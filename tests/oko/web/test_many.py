"""Twenty who search, look and tag at once while photos are being indexed: nothing fails."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest
from fastapi import Response

from library.catalog import reading
from library.config import Config
from library.models import Registry
from oko import assemble
from oko.web import connections, duplicates, photos
from oko.web.answers import DuplicatesOfPhoto
from oko.web.serving import QUICK_THREADS, SLOW_THREADS, Serving, serving
from tests.albums import Album, picture
from tests.house.source import ROOT
from tests.oko.small_library import SmallLibrary
from tests.oko.web.running import Running, running
from tests.watched import wait_for

CLIENTS = 20
REQUESTS = 15  # each
NEW = 60


def addresses(photo: int) -> list[str]:
    return [
        "/api/search?q=red&all=true",
        "/api/search?q=blue%20-red&sort=diverse&all=true",
        f"/api/search?q=like:{photo}&limit=1000&all=true",
        "/api/search?q=has:gps&sort=newest",
        f"/api/photos/{photo}",
        f"/api/photos/{photo}/thumbnail",
        f"/api/photos/{photo}/preview?size=800",
        f"/api/photos/{photo}/duplicates",
        "/api/suggestions?q=ta",
        "/api/status",
        "/api/tags",
        "/api/folders",
        "/api/jobs",
    ]


def one_client(server: Running, photo: int, number: int) -> list[tuple[str, int]]:
    """(address, status) of everything that went wrong for one."""
    dice = random.Random(number)
    wrong = []
    connection = HTTPConnection("127.0.0.1", server.port, timeout=120)
    for turn in range(REQUESTS):
        if turn % 5 == 4:
            method, address = "PUT", f"/api/photos/{photo}/tags/tag%20{number}"
            connection.request(
                method, address, b'{"state": "confirmed"}', {"content-type": "application/json"}
            )
        else:
            address = dice.choice(addresses(photo))
            connection.request("GET", address)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            wrong.append((address, response.status))
    connection.close()
    return wrong


def test_twenty_clients_while_photos_come_in(library: SmallLibrary, desk: Serving) -> None:
    for n in range(NEW):
        (library.photos / f"new{n}.png").write_bytes(picture(n))
    library.encoders["one"].delay_s = 0.3  # a batch: so that indexing lasts as long as the searches do
    indexing = threading.Thread(target=library.index)
    with desk.store.catalog.reading() as c:
        (photo, *_) = reading.all_photo_ids(c)
    with running(desk) as server, ThreadPoolExecutor(CLIENTS) as pool:
        indexing.start()
        wrong = list(pool.map(lambda number: one_client(server, photo, number), range(CLIENTS)))
        indexing.join()
        assert [each for client in wrong for each in client] == []
        connection = HTTPConnection("127.0.0.1", server.port, timeout=120)
        connection.request("GET", f"/api/photos/{photo}")
        tags = connection.getresponse().read().decode()
        connection.close()
    assert all(f'"tag {number}"' in tags for number in range(CLIENTS)), "no decision was lost"
    with desk.store.catalog.reading() as c:
        assert reading.photo_count(c) == 3 + NEW


def test_twenty_clients_while_another_process_indexes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    album = Album(tmp_path)
    album.put("first.png", 1)
    album.index()
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"not read")
    Registry(album.library).add("fake", arch="ViT-B-32", weights=weights, check=lambda spec: None)
    with album.writing() as store:
        store.set_default_model("fake")
    monkeypatch.setattr(assemble, "make_encoder", lambda spec, config: album.encoder)
    for n in range(NEW):
        album.put(f"new{n}.png", 100 + n)
    with (
        serving(album.library, Config()) as desk,
        running(desk) as server,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        command = [
            sys.executable,
            "-m",
            "tests.e2e.index_child",
            str(tmp_path),
            "--delay",
            "0.2",
            "--batch",
            "4",
        ]
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        wrong = list(pool.map(lambda number: one_client(server, 1, number), range(CLIENTS)))
        assert child.wait(300) == 0
        assert [each for client in wrong for each in client] == []
        assert desk.model().searcher.page(None).total == 1 + NEW


def asking(server: Running, path: str) -> HTTPConnection:
    """A request that is on its way."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", path)
    return connection


def healthy(server: Running) -> bool:
    connection = asking(server, "/api/health")
    try:
        return connection.getresponse().status == 200
    finally:
        connection.close()


@pytest.mark.parametrize("what", ["preview", "duplicates"])
def test_nothing_is_done_for_those_who_have_gone(
    desk: Serving, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    going_on, worked = threading.Event(), []

    def work(serving: Serving, *arguments: object) -> Response:
        worked.append(arguments)
        assert going_on.wait(60)
        return Response(b"{}")

    monkeypatch.setattr(photos, "_preview", work)
    monkeypatch.setattr(duplicates, "_of_photo", lambda *a: work(*a) and DuplicatesOfPhoto(id=1, groups=[]))
    path = f"/api/photos/1/{what}"
    with running(desk) as server:
        first = [asking(server, path) for _ in range(SLOW_THREADS)]
        wait_for(lambda: len(worked) == SLOW_THREADS)
        gone = [asking(server, path) for _ in range(10)]
        patient = asking(server, path)
        wait_for(lambda: desk.slow.statistics().tasks_waiting == len(gone) + 1)
        for connection in gone:
            connection.close()
        assert healthy(server), "by the time of this answer the server has heard of it"
        going_on.set()
        assert patient.getresponse().status == 200
        wait_for(lambda: desk.slow.statistics().borrowed_tokens == 0)
        assert len(worked) == SLOW_THREADS + 1
        for connection in (*first, patient):
            connection.close()


def test_those_who_follow_a_job_keep_nobody_waiting(desk: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    going_on, asked = threading.Event(), threading.Event()
    job_id, found = "watch-1", desk.jobs.get

    def slow(job_id: str) -> object:
        asked.set()
        assert going_on.wait(60)
        return found(job_id)

    monkeypatch.setattr(desk.jobs, "get", slow)
    with running(desk) as server:
        pages = [asking(server, f"/api/jobs/{job_id}/events") for _ in range(3 * QUICK_THREADS)]
        assert asked.wait(60)
        wait_for(lambda: desk.following.statistics().tasks_waiting == len(pages) - 1)
        assert healthy(server)
        going_on.set()
        assert {page.getresponse().status for page in pages} == {404}
        for page in pages:
            page.close()


def test_silent_connections_are_closed(desk: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_PATIENCE_S", 0.3)
    with running(desk) as server:
        for said in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: "):
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as idle:
                idle.sendall(said)
                assert idle.recv(1000) == b"", said


def test_between_two_requests_there_is_more_time(desk: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_PATIENCE_S", 0.3)
    with running(desk) as server:
        kept = HTTPConnection("127.0.0.1", server.port, timeout=30)
        for pause_s in (0.5, 0.0):
            kept.request("GET", "/api/health")
            connection = kept.sock
            answer = kept.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
            time.sleep(pause_s)
            assert kept.sock is connection
        kept.close()
