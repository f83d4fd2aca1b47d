"""`oko watch` and `oko index --background` on the surface: service, words, and what is told to `oko status`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import plistlib
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from indexer.pipeline import Progress
from library.errors import LibraryLocked
from oko import exits, jobs, logs, power, service
from oko.commands import index_, watch_
from oko.words import command_words
from tests.oko.small_library import SmallLibrary, make
from tests.watched import wait_for


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    return make(tmp_path, monkeypatch)


# Service


def test_the_systemd_unit_runs_the_same_watch(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    code = library.oko("watch", library.photos, "--nice", "--exclude", "50% off", "--print-service")
    assert code == exits.DONE
    unit = capsys.readouterr().out
    (start,) = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("ExecStart=")]
    words = shlex.split(start.replace("%%", "%").replace("$$", "$"))
    assert words[:4] == [sys.executable, "-m", "oko", "watch"]
    assert words[-2:] == ["--", str(library.photos)]
    args = argparse.ArgumentParser()
    args.add_argument("--library")
    watch_.add_arguments(args)
    found = args.parse_args(words[4:])
    assert (found.paths, found.library) == ([library.photos], str(library.folder))
    assert (found.nice, found.exclude, found.print_service) == (True, ["50% off"], False)
    assert "ExecReload=/bin/kill -HUP $MAINPID" in unit


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_the_service_is_written_where_systemd_looks(
    library: SmallLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert library.oko("watch", "--install-service") == exits.DONE
    out, err = capsys.readouterr()
    path = tmp_path / "config" / "systemd" / "user" / "oko-watch.service"
    assert str(library.folder) in path.read_text()
    assert str(path) in err
    assert "systemctl --user enable --now oko-watch.service" in out.splitlines()


def test_a_service_that_cannot_be_written(
    library: SmallLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path / "file")
    assert library.oko("watch", "--install-service") == exits.FAILED
    assert "--print-service" in capsys.readouterr().err


def test_the_launchd_agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    found = service.watch_service(["watch", "--", "/Users/me/My Photos"], log_folder=tmp_path)
    assert found.path.name == "photos.oko.watch.plist"
    agent = plistlib.loads(found.text.encode())
    assert agent["ProgramArguments"] == [sys.executable, "-m", "oko", "watch", "--", "/Users/me/My Photos"]
    assert agent["RunAtLoad"] is True


@pytest.mark.parametrize("word", ["a b", "50%", "$HOME", 'say "x"', "back\\slash", "ž", "line\nbreak"])
def test_systemd_reads_any_word_as_it_is(word: str) -> None:
    quoted = service._systemd_quoted(word)
    assert "\n" not in quoted
    plain = quoted[1:-1].replace("%%", "%").replace("$$", "$").replace('\\"', '"').replace("\\n", "\n")
    assert plain.replace("\\\\", "\\") == word


def test_words_are_made_again_from_arguments() -> None:
    parser = argparse.ArgumentParser()
    index_.add_arguments(parser)
    words = ["a", "-odd", "--exclude", "x", "--exclude", "y z", "--strict", "--limit", "3", "--background"]
    args = parser.parse_args([*words[2:], "--", *words[:2]])
    again = command_words(args, index_.add_arguments, without=("background",))
    found = parser.parse_args(again)
    assert found.paths == [Path("a").absolute(), Path("-odd").absolute()]
    assert (found.exclude, found.strict, found.limit, found.background) == (["x", "y z"], True, 3, False)


# Starting


def test_nothing_to_watch(oko_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from oko.cli import main

    assert main(["watch"]) == exits.WRONG_USAGE
    assert "oko watch ~/Pictures" in capsys.readouterr().err
    assert not oko_home.exists()


def test_a_folder_that_is_not_there(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    assert library.oko("watch", library.photos.parent / "nowhere") == exits.WRONG_USAGE
    assert "there is no folder" in capsys.readouterr().err


def test_a_second_watcher_says_who_the_first_is(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    with jobs.only_one(library.folder, "watch", "oko watch"), jobs.telling(library.folder, "watch"):
        assert library.oko("watch") == exits.FAILED
    err = capsys.readouterr().err
    assert "another `oko watch`" in err
    assert f"process {os.getpid()}" in err


# Jobs


def test_a_job_tells_about_itself(tmp_path: Path) -> None:
    assert jobs.read_job(tmp_path, "index") is None
    with jobs.telling(tmp_path, "index") as job:
        steps = list(jobs.followed([Progress("scan", 3, None), Progress("index", 1, 2)], job))
        assert len(steps) == 2
        found = jobs.read_job(tmp_path, "index")
        assert found is not None
        assert (found["running"], found["phase"], found["done"], found["total"]) == (True, "index", 1, 2)
        assert "1 of 2 files" in dict(jobs.status_rows(tmp_path))["Indexing"]
    found = jobs.read_job(tmp_path, "index")
    assert found is not None
    assert (found["running"], found["phase"]) == (False, "done")
    assert jobs.status_rows(tmp_path) == []
    assert os.stat(jobs.job_path(tmp_path, "index")).st_mode & 0o077 == 0


def test_a_failed_and_a_killed_job_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(LibraryLocked), jobs.telling(tmp_path, "index"):
        raise LibraryLocked("somebody is writing")
    assert "somebody is writing" in dict(jobs.status_rows(tmp_path))["Indexing"]
    path = jobs.job_path(tmp_path, "watch")
    with jobs.telling(tmp_path, "watch"):
        values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "pid": 2**22 + 1}))
    assert "it was killed" in dict(jobs.status_rows(tmp_path))["Watching"]
    path.write_text("not JSON")
    assert jobs.read_job(tmp_path, "watch") is None


def test_trouble_is_shown_by_status(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    trouble = {"message": "the disk is full", "hint": "Free some space", "since": jobs.utc_now()}
    with jobs.telling(library.folder, "watch") as job:
        job.tell(phase="working", waiting=1200, folders_watched=3, trouble=trouble)
        assert library.oko("status") == exits.DONE
        out = capsys.readouterr().out
        assert "1,200 files to do, 3 folders watched" in out
        assert "trouble (now): the disk is full. Free some space." in out
        assert library.oko("status", "--json") == exits.DONE
        found = json.loads(capsys.readouterr().out)
    assert found["watcher"]["trouble"]["message"] == "the disk is full"
    assert found["indexing"] is None


def test_a_folder_that_cannot_be_written_stops_no_job(tmp_path: Path) -> None:
    job = jobs.Job(tmp_path / "gone", "index")
    job.end("done")
    assert jobs.read_job(tmp_path / "gone", "index") is None


# In the background


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Processes started in the background, so that none outlives its test."""
    from oko import background

    found: list[Any] = []
    spawn = background._spawn

    def remembered(*arguments: Any) -> Any:
        child = spawn(*arguments)
        child.returncode = None
        found.append(child)
        return child

    monkeypatch.setattr(background, "_spawn", remembered)
    yield found
    for child in found:
        child.kill()
        child.wait()


