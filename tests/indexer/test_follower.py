"""Following a real folder: what happens to files, and whatever can go wrong meanwhile."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from indexer.follower import Options
from library.catalog import reading
from library.errors import DiskFull
from library.folder import CATALOG_NAME
from library.store import Store
from library.vectors import read_stamp
from tests.albums import Album, jpeg_scene, picture
from tests.watched import QUICK, Watched, wait_for


@pytest.fixture
def album(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Album:
    caplog.set_level("INFO")
    album = Album(tmp_path)
    for n in range(3):
        old(album.put(f"{n}.png", n))
    return album


def old(path: Path) -> Path:
    """As a file that nobody has touched for a while."""
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    return path


def indexed(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "indexed")


def test_what_changed_while_nobody_watched(album: Album) -> None:
    album.index()
    os.rename(album.photos / "0.png", album.photos / "moved.png")
    (album.photos / "1.png").unlink()
    old(album.put("2.png", 20))
    old(album.put("new.png", 30))
    watched = Watched(album)
    with watched.following():
        watched.until(
            **{"moved__png": "indexed", "1__png": "missing", "2__png": "indexed", "new__png": "indexed"}
        )
    assert watched.totals == {"embedded": 2, "moved": 1, "missing": 1}
    album.check()


def test_files_come_change_move_and_go(album: Album) -> None:
    watched = Watched(album)
    with watched.following():
        album.put("new.png", 10)
        watched.until(new__png="indexed")
        photo = album.photo_of("new.png")
        os.rename(album.photos / "new.png", album.photos / "name.png")
        watched.until_states(indexed("0.png", "1.png", "2.png", "name.png"))
        assert album.photo_of("name.png") == photo
        album.put("name.png", 11)
        wait_for(lambda: watched.totals.get("embedded") == 5)
        (album.photos / "name.png").unlink()
        watched.until(name__png="missing")
        album.put("name.png", 11)
        watched.until(name__png="indexed")
        assert album.photo_of("name.png") == photo
    assert watched.totals == {"embedded": 5, "moved": 1, "missing": 1, "known": 1}
    album.check()


def test_trees_are_dropped_in_renamed_and_taken_away(album: Album, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for n in range(4):
        path = tree / "a" / "b" / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(100 + n))
    watched = Watched(album)
    inside = [f"in/a/b/{n}.png" for n in range(4)]
    own = indexed("0.png", "1.png", "2.png")
    with watched.following():
        shutil.copytree(tree, album.photos / "in")
        watched.until_states({**own, **indexed(*inside)})
        os.rename(album.photos / "in", album.photos / "out")
        outside = [name.replace("in/", "out/") for name in inside]
        watched.until_states({**own, **indexed(*outside)})
        album.put("out/a/b/late.png", 200)
        watched.until(**{"out/a/b/late__png": "indexed"})
        os.rename(album.photos / "out", tmp_path / "elsewhere")
        watched.until_states({**own, **dict.fromkeys([*outside, "out/a/b/late.png"], "missing")})
    assert album.encoder.embedded == 3 + 4 + 1  # type: ignore[attr-defined]
    album.check()


def test_a_slow_writer_is_waited_for(album: Album) -> None:
    whole = jpeg_scene(1)
    watched = Watched(album)
    with watched.following(), open(album.photos / "slow.jpg", "wb") as out:
        for part in range(10):
            out.write(whole[part * len(whole) // 10 : (part + 1) * len(whole) // 10])
            out.flush()
            time.sleep(0.1)
            assert "slow.jpg" not in album.states()
        out.close()
        watched.until(**{"slow__jpg": "indexed"})
    assert watched.totals == {"embedded": 4}


def test_temporary_names_wait_for_the_real_one(album: Album) -> None:
    watched = Watched(album)
    names = ["a.jpg.part", "b.crdownload", "c~", ".d.jpg", "e.tmp"]
    with watched.following():
        for n, name in enumerate(names):
            album.put(name, 50 + n)
        album.put("marker.png", 60)
        watched.until(marker__png="indexed")
        assert set(album.states()) == {"0.png", "1.png", "2.png", "marker.png"}
        for name in names:
            os.rename(album.photos / name, album.photos / f"{name.strip('.~')[0]}.png")
        watched.until(
            a__png="indexed", b__png="indexed", c__png="indexed", d__png="indexed", e__png="indexed"
        )


def test_excluded_folders_get_no_watch_and_no_row(album: Album) -> None:
    for folder in ("private/deep", ".hidden", "@eaDir", "seen"):
        album.put(f"{folder}/x.png", 70)
    album.exclude("private/")
    watched = Watched(album)
    with watched.following():
        assert watched.watches is not None
        assert watched.watches.count == 2  # the root, and "seen"
        album.put("private/later/y.png", 71)
        album.put("private2/y.png", 72)
        watched.until(**{"private2/y__png": "indexed"})
        assert watched.watches.count == 3
    assert not any(name.startswith("private/") for name in album.states())


def test_its_own_library_inside_the_folder_is_ignored(tmp_path: Path) -> None:
    album = Album(tmp_path)
    old(album.put("0.png", 0))
    album.__class__ = InsideAlbum
    watched = Watched(album)
    with watched.following():
        assert watched.watches is not None
        assert watched.watches.count == 1
        (album.photos / "0.xmp").write_text("<x:xmpmeta/>")  # a sidecar
        album.put("1.png", 1)
        watched.until(**{"1__png": "indexed"})
        batches = sum(s.phase == "working" for s in watched.standings)
        (album.photos / "1.xmp").write_text("<x:xmpmeta/>")
        time.sleep(3 * QUICK.settle_s)
        assert sum(s.phase == "working" for s in watched.standings) == batches


class InsideAlbum(Album):
    @property
    def library(self) -> Path:
        return self.photos / "oko"


def test_links_are_followed_and_their_loops_end(album: Album, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "c.png").write_bytes(picture(82))
    album.config = dataclasses.replace(album.config, follow_symlinks=True)
    album.put("in/a.png", 80)
    os.symlink(album.photos, album.photos / "in" / "loop")
    watched = Watched(album)
    with watched.following():
        os.symlink("..", album.photos / "in" / "again")
        album.put("in/b.png", 81)
        watched.until(**{"in/b__png": "indexed"})
        os.symlink(tmp_path / "far", album.photos / "far")
        watched.until(**{"far/c__png": "indexed"})
        (tmp_path / "far" / "d.png").write_bytes(picture(83))
        watched.until(**{"far/d__png": "indexed"})
        (album.photos / "far").unlink()
        watched.until(**{"far/c__png": "missing", "far/d__png": "missing"})
    own = {"0.png", "1.png", "2.png", "in/a.png", "in/b.png"}
    assert set(album.states()) == {*own, "far/c.png", "far/d.png"}


def test_a_burst_of_files_is_batched(album: Album) -> None:
    watched = Watched(album)
    with watched.following():
        for n in range(300):
            album.put(f"burst/{n}.png", 1000 + n)
        wait_for(lambda: len(album.states()) == 303 and watched.is_idle)
    assert watched.totals == {"embedded": 303}
    assert max(s.waiting for s in watched.standings) > 10
    album.check()


def test_moves_between_two_roots_embed_nothing(album: Album, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    album.index(other)
    watched = Watched(album)
    with watched.following():
        os.rename(album.photos / "0.png", other / "0.png")
        watched.until_states(indexed("1.png", "2.png", str(other / "0.png")))
    assert watched.totals["embedded"] == 3


def test_a_folder_indexed_meanwhile_is_followed_too(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.follower.TARGETS_S", 0.1)
    other = tmp_path / "other"
    other.mkdir()
    watched = Watched(album)
    with watched.following():
        album.index(other)  # the library's lock is free while nothing is written
        wait_for(lambda: len(watched.standings[-1].areas) == 2)
        (other / "x.png").write_bytes(picture(90))
        assert watched.until_states(indexed("0.png", "1.png", "2.png", str(other / "x.png")))


def test_a_root_inside_another_stays_watched(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A third root changes what the outer one covers; nothing of the inner one may get lost with its watches."""
    monkeypatch.setattr("indexer.follower.TARGETS_S", 0.1)
    inner, third = album.photos / ".inner", album.photos / ".third"
    inner.mkdir()
    third.mkdir()
    album.index(inner)
    watched = Watched(album)
    with watched.following():
        assert len(watched.standings[-1].areas) == 2
        album.index(third)
        wait_for(lambda: len(watched.standings[-1].areas) == 3 and watched.is_idle)
        for n, folder in enumerate((inner, third, album.photos)):
            (folder / "new.png").write_bytes(picture(100 + n))
        wait_for(lambda: watched.totals.get("embedded") == 6)
        with album.writing() as store:
            root_id = next(
                a.target.root.id for a in watched.standings[-1].areas if a.start.endswith(b".third")
            )
            store.forget([], root_ids=[root_id])
        wait_for(lambda: said(caplog, ".third is not followed any more"))
        (inner / "newer.png").write_bytes(picture(200))
        wait_for(lambda: watched.totals.get("embedded") == 7)


