"""oko status: what it says about libraries in every condition, and what it does not load."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import filelock
import pytest

from library.vectors import MARK
from tests.oko.small_library import SmallLibrary, make


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    return make(tmp_path, monkeypatch)


def status(library: SmallLibrary, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    capsys.readouterr()
    assert library.oko("status", "--json", *more) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_counts(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    found = status(library, capsys)
    assert found["photos"] == {"total": 3, "on_disk": 3}
    assert found["files"] == {"indexed": 4, "missing": 0, "unreadable": 2, "failed": 0}
    assert found["model"] == "one"
    (folder,) = found["folders"]
    assert folder["path"] == str(library.photos)
    assert (folder["files"], folder["missing_files"], folder["presence"]) == (6, 0, "there")
    assert "problems" not in found
    assert found["writer"] is None


def test_model_and_disk(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    found = status(library, capsys)
    (model,) = found["models"]
    assert (model["name"], model["photos"], model["share_complete"]) == ("one", 3, 1.0)
    assert model["is_library_model"]
    assert model["vectors_bytes"] == 3 * 2 * 64
    saved = library.folder / "vectors-1.faiss"
    assert model["index"] == {"state": "current", "behind": 0, "size_bytes": saved.stat().st_size}
    disk = found["disk"]
    assert disk["total_bytes"] == disk["catalog_bytes"] + disk["wal_bytes"] + disk["indexes_bytes"]
    assert 0 < disk["thumbnails_estimated_bytes"] < disk["catalog_bytes"]


def test_last_run(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    run = status(library, capsys)["last_run"]
    assert (run["kind"], run["state"], run["report"]["embedded"]) == ("index", "complete", 3)
    assert run["sentence"].startswith("6 files seen, 3 photos embedded, 2 unreadable, in ")


def test_run_without_end_was_killed_or_is_running(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    with library.writer() as store:
        store.start_run("index")
        assert status(library, capsys)["last_run"]["state"] == "running"
        assert status(library, capsys)["writer"]["purpose"] == "test"
    found = status(library, capsys)
    assert found["last_run"]["state"] == "killed"
    assert found["last_run"]["report"] is None
    assert library.oko("status") == 0
    assert "it was killed" in capsys.readouterr().out


def test_note_of_a_killed_writer_is_not_believed(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    (library.folder / "writer.json").write_text('{"pid": 1, "purpose": "oko index", "since": "09:00:00"}')
    assert status(library, capsys)["writer"] is None


def test_interrupted_run(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    with library.writer() as store:
        store.finish_run(store.start_run("index"), json.dumps({"scanned": 7, "interrupted": True}))
    run = status(library, capsys)["last_run"]
    assert run["state"] == "interrupted"
    assert run["sentence"].startswith("7 files seen")


def test_problems_are_listed_with_their_reasons(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = status(library, capsys, "--problems")["problems"]
    assert [Path(p["path"]).name for p in problems] == ["bad.jpg", "zero.jpg"]
    assert problems[1]["reason"] == "the file is empty (0 bytes)"
    assert library.oko("status", "--problems") == 0
    assert f"{library.photos}/zero.jpg: the file is empty (0 bytes)\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "state"), [("missing", "missing"), ("cut", "torn"), ("zeroes", "torn"), ("other", "foreign")]
)
def test_index_health(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], what: str, state: str
) -> None:
    path = library.folder / "vectors-1.faiss"
    content = path.read_bytes()
    path.unlink()
    stamp = content[content.index(b'{"library_id"') : -len(MARK) - 8]
    other = stamp.replace(stamp[16:24], b"deadbeef", 1)
    damaged = {"cut": content[:-5], "zeroes": b"", "other": content.replace(stamp, other)}
    if what in damaged:
        path.write_bytes(damaged[what])
    assert status(library, capsys)["models"][0]["index"]["state"] == state


def test_index_that_is_behind(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    path = library.folder / "vectors-1.faiss"
    old = path.read_bytes()
    shutil.copy(library.photos / "red.jpg", library.photos / "new.jpg")
    with (library.photos / "new.jpg").open("ab") as out:
        out.write(b"another content")
    library.index()
    path.write_bytes(old)
    assert status(library, capsys)["models"][0]["index"] | {"size_bytes": 0} == {
        "state": "behind",
        "behind": 1,
        "size_bytes": 0,
    }


def test_changes_of_another_model_do_not_make_an_index_look_old(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    assert library.oko("models", "use", "two") == 0
    states = {m["name"]: m["index"]["state"] for m in status(library, capsys)["models"]}
    assert states == {"one": "current", "two": "current"}


def test_folders_that_are_away(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    library.photos.rename(library.photos.with_name("elsewhere"))
    (folder,) = status(library, capsys)["folders"]
    assert folder["presence"] == "absent"
    assert folder["offline"]
    library.photos.mkdir()
    assert status(library, capsys)["folders"][0]["presence"] == "empty"
    library.index()
    found = status(library, capsys)
    assert found["photos"] == {"total": 3, "on_disk": 0}
    assert found["folders"][0]["missing_files"] == 6
    assert library.oko("status") == 0
    out = capsys.readouterr().out
    assert "3 (0 on disk, 3 not)" in out
    assert "is its drive connected?" in out


def test_piped_output_is_plain_and_aligned(library: SmallLibrary, capsys: pytest.CaptureFixture[str]) -> None:
    assert library.oko("status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:10].strip() for line in lines] == [
        *("Library", "Photos", "Files", "Folders", "Models", "Disk", "Last run", "Writing")
    ]
    assert "\x1b" not in "".join(lines)
    assert lines[0] == f"Library   {library.folder}"


def test_without_a_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from oko.cli import main

    assert main(["status", "--library", str(tmp_path / "none")]) == 1
    assert "there is no library" in capsys.readouterr().err


def test_loads_neither_torch_nor_faiss(library: SmallLibrary) -> None:
    code = (
        "import sys; from oko.cli import main; "
        f"assert main(['status', '--library', {str(library.folder)!r}]) == 0; "
        "print(sorted({'torch', 'open_clip', 'faiss'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


def test_looking_at_a_writer_does_not_touch_its_lock(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that does not wait must not fail because somebody looks at the moment when it begins."""
    with library.writer():
        monkeypatch.setattr(filelock.FileLock, "acquire", lambda *_, **__: pytest.fail("the lock was taken"))
        assert status(library, capsys)["writer"].keys() == {"pid", "purpose", "since"}


