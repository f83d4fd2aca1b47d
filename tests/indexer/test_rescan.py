"""A second look, which most runs are: its short ways find what the plain ones find, and no change is missed."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from indexer.changes import Changes, _is_unchanged, _sort
from indexer.pipeline import Progress, finish, look
from indexer.scan import Rules, Scan, _Listing, _shots, _suffix, pair
from indexer.targets import NO_ID, Target
from library.collector import held_back
from library.images import PICTURE_SUFFIXES
from library.records import FileRow, FileStamp, FileState, IndexReport, Root
from tests.albums import Album, nothing_embedded

NAMES = st.sampled_from([b"a.jpg", b"b.JPG", b"A.nef", b"a.heic", b"b.dng", b"c.png", b"c.webp", b"C.jpeg"])


def test_every_kind_of_change_is_noticed_at_once(album: Album) -> None:
    album.put("a.png", 60)  # another picture
    status = os.stat(album.photos / "b.png")
    os.utime(album.photos / "b.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    os.unlink(album.photos / "c.png")
    os.rename(album.photos / "d.png", album.photos / "renamed.png")
    album.put("new/g.png", 61)
    report = album.index()
    assert (report.embedded, report.known, report.missing, report.moved) == (2, 1, 1, 1)
    assert report.unchanged == 2
    album.check()
    again = album.index()
    assert again.unchanged == again.scanned == 6
    assert nothing_embedded(again)


@given(
    st.builds(
        FileRow,
        path=st.just(b"a"),
        size_bytes=st.sampled_from([1, 2]),
        mtime_ns=st.sampled_from([1, 2]),
        inode=st.sampled_from([1, 2]),
        companions=st.sampled_from([(), (b"b",), (b"b", b"c")]),
        id=st.just(1),
        photo_id=st.sampled_from([None, 1]),
        state=st.sampled_from(FileState),
        has_embedding=st.booleans(),
        failed=st.booleans(),
    ),
    st.sampled_from([(), (b"b",)]),
    st.booleans(),
    st.booleans(),
)
def test_unchanged_at_a_glance_is_unchanged(
    row: FileRow, companions: tuple[bytes, ...], retry: bool, was_elsewhere: bool
) -> None:
    stamp, found = FileStamp(b"a", 1, 1, 1, companions), Changes()
    _sort(found, stamp, row, retry=retry, was_elsewhere=was_elsewhere)
    assert _is_unchanged(row, stamp) == (found == Changes(unchanged=1))


@given(
    st.text(alphabet=".aB~ ", max_size=4).map(str.encode),
    st.sampled_from([b"", *sorted(PICTURE_SUFFIXES), b".JPG"]),
    st.sampled_from([Rules(), Rules(hidden=True), Rules(exclude=["a*"]), Rules(include=["*.jpg"])]),
)
def test_a_name_that_is_wanted_is_one_that_no_rule_refuses(stem: bytes, suffix: bytes, rules: Rules) -> None:
    name, walk = stem + suffix, Scan(Path("/nowhere"), rules)
    assume(_suffix(name) in {b"", *PICTURE_SUFFIXES})  # others are no pictures, and not asked about
    refusal = walk._refusal(b"sub/" + name, is_folder=False)
    assert walk._is_wanted(name, b"sub/" + name, _suffix(name)) == (refusal is None)
    assert walk.log.skipped == ({} if refusal is None else {refusal: 1})


@given(st.sets(NAMES), st.sets(st.sampled_from([b"a.mov", b"c.mp4"])))
def test_a_folder_without_pairs_is_not_searched_for_them(names: set[bytes], movies: set[bytes]) -> None:
    files = {name: FileStamp(name, 1, 1, 1) for name in sorted(names)}
    listing = _Listing(files=files, movies=movies, suffixes={_suffix(name) for name in names})
    assert list(_shots(listing)) == list(pair(files, movies))


# The collector


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    """Whatever fails here, the collector is on for the tests that follow."""
    assert gc.isenabled()
    yield
    gc.enable()


def test_held_back_and_on_again_whatever_happens() -> None:
    with held_back():
        assert not gc.isenabled()
        with held_back():
            pass
        assert not gc.isenabled(), "an inner one leaves that to the outer"
    assert gc.isenabled()
    with pytest.raises(ValueError, match="broken"), held_back():
        raise ValueError("broken")
    assert gc.isenabled()


def test_a_look_holds_the_collector_back_and_no_longer(album: Album) -> None:
    def looking() -> Generator[Progress, None, Changes]:
        return look(None, NO_ID, album.settings(), Target(Root(NO_ID, album.photos)), IndexReport())

    steps = looking()
    next(steps)
    assert not gc.isenabled()
    del steps
    assert gc.isenabled(), "left in the middle"
    finish(looking())
    assert gc.isenabled()