def test_index_in_the_background(
    tmp_path: Path, oko_home: Path, spawned: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from oko.cli import main
    from tests.albums import picture

    photos = tmp_path / "photos"
    photos.mkdir()
    for n in range(5):
        (photos / f"{n}.png").write_bytes(picture(n))
    started = time.monotonic()
    words = ["index", str(photos), "--background", "--model", "builtin", "--device", "cpu", "--json"]
    assert main(words) == exits.DONE
    assert time.monotonic() - started < 5
    assert json.loads(capsys.readouterr().out)["pid"] == spawned[0].pid
    assert spawned[0].wait(600) == exits.DONE
    found = jobs.read_job(oko_home, "index")
    assert found is not None
    assert (found["phase"], found["done"], found["total"]) == ("done", 5, 5)


def test_what_goes_wrong_in_the_background_is_told_by_status(
    library: SmallLibrary, spawned: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKO_LOCK_TIMEOUT_S", "0.1")
    with library.writer():
        assert library.oko("index", "--background", "--model", "builtin") == exits.DONE
        assert spawned[0].wait(600) == exits.FAILED
    wait_for(lambda: "Indexing" in dict(jobs.status_rows(library.folder)))
    assert "another process is writing" in dict(jobs.status_rows(library.folder))["Indexing"]


def test_wrong_paths_are_said_at_once(library: SmallLibrary, spawned: list[Any]) -> None:
    assert library.oko("index", library.photos / "nowhere", "--background") == exits.WRONG_USAGE
    assert library.oko("index", "--background", "--dry-run") == exits.WRONG_USAGE
    with jobs.telling(library.folder, "index"):
        assert library.oko("index", "--background") == exits.FAILED
    assert spawned == []


# Gentleness


def test_a_run_pauses_on_battery(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = ["", power.ON_BATTERY, power.ON_BATTERY, "", ""]
    told: list[str] = []
    steps = power.paused(["a", "b", "c"], lambda: reasons.pop(0), told.append, sleep_s=0)
    assert list(steps) == ["a", "b", "c"]
    assert told == [power.ON_BATTERY]
    assert reasons == []


def test_the_battery_is_asked_now_and_then() -> None:
    answers = [True, False]
    pause = power.BatteryPause(lambda: answers.pop(0))
    assert [pause(), pause()] == [power.ON_BATTERY, power.ON_BATTERY]
    pause._asked_at = float("-inf")
    assert pause() == ""


def test_without_a_battery_nothing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.sensors_battery", lambda: None, raising=False)
    assert not power.on_battery()
    monkeypatch.delattr("psutil.sensors_battery", raising=False)
    assert not power.on_battery()


# The log


def test_log_lines_as_json() -> None:
    record = logging.LogRecord("indexer.batches", logging.INFO, "", 0, "%d embedded", (3,), None)
    record.data = {"embedded": 3}
    line = json.loads(logs.JsonFormatter().format(record))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "logger": "indexer.batches", "message": "3 embedded", "embedded": 3}
    try:
        raise ValueError("odd")
    except ValueError:
        record.exc_info = sys.exc_info()
    assert "ValueError: odd" in json.loads(logs.JsonFormatter().format(record))["traceback"]
