"""Jobs: started as processes, seen from their files, followed as server-sent events."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from library.config import Config
from oko import background
from oko.jobs import Job, job_path, replace_private, sketch_path
from oko.web.desk import ENDED_JOBS, JobDesk
from oko.web.failures import Conflict, NotThere
from oko.web.serving import Serving, serving
from tests.oko.small_library import SmallLibrary
from tests.oko.web.conftest import client_of
from tests.watched import wait_for

ROOT = Path(__file__).parents[3]


class Children:
    """Starts children that do as they are told; remembers the words they were started with."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[Any]] = []
        self.words: list[list[str]] = []

    def spawn(self, folder: Path, words: list[str]) -> subprocess.Popen[Any]:
        command = [sys.executable, "-m", "tests.oko.web.job_child", str(folder), words[0]]
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.all.append(child)
        self.words.append(words)
        return child

    def tell(self, line: str) -> None:
        child = self.all[-1]
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(line + "\n")
        child.stdin.flush()
        if not line.startswith(("end", "fail")):
            assert child.stdout.readline() == "told\n"

    def close(self) -> None:
        for child in self.all:
            child.kill()
            child.communicate()


@pytest.fixture
def children() -> Iterator[Children]:
    found = Children()
    yield found
    found.close()


@pytest.fixture
def desk(library: SmallLibrary, children: Children) -> Iterator[Serving]:
    with serving(library.folder, Config()) as found:
        found.jobs = JobDesk(library.folder, ["--device", "cpu"], spawn=children.spawn)
        yield found


def phase_of(desk: Serving, key: str) -> Callable[[str], bool]:
    return lambda phase: desk.jobs.get(key)[0].phase == phase


def test_a_job_from_its_beginning_to_its_end(desk: Serving, children: Children) -> None:
    job = desk.jobs.start("index", [Path("/a/b")])
    assert (job.kind, job.phase, job.running) == ("index", "starting", True)
    assert children.words[0][-2:] == ["--", "/a/b"]
    assert "--device" in children.words[0]
    children.tell("done 3 10")
    wait_for(lambda: desk.jobs.get(job.id)[0].done == 3)
    now, version = desk.jobs.get(job.id)
    assert (now.phase, now.total, now.running, now.message) == ("index", 10, True, "Indexing")
    children.tell("done 6 10")
    wait_for(lambda: desk.jobs.get(job.id)[0].done == 6)
    now, later = desk.jobs.get(job.id)
    assert later > version
    assert now.photos_per_s is not None
    assert now.left_s is not None
    children.tell("end")
    wait_for(lambda: not desk.jobs.get(job.id)[0].running)
    now, last = desk.jobs.get(job.id)
    assert (now.phase, now.left_s, now.error) == ("done", None, None)
    assert desk.jobs.get(job.id)[1] == last


def test_painting_shows_the_picture_so_far(desk: Serving, library: SmallLibrary) -> None:
    with client_of(desk) as client:
        job = Job(library.folder, "generate")
        job.tell(at_once=True, phase="painting", done=3, total=100)
        wait_for(lambda: bool(client.get("/api/jobs").json()["jobs"]))
        (seen,) = client.get("/api/jobs").json()["jobs"]
        assert (seen["kind"], seen["message"], seen["done"], seen["sketched"]) == (
            "generate",
            "Painting",
            3,
            None,
        )
        picture = f"/api/jobs/{seen['id']}/picture"
        assert client.get(picture).status_code == 404
        replace_private(sketch_path(library.folder), b"a picture")
        job.tell(at_once=True, sketched=10, done=11)
        wait_for(lambda: client.get(f"/api/jobs/{seen['id']}").json()["job"]["sketched"] == 10)
        answer = client.get(picture)
        assert (answer.content, answer.headers["content-type"]) == (b"a picture", "image/webp")
        job.end("done")


def test_one_at_a_time(desk: Serving, children: Children) -> None:
    job = desk.jobs.start("index")
    with pytest.raises(Conflict, match="at work already"):
        desk.jobs.start("tag")
    children.all[0].kill()
    wait_for(lambda: not desk.jobs.get(job.id)[0].running)
    assert desk.jobs.get(job.id)[0].phase == "failed"
    assert desk.jobs.start("tag").kind == "tag"