def test_a_note_of_a_number_that_another_process_has_now(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    note = {"pid": os.getpid(), "began": 1.0, "purpose": "oko index", "since": "09:00:00"}
    (library.folder / "writer.json").write_text(json.dumps(note))
    assert status(library, capsys)["writer"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes")
@pytest.mark.parametrize("command", ["status", "config"])
def test_a_library_folder_that_text_cannot_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    library = make(tmp_path / os.fsdecode(b"b\xff"), monkeypatch)
    capsys.readouterr()
    assert library.oko(command, "--json") == 0
    found = json.loads(capsys.readouterr().out.encode("utf-8"))
    assert found["library_folder"] == str(tmp_path / "b\ufffd" / "lib")
    assert base64.b64decode(found["library_folder_b64"]) == os.fsencode(library.folder)


def test_weights_of_one_name_are_told_apart(
    library: SmallLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown() -> list[str]:
        capsys.readouterr()
        assert library.oko("status") == 0
        lines = capsys.readouterr().out.splitlines()
        at = next(number for number, line in enumerate(lines) if line.startswith("Models"))
        return [line for line in lines[at : at + 2] if "3 photos" in line]

    assert [line.split()[1] for line in shown()] == ["one"]
    with library.writer() as store, store.catalog.writing() as c:
        c.exec_driver_sql(
            "UPDATE model SET weights_sha256 = 'abcdef0123456789' || substr(weights_sha256, 17)"
        )
    library.index()
    first, second = shown()
    assert "one (abcdef01)" in first
    assert "one (" in second
    assert "abcdef01" not in second
