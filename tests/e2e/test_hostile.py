"""A folder of everything that people's disks hold: the run ends well, and each file is accounted for."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from library.catalog import reading
from library.records import FileState
from library.store import Store
from oko import exits
from oko.cli import main
from tests.albums import Album, picture
from tests.pictures import INDEXED, UNREADABLE, hostile_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def test_every_hostile_file_is_accounted_for(
    folder: Path, oko_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = hostile_folder(folder)
    assert main(["index", str(folder), "--model", "builtin", "--device", "cpu"]) == exits.DONE
    said = capfd.readouterr().err
    store = Store.open(oko_home)
    with store.catalog.reading() as c:
        (root,) = reading.roots(c)
        model_id = reading.models(c)[0][0]
        rows = {row.path: row for row in reading.file_rows(c, root.id, model_id)}
        problems = {row.path: row.reason for row in reading.problem_files(c, list(FileState)) if row.reason}
    store.close()
    taken = {name: str(outcome) for name, outcome in expected.items() if outcome in (INDEXED, UNREADABLE)}
    assert {name: row.state.value for name, row in rows.items()} == taken
    assert {name for name, row in rows.items() if row.has_embedding} == {
        name for name, outcome in taken.items() if outcome == INDEXED
    }
    unreadable = {name for name, outcome in taken.items() if outcome == UNREADABLE}
    assert problems.keys() == unreadable
    assert all(len(reason) > 10 for reason in problems.values())
    assert "pipes, sockets and devices" in said
    assert "symbolic links" in said

    capfd.readouterr()
    assert main(["status", "--problems"]) == exits.DONE
    out = capfd.readouterr().out
    for name in unreadable:
        assert os.fsdecode(name) in out
    assert main(["index", "--strict"]) == exits.SOME_UNREADABLE


def test_results_with_hostile_names_can_be_printed(
    folder: Path, oko_home: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    names = [b"new\nline.png", b"\xff\xfe.png", b"-rf.png", "kočka 😀.png".encode()]
    for n, name in enumerate(names):
        with open(os.path.join(os.fsencode(folder), name), "wb") as out:
            out.write(picture(n))
    assert main(["index", str(folder), "--model", "builtin", "--device", "cpu"]) == exits.DONE
    capfdbinary.readouterr()
    assert main(["search", "noise", "--all", "--null"]) == exits.DONE
    found = capfdbinary.readouterr().out
    paths = {os.path.join(os.fsencode(folder.resolve()), name) for name in names}
    assert set(found.split(b"\0")) - {b""} == paths
    for shape in ("--json", "--csv", "--paths"):
        assert main(["search", "noise", "--all", shape]) == exits.DONE
        assert len(capfdbinary.readouterr().out) > 100


AS_NOBODY = """
import os, sys, tempfile
from pathlib import Path
from tests.albums import Album, picture
with tempfile.TemporaryDirectory() as warm:  # all that is imported late, while it may be read
    album = Album(Path(warm)); album.put("a.png", 1); album.index()
base = Path(sys.argv[1])
os.setgroups([]); os.setgid(65534); os.setuid(65534)
album = Album(base)
report = album.index()
print(report.embedded, report.failed, report.skipped)
for name, row in sorted(album.rows().items()):
    print(name, row.state, row.reason)
os.chmod(base / "photos" / "closed.png", 0o600)
os.chmod(base / "photos" / "closed", 0o700)
print(album.index().embedded)
album.check()
"""


@pytest.fixture
def nobodys_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="oko-nobody-") as name:
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_files_and_folders_without_permission(nobodys_folder: Path) -> None:
    album = Album(nobodys_folder)
    for n, name in enumerate(("open.png", "closed.png", "closed/inside.png")):
        album.put(name, n)
    for path in (nobodys_folder, *nobodys_folder.rglob("*")):
        os.chown(path, 65534, 65534)
    (album.photos / "closed.png").chmod(0)
    (album.photos / "closed").chmod(0)
    child = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(nobodys_folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert child.stderr == ""
    assert child.stdout.splitlines() == [
        "1 1 {'folders that cannot be read': 1}",
        "closed.png failed no permission to read the file",
        "open.png indexed None",
        "2",
    ]