def test_a_process_that_ends_at_once_is_a_job_that_failed(library: SmallLibrary) -> None:
    def spawn(folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
        child = subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(1)"])
        child.wait()
        return child

    assert JobDesk(library.folder, spawn=spawn).start("index").phase == "failed"


def test_a_job_imports_nothing_of_the_folder_it_is_started_in(
    library: SmallLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("open('trapped', 'w').close()")
    monkeypatch.chdir(tmp_path)
    assert background.spawn(library.folder, ["config", "--library", str(library.folder)]).wait(120) == 0
    assert not (tmp_path / "trapped").exists()


def test_nothing_is_started_while_somebody_writes(desk: Serving, library: SmallLibrary) -> None:
    with library.writer(), pytest.raises(Conflict, match="is writing"):
        desk.jobs.start("index")


def test_what_was_started_elsewhere_is_seen(desk: Serving, library: SmallLibrary) -> None:
    told = Job(library.folder, "index")
    told.tell(at_once=True, phase="index", done=1, total=2)
    (job,) = desk.jobs.all()
    assert (job.phase, job.done, job.running) == ("index", 1, True)
    with pytest.raises(Conflict):
        desk.jobs.start("index")
    told.end("failed", error="the disk is full")
    wait_for(lambda: desk.jobs.get(job.id)[0].error == "the disk is full")


def test_a_job_is_cancelled(desk: Serving, children: Children) -> None:
    job = desk.jobs.start("index")
    desk.jobs.cancel(job.id)
    wait_for(lambda: not desk.jobs.get(job.id)[0].running)
    assert desk.jobs.get(job.id)[0].phase == "interrupted"
    desk.jobs.cancel(job.id)  # once more does no harm
    with pytest.raises(NotThere):
        desk.jobs.cancel("index-0")


def test_a_watcher_outlasts_any_number_of_jobs(
    desk: Serving, library: SmallLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oko.web.desk.LOOK_AGAIN_S", 0.0)
    Job(library.folder, "watch").tell(at_once=True, phase="watching")
    (watcher,) = desk.jobs.all()
    told = Job(library.folder, "index")
    told.end("done")
    values = json.loads(job_path(library.folder, "index").read_text())
    for pid in range(ENDED_JOBS + 5):
        job_path(library.folder, "index").write_text(json.dumps({**values, "pid": 10_000_000 + pid}))
        found = desk.jobs.all()
        assert (found[0].id, desk.jobs.get(watcher.id)[1]) == (watcher.id, 1), "seen all the time"
    assert [job.pid for job in found[1:]] == [10_000_000 + pid for pid in range(ENDED_JOBS + 4, 4, -1)]


def test_the_watcher_is_shown_and_not_ended(desk: Serving, library: SmallLibrary) -> None:
    Job(library.folder, "watch").tell(at_once=True, phase="watching")
    (job,) = desk.jobs.all()
    assert (job.kind, job.running) == ("watch", True)
    with pytest.raises(Conflict):
        desk.jobs.cancel(job.id)
    assert desk.jobs.start("index").running, "it writes for moments only, and nothing waits for it to end"


# Over HTTP


def test_start_over_http(desk: Serving, library: SmallLibrary, children: Children) -> None:
    with client_of(desk) as client:
        (folder,) = client.get("/api/folders").json()
        answer = client.post("/api/jobs", json={"kind": "index", "folder_ids": [folder["id"]]})
        assert answer.status_code == 202
        job = answer.json()["job"]
        assert children.words[0][-1] == str(library.photos.resolve())
        assert client.post("/api/jobs", json={"kind": "index"}).status_code == 409
        assert client.get("/api/jobs").json()["jobs"][0]["id"] == job["id"]
        assert client.get(f"/api/jobs/{job['id']}").json()["job"]["running"] is True
        assert client.delete(f"/api/jobs/{job['id']}").status_code == 202
        wait_for(lambda: not desk.jobs.get(job["id"])[0].running)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "index", "folder_ids": [99]}, 400),
        ({"kind": "tag", "folder_ids": [1]}, 400),
        ({"kind": "forget"}, 422),
        ({"kind": "index", "path": "/etc"}, 422),
        ({}, 422),
    ],
)
def test_a_job_that_makes_no_sense(
    desk: Serving, children: Children, body: dict[str, Any], status: int
) -> None:
    with client_of(desk) as client:
        assert client.post("/api/jobs", json=body).status_code == status
    assert children.all == []


def events_of(text: str) -> list[dict[str, str]]:
    """Server-sent events, read as a browser does."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append(fields)
    return found


def test_a_job_is_followed(desk: Serving, children: Children) -> None:
    with client_of(desk) as client:
        job = client.post("/api/jobs", json={"kind": "index"}).json()["job"]
        address = f"/api/jobs/{job['id']}/events"

        def work() -> None:
            children.tell("done 1 2")
            wait_for(lambda: desk.jobs.get(job["id"])[0].done == 1)
            children.tell("end")

        worker = threading.Thread(target=work)
        worker.start()
        answer = client.get(address)  # the test client gives the whole stream at its end
        worker.join()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.text.startswith("retry: ")
        found = events_of(answer.text)
        assert [event["event"] for event in found[:-1]] == ["progress"] * (len(found) - 1)
        assert found[-1]["event"] == "done"
        assert json.loads(found[-1]["data"])["phase"] == "done"
        # A reader that was away gets what it missed; one that has everything is told not to come back.
        again = events_of(client.get(address, headers={"last-event-id": found[0]["id"]}).text)
        assert [event["id"] for event in again] == [found[-1]["id"]]
        assert client.get(address, headers={"last-event-id": found[-1]["id"]}).status_code == 204
        assert events_of(client.get(address, headers={"last-event-id": "of-another-run"}).text)


def test_a_failure_is_an_event_of_its_own(desk: Serving, children: Children) -> None:
    with client_of(desk) as client:
        job = client.post("/api/jobs", json={"kind": "index"}).json()["job"]
        children.tell("fail the disk is full")
        wait_for(lambda: not desk.jobs.get(job["id"])[0].running)
        (event,) = events_of(client.get(f"/api/jobs/{job['id']}/events").text)
    assert event["event"] == "failed"
    assert json.loads(event["data"])["error"] == "the disk is full"


def test_a_stream_ends_when_the_server_does(desk: Serving, children: Children) -> None:
    with client_of(desk) as client:
        job = client.post("/api/jobs", json={"kind": "index"}).json()["job"]
        threading.Timer(0.5, desk.stopping.set).start()
        found = events_of(client.get(f"/api/jobs/{job['id']}/events").text)
    assert {event["event"] for event in found} == {"progress"}


def test_quiet_streams_stay_alive(desk: Serving, children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    from oko.web import jobs

    monkeypatch.setattr(jobs, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(jobs, "LOOK_S", 0.05)
    with client_of(desk) as client:
        job = client.post("/api/jobs", json={"kind": "index"}).json()["job"]
        threading.Timer(1, desk.stopping.set).start()
        assert ": still here\n\n" in client.get(f"/api/jobs/{job['id']}/events").text
