"""The store: catalog and index agree whatever happens to either, and every error is said as what it is."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event

from indexer.pipeline import IndexRun
from library import indexes as indexes_module
from library.catalog import engine, forgetting
from library.errors import (
    ConfigError,
    DiskFull,
    LibraryDamaged,
    LibraryLocked,
    ModelMismatch,
    NoLibrary,
)
from library.fakes import FakeEncoder
from library.folder import CATALOG_NAME
from library.store import Store
from library.vectors import FlatIndex, read_stamp
from tests.albums import Album, picture


@pytest.fixture
def album(tmp_path: Path) -> Album:
    """Twelve photos, indexed."""
    album = Album(tmp_path)
    for n in range(12):
        album.put(f"{n:02}.png", n)
    album.index()
    return album


def index_file(album: Album) -> Path:
    return album.library / "vectors-1.faiss"


def test_a_run_leaves_an_index_that_says_what_it_reflects(album: Album) -> None:
    stamp = read_stamp(index_file(album))
    with album.reading() as store:
        assert store.model_id(album.encoder.stamp) == stamp.model_id
    assert (stamp.count, stamp.dim) == (12, album.encoder.stamp.dim)


def test_an_index_that_is_up_to_date_is_not_written_again(album: Album) -> None:
    before = index_file(album).stat()
    album.index()
    after = index_file(album).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def damage(album: Album, how: str) -> None:
    path = index_file(album)
    whole = path.read_bytes()
    index, stamp = FlatIndex.read(path)
    match how:
        case "gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "torn":
            path.write_bytes(whole[: len(whole) // 2])
        case "foreign":
            path.write_bytes(b"not an index at all" * 100)
        case "a folder":
            path.unlink()
            path.mkdir()
        case "of another library":
            index.write(path, replace(stamp, library_id="other"))
        case "of another model":
            index.write(path, replace(stamp, model_id=9))
        case "ahead":
            index.write(path, replace(stamp, revision=stamp.revision + 50))
        case "lacking one":
            index.remove(np.array([3], np.int64))
            index.write(path, replace(stamp, count=len(index)))
        case "with one too many":
            index.add(np.array([99], np.int64), index.contents()[1][:1])
            index.write(path, replace(stamp, count=len(index)))


HOW = ["gone", "empty", "torn", "foreign", "a folder", "of another library", "of another model", "ahead"]


@pytest.mark.parametrize("how", [*HOW, "lacking one", "with one too many"])
def test_a_reader_makes_a_bad_index_anew(album: Album, how: str) -> None:
    damage(album, how)
    album.check()
    assert album.found("03.png") == ["03.png"]


def test_an_index_ahead_of_its_catalog_is_not_caught_up_with(album: Album) -> None:
    """A catalog restored from a backup goes through the same revisions again, with other photos."""
    shutil.copy(album.library / CATALOG_NAME, album.base / "backup.sqlite")
    for n in range(50, 58):
        album.put(f"first-{n}.png", n)
    album.index()
    assert len(album.rows()) == 20
    for path in album.photos.glob("first-*"):
        path.unlink()
    for leftover in album.library.glob(CATALOG_NAME + "-*"):
        leftover.unlink()
    shutil.copy(album.base / "backup.sqlite", album.library / CATALOG_NAME)
    for n in range(70, 78):
        album.put(f"then-{n}.png", n)
    album.index()
    album.check()


def test_an_old_index_is_caught_up(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    old = index_file(album).read_bytes()
    album.put("new.png", 100)
    album.put("03.png", 103)
    (album.photos / "04.png").write_bytes((album.photos / "05.png").read_bytes())
    album.index()
    index_file(album).write_bytes(old)
    rebuilt: list[int] = []
    add_all = indexes_module._add_all
    monkeypatch.setattr(
        indexes_module, "_add_all", lambda c, i, m, since: (rebuilt.append(since), add_all(c, i, m, since))[1]
    )
    album.check()
    assert rebuilt == [read_stamp(index_file(album)).revision], "from where it was, not from nothing"
    assert rebuilt[0] > 0


def test_an_open_reader_follows_the_writer(album: Album) -> None:
    with album.reading() as store:
        model_id, dim = store.model_id(album.encoder.stamp), album.encoder.stamp.dim
        before = store.vectors(model_id, dim)
        assert len(before) == 12
        album.put("new.png", 100)
        album.put("03.png", 103)
        album.index()
        after = store.vectors(model_id, dim)
        assert len(after) == 13
        hit = after.search(album.fresh_vector(album.photos / "03.png"), 1)
        assert (hit[0][0], round(float(hit[1][0]), 3)) == (album.photo_of("03.png"), 1.0)


def test_a_writer_that_searches_follows_itself(album: Album, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    album.put("new.png", 100)
    (album.photos / "04.png").write_bytes((album.photos / "05.png").read_bytes())
    with album.writing() as store:
        model_id, dim = store.model_id(album.encoder.stamp), album.encoder.stamp.dim
        store.vectors(model_id, dim)
        run = IndexRun(store, album.encoder, album.settings())
        for _ in run.steps([album.photos]):
            pass
        vector = album.fresh_vector(album.photos / "new.png")
        assert store.vectors(model_id, dim).search(vector, 1)[1][0] == pytest.approx(1, abs=1e-3)
        assert len(store.vectors(model_id, dim)) == 12, "one new, one gone"
    assert "made anew" not in caplog.text
    album.check()


def test_readers_see_whole_batches_while_a_writer_writes(album: Album) -> None:
    for n in range(200, 300):
        album.put(f"{n}.png", n)
    counts: list[int] = []
    stop = threading.Event()

    def read() -> None:
        with album.reading() as store:
            model_id, dim = store.model_id(album.encoder.stamp), album.encoder.stamp.dim
            while not stop.is_set():
                counts.append(len(store.vectors(model_id, dim)))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        album.index()
    finally:
        stop.set()
        thread.join()
    assert counts == sorted(counts)
    assert all(count == 112 or (count - 12) % album.config.batch_size == 0 for count in counts)
    album.check()


def limit_pages(store: Store, more: int) -> None:
    """Let the database grow by so many pages only: SQLite's own limit stands for the disk's."""
    with store.catalog.reading() as c:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar_one() + more
    limit = f"PRAGMA max_page_count = {pages}"  # each connection keeps its own
    event.listen(store.catalog.engine, "begin", lambda c: c.exec_driver_sql(limit))


def test_a_full_disk_keeps_what_was_committed(album: Album) -> None:
    for n in range(300, 400):
        album.put(f"{n}.png", n)
    with album.writing() as store:
        limit_pages(store, 4)
        run = IndexRun(store, album.encoder, album.settings())
        steps = run.steps([album.photos])
        with pytest.raises(DiskFull) as caught:
            list(steps)
    assert "kept" in caught.value.hint
    assert 0 < run.report.embedded < 100
    assert len(album.rows()) == 12 + run.report.embedded
    album.check()
    report = album.index()
    assert report.embedded == 100 - run.report.embedded
    album.check()


def test_an_index_that_cannot_be_saved_is_only_said(album: Album, caplog: pytest.LogCaptureFixture) -> None:
    index_file(album).unlink()
    index_file(album).mkdir()
    (index_file(album) / "occupied").touch()
    album.put("new.png", 100)
    with caplog.at_level(logging.WARNING):
        assert album.index().embedded == 1
    assert "could not be saved" in caplog.text
    album.check()


def test_a_catalog_that_another_program_locks(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 100)
    other = sqlite3.connect(album.library / CATALOG_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(LibraryLocked, match="locked by another program"), album.writing():
            pass
        album.check()
    finally:
        other.close()


@pytest.mark.parametrize("how", ["text", "header", "middle", "cut"])
def test_a_damaged_catalog_is_said_to_be(album: Album, how: str) -> None:
    path = album.library / CATALOG_NAME
    data = bytearray(path.read_bytes())
    match how:
        case "text":
            data = bytearray(b"These are words. " * 1000)
        case "header":
            data[:100] = bytes(100)
        case "middle":
            for page in range(2, len(data) // 4096):
                data[page * 4096 : page * 4096 + 200] = b"\xa5" * 200
        case "cut":
            del data[len(data) // 2 :]
    path.write_bytes(data)
    with pytest.raises(LibraryDamaged, match="damaged") as caught:
        album.index()
    assert "photos are untouched" in caught.value.hint
    with pytest.raises(LibraryDamaged, match="damaged"):
        album.found("03.png")


def test_no_library_is_not_made_by_asking(tmp_path: Path) -> None:
    for folder in (tmp_path / "nothing", tmp_path):
        with pytest.raises(NoLibrary):
            Store.open(folder)
        with pytest.raises(NoLibrary), Store.open_writer(folder, purpose="x", timeout_s=0):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_library_is_its_owners_alone(album: Album) -> None:
    modes = {path.name: path.stat().st_mode & 0o077 for path in (album.library, *album.library.glob("cat*"))}
    assert modes == dict.fromkeys(modes, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_folder_without_permission(album: Album) -> None:
    code = "\n".join(
        (
            "import os, sys",
            "from pathlib import Path",
            "from library.errors import LibraryUnreadable",
            "from library.store import Store",
            "os.setgid(65534); os.setuid(65534)",
            "try: Store.open(Path(sys.argv[1]))",
            "except LibraryUnreadable as e: print(e.message)",
        )
    )
    for folder in (album.base, album.base.parent, album.base.parent.parent):
        folder.chmod(0o755)
    out = subprocess.run([sys.executable, "-c", code, str(album.library)], capture_output=True, text=True)
    assert out.stderr == ""
    assert f"{album.library} cannot be read: Permission denied" in out.stdout


@pytest.mark.parametrize("name", ["a?b=c#d", "100%", "with space", b"\xff\xfe", "kočka 😀", "a'b\"c"])
def test_a_library_may_have_any_name(tmp_path: Path, name: str | bytes) -> None:
    folder = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), os.fsencode(name))))
    album = Album(folder)
    album.put("a.png", 1)
    assert album.index().embedded == 1
    assert (album.library / CATALOG_NAME).is_file()
    album.check()


def test_a_bad_database_url_is_a_setting_that_is_wrong(tmp_path: Path) -> None:
    for url in ("no url", "nosuch://x", "postgresql+nosuchdriver://x/y"):
        with pytest.raises(ConfigError, match="database_url"):
            Store.open(tmp_path, database_url=url)


def test_another_model_is_refused_by_name(album: Album) -> None:
    with album.reading() as store, pytest.raises(ModelMismatch) as caught:
        store.model_id(FakeEncoder(name="other").stamp)
    assert "other" in caught.value.message
    assert "fake (12 photos)" in caught.value.message
    with album.reading() as store, pytest.raises(ModelMismatch) as caught:
        store.model_id(FakeEncoder(seed=1).stamp)
    assert "other weights named fake than those that this library's 12 photos" in caught.value.message


def test_parts_of_an_index_that_a_killed_process_left_are_deleted(album: Album) -> None:
    old, fresh = album.library / "vectors-1.faiss.aaaa.tmp", album.library / "vectors-1.faiss.bbbb.tmp"
    for path in (old, fresh):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    album.index()
    assert (old.exists(), fresh.exists()) == (False, True), "a reader may be writing the other at this moment"


def test_forgetting_a_photo_takes_it_out_of_the_index(album: Album) -> None:
    (album.photos / "03.png").unlink()
    album.index()
    with album.writing() as store:
        with store.catalog.reading() as c:
            chosen = forgetting.missing_files(c, 1)
        assert store.forget(chosen)[0] == 1
    assert read_stamp(index_file(album)).count == 11
    assert "03.png" not in album.rows()
    album.check()
    album.put("03.png", picture(3))
    assert album.index().embedded == 1
    assert album.photo_of("03.png") > 12, "numbers are never used twice"


def test_reading_a_database_that_is_not_there_does_not_make_it(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.sqlite"
    url = f"sqlite:///{path}"
    with pytest.raises(NoLibrary, match=r"elsewhere\.sqlite"):
        Store.open(tmp_path, database_url=url)
    with (
        pytest.raises(NoLibrary),
        Store.open_writer(tmp_path, purpose="x", timeout_s=0, database_url=url),
    ):
        pytest.fail("opened")
    assert not path.exists()
    path.touch()
    with pytest.raises(NoLibrary):
        Store.open(tmp_path, database_url=url)
    assert path.stat().st_size == 0
    with Store.open_writer(tmp_path, purpose="x", timeout_s=0, database_url=url, create=True):
        pass
    Store.open(tmp_path, database_url=url).close()


@pytest.mark.parametrize("url", ["nosuch://me:secret@host/x", "not a url://me:secret@host:port/x"])
def test_no_message_says_a_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="database_url") as caught:
        Store.open(tmp_path, database_url=url)
    assert "secret" not in caught.value.message