def test_a_file_long_known_to_be_unreadable_is_not_said_again(
    album: Album, caplog: pytest.LogCaptureFixture
) -> None:
    (album.photos / "bad.jpg").write_text("no picture")
    album.index()
    watched = Watched(album)
    with watched.following():
        album.put("new.png", 10)
        watched.until(new__png="indexed")
    assert watched.totals == {"embedded": 1}


def test_other_work_comes_after_the_photos(album: Album) -> None:
    turns: list[bool] = []

    def aside(is_busy: bool) -> bool:
        turns.append(is_busy)
        return len(turns) < 5

    watched = Watched(album)
    watched.follower.tools = dataclasses.replace(watched.follower.tools, aside=aside)
    with watched.following():
        assert "tagging" in {standing.phase for standing in watched.standings}
    assert len(turns) >= 5


# What goes wrong


def test_a_root_that_goes_away_and_comes_back(
    album: Album, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(album)
    with watched.following():
        os.rename(album.photos, tmp_path / "unplugged")
        wait_for(lambda: set(album.states().values()) == {"missing"})
        wait_for(lambda: any(topic.startswith("root") for topic in watched.follower.troubles.now))
        os.rename(tmp_path / "unplugged", album.photos)
        watched.until_states(indexed("0.png", "1.png", "2.png"))
        album.put("later.png", 95)
        watched.until(later__png="indexed")
    assert watched.totals["embedded"] == 4
    assert said(caplog, "is not there") == 1
    assert said(caplog, "is back") == 1


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


def test_a_drive_mounted_over_the_folder_is_noticed(album: Album, tmp_path: Path) -> None:
    """No event tells of that; the folder is another one from then on."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "3.png").write_bytes(picture(3))
    watched = Watched(album)
    with watched.following():
        os.rename(album.photos, tmp_path / "aside")
        os.rename(mounted, album.photos)
        assert watched.until(**{"3__png": "indexed"})
        album.put("4.png", 4)
        assert watched.until(**{"4__png": "indexed"})


class FewWatches:
    """Watches that run out after some, as the system's do; `room` may grow."""

    room = 2

    def __new__(cls) -> Any:
        from indexer.watch import InotifyWatches, WatchLimit

        class Few(InotifyWatches):
            def add(self, folder: bytes) -> None:
                if self.count >= cls.room:
                    raise WatchLimit(28, "inotify watch limit reached")
                super().add(folder)

        return Few()


def test_folders_without_a_watch_are_looked_at(
    album: Album, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FewWatches, "room", 2)
    for n in range(4):
        old(album.put(f"sub{n}/x.png", 40 + n))
    watched = Watched(album, make_watches=FewWatches)
    with watched.following():
        assert watched.standings[-1].areas[0].is_limited
        album.put("sub3/new.png", 50)
        watched.until(**{"sub3/new__png": "indexed"})
        FewWatches.room = 100
        wait_for(lambda: watched.is_idle and watched.standings[-1].folders_watched == 5)
    assert said(caplog, "no more folder watches") == 1
    assert said(caplog, "every folder is watched again") == 1


def test_without_any_events_everything_is_looked_at(album: Album) -> None:
    watched = Watched(album, options=Options(settle_s=0.2, poll_s=0.2, method="poll"))
    with watched.following():
        assert watched.standings[-1].folders_watched == 0
        with open(album.photos / "slow.jpg", "wb") as out:
            whole = jpeg_scene(2)
            for part in range(8):
                out.write(whole[part * len(whole) // 8 : (part + 1) * len(whole) // 8])
                out.flush()
                time.sleep(0.05)
        os.rename(album.photos / "0.png", album.photos / "moved.png")
        (album.photos / "1.png").unlink()
        watched.until(**{"slow__jpg": "indexed", "moved__png": "indexed", "1__png": "missing"})
    assert "unreadable" not in watched.totals
    assert album.encoder.embedded == 4  # type: ignore[attr-defined]


def test_a_network_drive_is_polled_by_itself(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.areas.file_system", lambda path: "nfs4")
    watched = Watched(album)
    with watched.following():
        assert watched.standings[-1].areas[0].is_polled
        assert watched.standings[-1].folders_watched == 0
        album.put("new.png", 10)
        watched.until(new__png="indexed")


def test_lost_events_are_made_up_for(album: Album, caplog: pytest.LogCaptureFixture) -> None:
    from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent

    watched = Watched(album)
    with watched.following():
        watches: Any = watched.watches
        watches.on_event = lambda event: None  # the events of what follows get lost
        old(album.put("lost.png", 10))
        album.put("sub/lost.png", 11)
        del watches.on_event
        overflow: Any = InotifyEvent(-1, InotifyConstants.IN_Q_OVERFLOW, 0, b"")  # type: ignore[arg-type]
        watches._fd.handle_event(overflow)
        watched.until(**{"lost__png": "indexed", "sub/lost__png": "indexed"})
    assert said(caplog, "more happened at once") == 1


def test_the_end_of_the_systems_events_is_noticed(album: Album) -> None:
    watched = Watched(album)
    with watched.following():
        first: Any = watched.watches
        first._fd.stop()
        wait_for(lambda: watched.watches is not first)
        album.put("new.png", 10)
        assert watched.until(new__png="indexed")


def test_another_writer_is_waited_for(album: Album, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(album)
    with watched.following():
        with Store.open_writer(album.library, purpose="oko index", timeout_s=10):
            album.put("new.png", 10)
            wait_for(lambda: "library" in watched.follower.troubles.now)
        watched.until(new__png="indexed")
        wait_for(lambda: not watched.follower.troubles.now)
    assert said(caplog, "another process is writing") == 1
    assert said(caplog, "the library can be read and written again") == 1


def test_a_full_disk_is_survived(
    album: Album, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.follower.RETRY_S", 0.05)
    watched = Watched(album)
    with watched.following():
        with monkeypatch.context() as patch:
            patch.setattr(Store, "add", full_disk)
            album.put("new.png", 10)
            wait_for(lambda: said(caplog, "the disk is full"))
            album.put("second.png", 11)
            time.sleep(0.5)
        watched.until(new__png="indexed", second__png="indexed")
    assert said(caplog, "the disk is full") == 1
    assert said(caplog, "the library can be read and written again") == 1
    album.check()


def full_disk(*arguments: Any) -> Any:
    raise DiskFull("the disk is full", hint="Free some space.")


def test_a_damaged_catalog_is_said_and_a_restored_one_taken_up(
    album: Album, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    album.index()
    catalog = album.library / CATALOG_NAME
    backup = tmp_path / "backup.sqlite"
    shutil.copy(catalog, backup)
    watched = Watched(album)
    with watched.following():
        for path in album.library.glob(f"{CATALOG_NAME}*"):
            path.unlink()
        catalog.write_bytes(b"this is no database" * 1000)
        album.put("new.png", 10)
        wait_for(lambda: said(caplog, "is damaged"))
        shutil.copy(backup, catalog)
        watched.until(new__png="indexed")
    assert said(caplog, "is damaged") == 1


def test_what_cannot_be_read_is_recorded_once(album: Album, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(album)
    with watched.following():
        album.put("bad.jpg", b"\xff\xd8\xff but no more")
        watched.until(bad__jpg="unreadable")
        (album.photos / "bad.jpg").write_bytes(jpeg_scene(5))
        watched.until(bad__jpg="indexed")
    assert said(caplog, "bad.jpg") == 1


def test_stopping_in_the_middle_keeps_what_is_done(album: Album) -> None:
    album.encoder.delay_s = 0.05  # type: ignore[attr-defined]
    watched = Watched(album)
    with watched.following():
        for n in range(200):
            album.put(f"{n + 3}.png", n + 3)
        wait_for(lambda: len(album.states()) > 20)
    done = len(album.states())
    assert 20 < done < 203
    watched = Watched(album)
    with watched.following():
        wait_for(lambda: len(album.states()) == 203 and watched.is_idle)
    assert watched.totals == {"embedded": 203 - done}
    album.check()


def test_the_index_is_left_ready_for_the_next_search(album: Album) -> None:
    watched = Watched(album)
    with watched.following():
        album.put("new.png", 10)
        watched.until(new__png="indexed")
    with album.reading() as store:
        model_id = store.model_id(album.encoder.stamp)
        with store.catalog.reading() as c:
            assert reading.embedding_count(c, model_id) == 4
        assert read_stamp(store.index_path(model_id)).count == 4


def test_a_pause_ends_by_itself(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = ["on battery"]
    watched = Watched(album)
    watched.follower.tools = dataclasses.replace(
        watched.follower.tools, pause=lambda: reasons[0] if reasons else ""
    )
    monkeypatch.setattr(Watched, "is_idle", property(lambda self: bool(self.standings)))
    with watched.following():
        wait_for(lambda: watched.standings[-1].phase == "paused: on battery")
        assert album.states() == {}
        reasons.clear()
        watched.until_states(indexed("0.png", "1.png", "2.png"))
