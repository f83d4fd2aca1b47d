"""`oko watch` and `oko index --background` on the surface: service, words, and what is told to `oko status`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import plistlib
import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from indexer.pipeline import Progress
from library.errors import LibraryLocked
from library.folder import default_folder
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
    assert words[:5] == [sys.executable, "-P", "-m", "oko", "watch"]
    assert words[-2:] == ["--", str(library.photos)]
    args = argparse.ArgumentParser()
    args.add_argument("--library")
    watch_.add_arguments(args)
    found = args.parse_args(words[5:])
    assert (found.paths, found.library) == ([library.photos], str(library.folder))
    assert (found.nice, found.exclude, found.print_service) == (True, ["50% off"], False)
    assert "--log-format" not in words
    assert "Restart=always" in unit
    assert "ExecReload=/bin/kill -HUP $MAINPID" in unit


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_the_service_is_written_where_systemd_looks(
    library: SmallLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert library.oko("watch", "--install-service") == exits.DONE
    out, err = capsys.readouterr()
    (path,) = (tmp_path / "config" / "systemd" / "user").iterdir()
    assert re.fullmatch(r"oko-watch-[0-9a-f]{8}\.service", path.name)
    assert str(library.folder) in path.read_text()
    assert os.stat(path).st_mode & 0o077 == 0
    assert str(path) in err
    assert "loginctl enable-linger" in err
    assert f"systemctl --user disable --now {path.name} && rm '{path}'" in err
    assert f"systemctl --user enable --now {path.name}" in out.splitlines()


def test_the_library_that_is_used_when_none_is_named_has_the_plain_service(
    library: SmallLibrary, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"OKO_HOME": "/elsewhere", "OKO_EXCLUDE": "50% off, $HOME", "PATH": "/bin"}
    found = service.watch_service(["watch"], default_folder({}), environment)
    assert sys.platform != "linux" or found.path.name == "oko-watch.service"
    assert "OKO_HOME" not in found.text
    assert "PATH" not in found.text
    assert service.systemd_unit([], {"OKO_A": "50% of $x"}).count('Environment="OKO_A=50%% of $x"\n') == 1


def test_a_service_of_what_is_not_there_or_cannot_be_named(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    assert library.oko("watch", library.photos / "nowhere", "--print-service") == exits.WRONG_USAGE
    assert "there is no file or folder" in capsys.readouterr().err
    odd = Path(os.fsdecode(os.fsencode(library.photos) + b"/\xff"))
    odd.mkdir()
    assert library.oko("watch", odd, "--print-service") == exits.WRONG_USAGE
    assert "no UTF-8" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        library.oko("watch", "--print-service", "--install-service")


@pytest.fixture
def log_restored() -> Iterator[None]:
    """The log as it was: it would go on writing to this test's captured output."""
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in logs.OURS}
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("log_restored")
@pytest.mark.parametrize("name", ["text", "json"])
def test_an_error_that_ends_it_is_said_as_the_log_is(
    name: str, library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    with jobs.only_one(library.folder, "watch", "oko watch"):
        assert library.oko("watch", "--log-format", name) == exits.FAILED
    lines = capsys.readouterr().err.splitlines()
    if name == "text":
        assert lines[-2].startswith("oko: another `oko watch` is at work")
    else:
        (line,) = map(json.loads, lines)
        assert (line["level"], line["hint"]) == ("error", "One is enough. How it is: oko status")


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
    words, environment = ["watch", "--", "/Users/me/My Photos"], {"OKO_DEVICE": "cpu", "HOME": "/Users/me"}
    found = service.watch_service(words, default_folder({}), environment)
    assert found.path.name == "photos.oko.watch.plist"
    agent = plistlib.loads(found.text.encode())
    assert (agent["Label"], agent["EnvironmentVariables"]) == ("photos.oko.watch", {"OKO_DEVICE": "cpu"})
    other = service.watch_service(words, tmp_path, environment)
    assert plistlib.loads(other.text.encode())["Label"] == other.path.stem != found.path.stem
    assert agent["ProgramArguments"] == [
        sys.executable,
        "-P",
        "-m",
        "oko",
        "watch",
        "--",
        "/Users/me/My Photos",
    ]
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
        job.tell(phase="working", waiting=1200, folders_watched=1, trouble=trouble)
        assert library.oko("status") == exits.DONE
        out = capsys.readouterr().out
        assert "1,200 files to do, 1 folder watched" in out
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


def test_of_two_started_at_once_the_late_one_does_not_speak_for_the_other(
    library: SmallLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oko import background

    with jobs.telling(library.folder, "index") as job:
        job.tell(phase="index", at_once=True)
        path = jobs.job_path(library.folder, "index")
        path.write_text(json.dumps({**json.loads(path.read_text()), "pid": os.getppid(), "began": began()}))
        background._tell_failure(library.folder, "index", "another process is writing")
        found = jobs.read_job(library.folder, "index")
        assert found is not None
        assert (found["running"], found["pid"], found["error"]) == (True, os.getppid(), None)
    background._tell_failure(library.folder, "index", "another process is writing")
    assert "another process is writing" in dict(jobs.status_rows(library.folder))["Indexing"]


def began() -> float:
    """When our parent began."""
    import psutil

    return float(psutil.Process(os.getppid()).create_time())


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
