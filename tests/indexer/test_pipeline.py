"""The run itself: bad files, models, limits and batches."""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from indexer.pipeline import IndexRun
from library import images
from library.errors import OutOfMemory
from library.fakes import FakeEncoder
from library.records import FileState
from tests.albums import Album, nothing_embedded, picture
from tests.pictures import jpeg_bytes, photo

# Bad files


def test_a_file_that_becomes_corrupt_and_heals(album: Album) -> None:
    before, content = album.photo_of("a.png"), (album.photos / "a.png").read_bytes()
    album.put("a.png", content[: len(content) // 2])
    assert album.index().unreadable == 1
    assert album.states()["a.png"] == "unreadable"
    assert album.rows()["a.png"].reason
    album.check()
    report = album.index()
    assert (report.unreadable, report.embedded) == (1, 0), "known, and not read again"
    album.put("a.png", content)
    assert nothing_embedded(album.index())
    assert (album.photo_of("a.png"), album.tags("a.png")) == (before, {"Anna"})
    assert album.rows()["a.png"].reason is None
    album.check()


def test_a_corrupt_file_that_goes_and_comes_back_is_still_corrupt(album: Album) -> None:
    path = album.photos / "a.png"
    path.write_bytes(path.read_bytes()[:50])
    album.index()
    os.rename(path, album.base / "away.png")
    album.index()
    assert album.states()["a.png"] == "missing"
    os.rename(album.base / "away.png", path)
    album.index()
    assert album.states()["a.png"] == "unreadable"
    album.check()


def test_retry_tries_again(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            images, "decode", lambda *_, **__: (_ for _ in ()).throw(images.UnreadablePicture("no"))
        )
        album.put("g.png", 50)
        assert album.index().unreadable == 1
    assert album.index().embedded == 0
    assert album.index(retry=True).embedded == 1
    album.check()


def test_bad_files_in_a_batch_shift_no_vector(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for n in range(60):
        whole = picture(n)
        album.put(f"{n:02}.png", whole[: n * 2] if n % 3 == 0 else whole)
    report = album.index()
    assert (report.embedded, report.unreadable) == (40, 20)
    album.check()
    assert sorted({row.state for row in album.rows().values()}) == ["indexed", "unreadable"]
    assert all(row.reason for row in album.rows().values() if row.state == FileState.UNREADABLE)


def test_a_file_deleted_between_scan_and_read(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    album.put("new.png", 50)
    album.put("a.png", 51)
    before = album.photo_of("a.png")
    read = images.read_bytes

    def late(path: bytes, *, max_bytes: int) -> bytes:
        if os.path.basename(path) in (b"new.png", b"a.png"):
            os.rename(path, path + b".away")
        return read(path, max_bytes=max_bytes)

    with monkeypatch.context() as patch:
        patch.setattr(images, "read_bytes", late)
        report = album.index()
    assert (report.missing, report.failed, report.unreadable) == (2, 0, 0)
    assert any("new.png: it was deleted while" in problem for problem in report.problems)
    assert "new.png" not in album.rows()
    assert (album.states()["a.png"], album.photo_of("a.png")) == ("missing", before)
    # What comes back is what the edit made, not what was embedded before it.
    os.rename(album.photos / "a.png.away", album.photos / "a.png")
    assert album.index().embedded == 1
    album.check()


def test_a_file_that_changes_while_it_is_read(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    path = album.put("g.png", 50)
    fstat, calls = os.fstat, 0

    def growing(fd: int) -> os.stat_result:
        nonlocal calls
        calls += fstat(fd).st_ino == path.stat().st_ino
        if calls == 2:  # the second look, after the reading
            with path.open("ab") as out:
                out.write(b"more")
        return fstat(fd)

    with monkeypatch.context() as patch:
        patch.setattr(images.os, "fstat", growing)
        report = album.index()
    assert (report.failed, report.embedded) == (1, 0)
    assert album.states()["g.png"] == "failed"
    assert "written to while it was read" in album.rows()["g.png"].reason
    path.write_bytes(picture(50))
    assert album.index().embedded == 1, "without being asked to"
    album.check()


def test_a_file_that_grew_between_scan_and_read_is_embedded_once(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = album.put("g.png", 50)
    read = images.read_bytes

    def late(name: bytes, *, max_bytes: int) -> bytes:
        path.write_bytes(jpeg_bytes(photo(9)))
        return read(name, max_bytes=max_bytes)

    with monkeypatch.context() as patch:
        patch.setattr(images, "read_bytes", late)
        assert album.index().embedded == 1
    assert nothing_embedded(album.index())
    album.check()
    shutil.copy(path, album.photos / "copy.png")
    assert nothing_embedded(album.index()), "its size is known, so its copies are"


def test_permission_given_later_needs_no_retry(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    album.put("g.png", 50)
    with monkeypatch.context() as patch:  # root may read everything

        def refuse(path: object, **_: object) -> bytes:
            raise images.UnreadablePicture("no permission to read the file") from PermissionError(13, "no")

        patch.setattr(images, "read_bytes", refuse)
        assert album.index().failed == 1
    assert "permission" in album.rows()["g.png"].reason
    assert album.index().embedded == 1


# The run itself


def test_a_limit_is_kept_and_the_next_run_goes_on(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for n in range(30):
        album.put(f"{n:02}.png", n)
    assert [album.index(limit=12).embedded for _ in range(3)] == [12, 12, 6]
    album.check()


def test_left_early_everything_done_so_far_is_kept(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for n in range(40):
        album.put(f"{n:02}.png", n)
    with album.writing() as store:
        run = IndexRun(store, album.encoder, album.settings())
        steps = run.steps([album.photos])
        for step in steps:
            if step.phase == "index" and step.done >= 16:
                break
        steps.close()  # type: ignore[attr-defined]
    assert (run.report.interrupted, run.report.embedded) == (True, 16)
    album.check()
    assert album.index().embedded == 24


def test_two_models_live_side_by_side(album: Album) -> None:
    first, second = album.encoder, FakeEncoder(name="second", dim=32, seed=5)
    album.encoder = second
    assert album.index().embedded == 6
    album.check()
    for encoder in (first, second, first):
        album.encoder = encoder
        assert nothing_embedded(album.index())
        album.check()
    album.put("a.png", 100)
    assert album.index().embedded == 1
    album.encoder = second
    assert album.index().embedded == 1, "the edited photo only"
    album.check()


def test_a_model_that_fails_takes_no_photo_from_another(album: Album) -> None:
    class Full(FakeEncoder):
        def encode_images(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            raise OutOfMemory("the card is too small")

    first = album.encoder
    album.encoder = Full(name="huge")
    assert album.index().failed == 6
    album.encoder = first
    assert set(album.states().values()) == {"indexed"}
    assert album.found("a.png") == ["a.png"]
    album.encoder = FakeEncoder(name="huge")
    assert album.index().embedded == 6, "and the next run tries again"


def test_batches_that_do_not_fit_are_halved(tmp_path: Path) -> None:
    album = Album(tmp_path, FakeEncoder(max_batch=3))
    album.config = replace(album.config, batch_size=16)
    for n in range(20):
        album.put(f"{n:02}.png", n)
    report = album.index()
    assert (report.embedded, report.failed) == (20, 0)
    album.encoder = FakeEncoder()
    album.check()


def test_what_is_said_of_each_batch(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for n in range(20):
        album.put(f"{n:02}.png", n)
    batches: list[list[bytes]] = []
    with album.writing() as store:
        run = IndexRun(
            store,
            album.encoder,
            album.settings(),
            on_batch=lambda new: batches.append([p.stamp.path for p in new]),
        )
        steps = [(s.phase, s.done, s.total) for s in run.steps([album.photos])]
    assert [len(batch) for batch in batches] == [8, 8, 4]
    assert sorted(itertools.chain.from_iterable(batches)) == [b"%02d.png" % n for n in range(20)]
    assert steps[0] == ("scan", 20, None)
    assert steps[1:] == [("index", done, 20) for done in (0, 8, 16, 20)]


def test_names_of_every_kind_are_indexed_and_found(tmp_path: Path) -> None:
    album = Album(tmp_path)
    names = [b"\xff\xfe.png", b"new\nline.png", b"-rf.png", "kočka 😀.png".encode(), b"x" * 251 + b".png"]
    for n, name in enumerate(names):
        with open(os.path.join(os.fsencode(album.photos), name), "wb") as out:
            out.write(picture(n))
    assert album.index().embedded == len(names)
    album.check()
    assert album.index().unchanged == len(names)
