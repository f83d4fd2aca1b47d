"""The library folder: who may use it, where it may lie, and the lock of its one writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from library.errors import LibraryLocked, LibraryOnNetwork, LibraryUnreadable
from library.folder import create_folder, default_folder, file_system, refuse_network, writer_lock

HOLD = """
import sys, time
from pathlib import Path
from library.folder import writer_lock
with writer_lock(Path(sys.argv[1]), purpose="oko index", timeout_s=5):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def other_writer(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A child process that holds the lock until its input ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_second_writer_is_told_who_holds_the_library(tmp_path: Path) -> None:
    with other_writer(tmp_path) as child:
        started = time.monotonic()
        with (
            pytest.raises(LibraryLocked) as caught,
            writer_lock(tmp_path, purpose="oko watch", timeout_s=0.5),
        ):
            pytest.fail("two writers at once")
        assert 0.4 < time.monotonic() - started < 5
        assert f"`oko index`, process {child.pid}, since " in caught.value.message
        child.communicate("\n", timeout=10)
        with writer_lock(tmp_path, purpose="oko watch", timeout_s=5):
            assert "oko watch" in (tmp_path / "writer.json").read_text()
    assert not (tmp_path / "writer.json").exists()


def test_a_second_writer_waits_for_its_turn(tmp_path: Path) -> None:
    with other_writer(tmp_path) as child:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
        with writer_lock(tmp_path, purpose="oko watch", timeout_s=10):
            assert child.wait(10) == 0


def test_a_killed_writer_holds_nothing(tmp_path: Path) -> None:
    with other_writer(tmp_path) as child:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
        assert (tmp_path / "writer.json").exists(), "its note is left, and means nothing"
        with writer_lock(tmp_path, purpose="oko watch", timeout_s=5):
            assert "oko watch" in (tmp_path / "writer.json").read_text()


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"7", b'{"pid": 1}', b"\xff"])
def test_a_note_that_makes_no_sense_does_no_harm(tmp_path: Path, note: bytes) -> None:
    with other_writer(tmp_path):
        (tmp_path / "writer.json").write_bytes(note)
        with (
            pytest.raises(LibraryLocked, match="did not say which"),
            writer_lock(tmp_path, purpose="x", timeout_s=0),
        ):
            pass


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writer_lock(tmp_path, purpose="x", timeout_s=0):
        raise ZeroDivisionError
    with writer_lock(tmp_path, purpose="x", timeout_s=0):
        pass


def test_a_folder_that_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(LibraryUnreadable, match="cannot be written"),
        writer_lock(tmp_path / "file", purpose="x", timeout_s=0),
    ):
        pass


def test_a_new_library_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    create_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    create_folder(folder)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "library"):
        with pytest.raises(LibraryUnreadable, match="cannot be created") as caught:
            create_folder(place)
        assert "--library" in caught.value.hint


def mounts(monkeypatch: pytest.MonkeyPatch, **kinds: str) -> None:
    partitions = [SimpleNamespace(mountpoint=place, fstype=kind, opts="rw") for place, kind in kinds.items()]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: partitions)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "NFS"])
def test_a_library_on_a_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts(monkeypatch, **{"/": "ext4", str(tmp_path / "net"): kind})
    with pytest.raises(LibraryOnNetwork, match=kind.lower()) as caught:
        refuse_network(tmp_path / "net" / "library")
    assert "local disk" in caught.value.hint
    refuse_network(tmp_path / "network")


def test_the_innermost_and_latest_mount_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, disk = str(tmp_path / "net"), str(tmp_path / "net" / "disk")
    mounts(monkeypatch, **{disk: "ext4", net: "nfs", "/": "btrfs"})
    assert file_system(tmp_path / "net" / "disk" / "library") == "ext4"
    assert file_system(tmp_path / "net" / "library") == "nfs"
    assert file_system(tmp_path) == "btrfs"
    (tmp_path / "link").symlink_to(tmp_path / "net")
    assert file_system(tmp_path / "link" / "library") == "nfs"


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder({"OKO_HOME": "~/photos-library"}) == tmp_path / "photos-library"
    assert default_folder({}).name == "oko"
    assert default_folder({"OKO_HOME": ""}).name == "oko"


def test_a_writers_note_is_its_owners_alone(tmp_path: Path) -> None:
    note = tmp_path / "writer.json"
    note.write_text("{}")
    note.chmod(0o644)  # as a killed writer of an older version left it
    with writer_lock(tmp_path, purpose="oko index", timeout_s=5):
        assert note.stat().st_mode & 0o777 == 0o600
