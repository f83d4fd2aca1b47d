"""Walking a folder: what is taken, what is passed over and counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.scan import Rules, Scan, _suffix, pair
from library.records import FileStamp
from tests.albums import picture


def put(root: Path, *names: str | bytes) -> None:
    for name in names:
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(picture(1))


def scan(root: Path, below: bytes = b"", **rules: object) -> tuple[list[bytes], Scan]:
    walk = Scan(root, Rules(**rules))  # type: ignore[arg-type]
    return [stamp.path for stamp in walk.stamps(below)], walk


def test_pictures_are_found_in_order_whatever_the_case_of_their_suffix(tmp_path: Path) -> None:
    put(tmp_path, "b.JPG", "a.jpeg", "sub/c.png", "sub/deep/d.webp", "Z.heic")
    found, walk = scan(tmp_path)
    assert found == [b"Z.heic", b"a.jpeg", b"b.JPG", b"sub/c.png", b"sub/deep/d.webp"]
    assert not walk.log.skipped


def test_a_stamp_is_what_the_disk_says(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    status = (tmp_path / "a.png").stat()
    (stamp,) = Scan(tmp_path, Rules()).stamps()
    assert stamp == FileStamp(b"a.png", status.st_size, status.st_mtime_ns, status.st_ino)


def test_other_files_are_counted_not_taken(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    for name in ("notes.txt", "b.pdf", "words"):
        (tmp_path / name).write_text("words, not light")
    found, walk = scan(tmp_path)
    assert found == [b"a.png"]
    assert walk.log.skipped == {"not pictures": 3}


def test_without_a_suffix_the_content_decides(tmp_path: Path) -> None:
    put(tmp_path, "scan0001")
    assert scan(tmp_path)[0] == [b"scan0001"]


def test_names_are_bytes(tmp_path: Path) -> None:
    names = [b"\xff\xfe.png", b"new\nline.png", "kočka 😀.png".encode()]
    put(tmp_path, *names)
    assert sorted(scan(tmp_path)[0]) == sorted(names)


def test_hidden_files_are_passed_over_unless_wanted(tmp_path: Path) -> None:
    put(tmp_path, ".a.png", ".sub/b.png", "._c.png", "d.png")
    found, walk = scan(tmp_path)
    assert (found, walk.log.skipped) == ([b"d.png"], {"hidden": 3})
    assert scan(tmp_path, hidden=True)[0] == [b".a.png", b"d.png", b".sub/b.png"]


def test_previews_and_bins_are_not_entered(tmp_path: Path) -> None:
    put(tmp_path, "@eaDir/a.png", "$RECYCLE.BIN/b.png", "My.lrdata/c.png", "node_modules/d.png", "e.png")
    found, walk = scan(tmp_path)
    assert found == [b"e.png"]
    assert walk.log.skipped == {"folders of previews, bins and caches": 4}


def test_exclude_patterns_are_those_of_gitignore(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "Screenshots/b.png", "deep/Screenshots/c.png", "2024/d.png", "2024/raw/e.png")
    assert scan(tmp_path, exclude=["Screenshots/"])[0] == [b"a.png", b"2024/d.png", b"2024/raw/e.png"]
    assert scan(tmp_path, exclude=["/2024/*", "!/2024/d.png"])[0][-2:] == [
        b"Screenshots/b.png",
        b"deep/Screenshots/c.png",
    ]
    assert scan(tmp_path, include=["2024/**"])[0] == [b"2024/d.png", b"2024/raw/e.png"]
    assert scan(tmp_path, include=["*.png"], exclude=["a.*"])[0][0] == b"2024/d.png"


def test_links_are_passed_over_unless_followed(tmp_path: Path) -> None:
    put(tmp_path, "in/a.png", "out/b.png")
    root = tmp_path / "in"
    (root / "link.png").symlink_to(tmp_path / "out/b.png")
    (root / "folder").symlink_to(tmp_path / "out")
    (root / "loop").symlink_to(root)
    (root / "dangling.png").symlink_to(tmp_path / "nothing.png")
    found, walk = scan(root)
    assert (found, walk.log.skipped) == ([b"a.png"], {"symbolic links": 4})
    found, walk = scan(root, follow_symlinks=True)
    assert found == [b"a.png", b"link.png", b"folder/b.png"]
    assert walk.log.skipped["folders seen before (links)"] == 1
    assert len(walk.log.problems) == 1
    assert "dangling.png" in walk.log.problems[0]


def test_pipes_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "no-suffix")
    found, walk = scan(tmp_path)
    assert (found, walk.log.skipped) == ([], {"pipes, sockets and devices": 2})


def test_the_librarys_own_folder_is_not_entered(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "library/b.png")
    own = frozenset({os.fsencode(tmp_path / "library")})
    found, walk = scan(tmp_path, own_folders=own)
    assert (found, walk.log.skipped) == ([b"a.png"], {"oko's own library": 1})


def test_a_part_of_the_root_has_the_same_paths(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "sub/b.png", "sub/deep/c.png", "sub2/d.png")
    assert scan(tmp_path, b"sub")[0] == [b"sub/b.png", b"sub/deep/c.png"]
    assert scan(tmp_path, b"sub/b.png")[0] == [b"sub/b.png"]
    assert scan(tmp_path, b"sub/gone.png")[0] == []


def test_the_raw_of_a_shot_stands_for_the_shot(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "a.CR2")
    for below in (b"", b"a.CR2", b"a.jpg"):
        (stamp,) = Scan(tmp_path, Rules()).stamps(below)
        assert (stamp.path, stamp.companions) == (b"a.jpg", (b"a.CR2",))


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    found, walk = scan(tmp_path / "no\nsuch")
    assert found == []
    assert walk.log.skipped == {"folders that cannot be read": 1}
    assert "no\\nsuch" in walk.log.problems[0]


def stamps(*names: bytes) -> dict[bytes, FileStamp]:
    return {name: FileStamp(name, 1, 1, 1) for name in names}


@pytest.mark.parametrize(
    ("files", "movies", "expected"),
    [
        ((b"a.jpg", b"a.cr2"), (), {b"a.jpg": (b"a.cr2",)}),
        ((b"A.JPG", b"a.NEF"), (), {b"A.JPG": (b"a.NEF",)}),
        ((b"a.heic",), (b"a.mov",), {b"a.heic": (b"a.mov",)}),
        ((b"a.jpg", b"a.dng"), (b"a.mp4",), {b"a.jpg": (b"a.dng", b"a.mp4")}),
        ((b"a.cr2",), (), {b"a.cr2": ()}),
        ((b"a.cr2", b"a.png"), (), {b"a.cr2": (), b"a.png": ()}),
        ((), (b"a.mov",), {}),
        ((b"a.jpg", b"b.cr2"), (), {b"a.jpg": (), b"b.cr2": ()}),
        ((b"a.heic", b"a.jpg", b"a.cr2"), (), {b"a.heic": (b"a.cr2",), b"a.jpg": ()}),
    ],
)
def test_what_goes_with_a_shot(
    files: tuple[bytes, ...], movies: tuple[bytes, ...], expected: dict[bytes, tuple[bytes, ...]]
) -> None:
    assert {s.path: s.companions for s in pair(stamps(*files), set(movies))} == expected


@given(st.text(alphabet=".aB~ ", max_size=8).map(str.encode))
def test_a_suffix_is_what_python_says(name: bytes) -> None:
    assert _suffix(name) == os.path.splitext(name)[1].lower()
