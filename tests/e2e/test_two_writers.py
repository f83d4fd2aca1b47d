"""Two writers, readers beside a writer, and Ctrl-C: real processes of the real command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oko import exits
from tests.albums import picture

ROOT = Path(__file__).parents[2]


def oko(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "oko", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(child: subprocess.Popen[str], timeout_s: float = 120) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=timeout_s)
    return child.returncode, out, err


@pytest.fixture
def photos(tmp_path: Path, oko_home: Path) -> Path:
    """Eight photos, indexed with the built-in model."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for n in range(8):
        (photos / f"{n}.png").write_bytes(picture(n))
    code, _, err = finished(oko("index", photos, "--model", "builtin", "--device", "cpu"))
    assert code == exits.DONE, err
    return photos


@pytest.fixture
def writer(photos: Path, oko_home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the library as `oko index` does, until its input ends."""
    code = (
        "import sys; from pathlib import Path; from library.store import Store\n"
        "with Store.open_writer(Path(sys.argv[1]), purpose='oko index', timeout_s=5):\n"
        "    print('holds', flush=True); sys.stdin.readline()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(oko_home)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "holds\n"
    yield child
    child.kill()
    child.communicate()


def test_a_second_writer_waits_and_then_says_who_holds_the_library(
    photos: Path, writer: subprocess.Popen[str]
) -> None:
    started = time.monotonic()
    second = oko("index", photos, OKO_LOCK_TIMEOUT_S="1.5")
    reader = oko("search", "noise", "--all", "--json")
    code, out, err = finished(second)
    assert time.monotonic() - started > 1.5
    assert (code, out) == (exits.FAILED, "")
    assert f"`oko index`, process {writer.pid}, since" in err
    assert "Traceback" not in err
    code, out, err = finished(reader)
    assert code == exits.DONE, err
    assert len(json.loads(out)) == 8


def test_a_second_writer_goes_on_when_the_first_is_done(photos: Path, writer: subprocess.Popen[str]) -> None:
    (photos / "new.png").write_bytes(picture(100))
    second = oko("index", photos, "--json", OKO_LOCK_TIMEOUT_S="60")
    time.sleep(0.5)
    writer.communicate("\n")
    code, out, err = finished(second)
    assert code == exits.DONE, err
    assert json.loads(out)["embedded"] == 1


INTERRUPTED = """
import sys, time
from pathlib import Path
from library.fakes import FakeEncoder
from oko import assemble
from oko.cli import main
class Slow(FakeEncoder):
    def encode_images(self, batch):
        print("batch", flush=True)
        time.sleep(0.05)
        return super().encode_images(batch)
assemble.make_encoder = lambda spec, config: Slow()
sys.argv = ["oko", "index", sys.argv[1], "--model", "builtin", "--batch-size", "4", "--json"]
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_kill_keep_what_was_done(tmp_path: Path, oko_home: Path, number: int) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for n in range(200):
        (photos / f"{n}.png").write_bytes(picture(n))
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(photos)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    for _ in range(4):
        assert child.stdout.readline() == "batch\n"
    child.send_signal(number)
    code, out, err = finished(child)
    assert code == exits.INTERRUPTED, err
    assert "Traceback" not in err
    report = json.loads(out.splitlines()[-1])
    assert report["interrupted"]
    assert 12 <= report["embedded"] < 200

    code, out, err = finished(oko("status", "--json"))
    assert code == exits.DONE, err
    assert json.loads(out)["photos"]["total"] == report["embedded"]
