"""Comparing a scan with the catalog: nothing is taken for what it is not, and nothing is read without need."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from indexer.changes import SUSPICIOUS_FILES, Changes, compare
from library.records import FileRow, FileStamp, FileState


def stamp(path: str, *, inode: int = 1, size: int = 10, mtime: int = 1, with_: str = "") -> FileStamp:
    return FileStamp(path.encode(), size, mtime, inode, (with_.encode(),) if with_ else ())


def row(
    path: str, *, key: int = 1, inode: int = 1, size: int = 10, mtime: int = 1, photo: int | None = 1
) -> FileRow:
    return FileRow(path.encode(), size, mtime, inode, (), key, photo, FileState.INDEXED, has_embedding=True)


def paths(stamps: list[FileStamp]) -> list[str]:
    return [each.path.decode() for each in stamps]


def test_a_new_file_is_added() -> None:
    assert paths(compare([stamp("a")], []).added) == ["a"]


def test_the_same_file_is_unchanged() -> None:
    found = compare([stamp("a")], [row("a")])
    assert (found.unchanged, found.work, found.missing, found.restamped) == (1, [], [], [])


def test_another_size_or_time_is_a_change() -> None:
    for other in (stamp("a", size=11), stamp("a", mtime=2)):
        assert paths(compare([other], [row("a")]).changed) == ["a"]


def test_another_inode_with_the_same_size_and_time_is_the_same_file_on_another_mount() -> None:
    found = compare([stamp("a", inode=7)], [row("a", inode=3)])
    assert (found.unchanged, [key for key, _ in found.restamped], found.work) == (1, [1], [])


def test_a_rename_is_a_move_and_is_not_read() -> None:
    found = compare([stamp("b")], [row("a")])
    assert (found.moved, found.work, found.missing) == ([(1, stamp("b"))], [], [])


def test_file_systems_without_inodes_have_no_moves() -> None:
    found = compare([stamp("b", inode=0)], [row("a", inode=0)])
    assert (found.moved, paths(found.added), found.missing) == ([], ["b"], [1])


def test_a_swap_moves_both() -> None:
    old = [row("a", key=1, inode=1, mtime=1), row("b", key=2, inode=2, mtime=2)]
    found = compare([stamp("a", inode=2, mtime=2), stamp("b", inode=1, mtime=1)], old)
    assert {(key, s.path) for key, s in found.moved} == {(1, b"b"), (2, b"a")}
    assert found.work == []


def test_a_swap_of_files_of_one_size_and_time_is_read() -> None:
    """As a card with times of two seconds gives to the raw files of a burst."""
    old = [row("a", key=1, inode=1), row("b", key=2, inode=2)]
    found = compare([stamp("a", inode=2), stamp("b", inode=1)], old)
    assert paths(found.changed) == ["a", "b"]
    assert (found.moved, found.unchanged) == ([], 0)


def test_a_file_moved_over_another_is_read() -> None:
    old = [row("a", key=1, inode=1, mtime=1), row("b", key=2, inode=2, mtime=2)]
    found = compare([stamp("a", inode=2, mtime=2)], old)
    assert (paths(found.changed), found.moved, found.missing) == (["a"], [], [2])


def test_a_missing_file_that_is_back_is_not_read() -> None:
    gone = row("a")._replace(state=FileState.MISSING)
    assert compare([stamp("a")], [gone]).returned == [(1, stamp("a"))]
    assert compare([], [gone]).missing == []


def test_a_missing_file_that_could_not_be_read_before_is_read_when_it_is_back() -> None:
    gone = row("a")._replace(state=FileState.MISSING, failed=True)
    found = compare([stamp("a")], [gone])
    assert (paths(found.changed), found.returned) == (["a"], [])
    assert compare([stamp("b")], [gone]).moved == []


def test_unreadable_files_wait_for_a_retry_and_failed_ones_do_not() -> None:
    unreadable = row("a")._replace(state=FileState.UNREADABLE)
    assert compare([stamp("a")], [unreadable]).unreadable == 1
    assert paths(compare([stamp("a")], [unreadable], retry=True).changed) == ["a"]
    assert paths(compare([stamp("a", mtime=9)], [unreadable]).changed) == ["a"]
    assert paths(compare([stamp("a")], [row("a")._replace(state=FileState.FAILED)]).changed) == ["a"]


def test_a_file_without_a_vector_of_this_model_is_lacking() -> None:
    blank = row("a")._replace(has_embedding=False)
    assert paths(compare([stamp("a")], [blank]).lacking) == ["a"]
    back = compare([stamp("a")], [blank._replace(state=FileState.MISSING)])
    assert (len(back.returned), paths(back.lacking)) == (1, ["a"])


def test_a_companion_is_not_missing_and_its_own_row_is_absorbed() -> None:
    found = compare([stamp("a.jpg", with_="a.cr2")], [row("a.cr2")])
    assert (found.companions, found.absorbed, found.missing) == (1, {b"a.cr2": b"a.jpg"}, [])


def test_new_files_are_read_before_changed_ones() -> None:
    found = compare([stamp("a", mtime=2), stamp("z", inode=9)], [row("a")])
    assert paths(found.work) == ["z", "a"]


def test_much_vanishing_at_once_is_suspicious() -> None:
    def after(left: int, of: int) -> Changes:
        rows = [row(f"{n}", key=n, inode=n + 1) for n in range(of)]
        return compare([stamp(f"{n}", inode=n + 1) for n in range(left)], rows)

    assert not after(100, of=100).is_suspicious(whole_root=True)
    assert not after(100 - SUSPICIOUS_FILES + 1, of=100).is_suspicious(whole_root=True)
    assert not after(80, of=100).is_suspicious(whole_root=True)
    assert after(79, of=100).is_suspicious(whole_root=True)
    assert after(0, of=1).is_suspicious(whole_root=True)
    assert not after(1, of=5).is_suspicious(whole_root=True)


# Random trees


@dataclass
class Tree:
    """Files by path as (inode, size, mtime, content); what people do to them."""

    files: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    clock: int = 100

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def do(self, action: str, one: str, two: str, three: str) -> None:
        there = [path for path in (one, two, three) if path in self.files]
        match action, there:
            case "create", _:
                new = self.tick()
                self.files[one] = (new, 10, new, new)
            case "edit", [path, *_]:
                new = self.tick()
                self.files[path] = (self.files[path][0], 10, new, new)
            case "move", [path, *_] if path != two:
                self.files[two] = self.files.pop(path)
            case "delete", [path, *_]:
                del self.files[path]
            case "swap" | "rotate", [_, _, *_] if len(set(there)) == len(there):
                values = [self.files[path] for path in there]
                self.files.update(zip(there, values[1:] + values[:1], strict=True))


NAMES = st.sampled_from("abcdef")
ACTIONS = st.sampled_from(["create", "edit", "move", "delete", "swap", "rotate"])
STEPS = st.lists(st.tuples(ACTIONS, NAMES, NAMES, NAMES), max_size=8)
# Before: sizes and times that collide, as unpacked archives and memory cards have them.
BEFORE = st.dictionaries(NAMES, st.tuples(st.sampled_from([10, 20]), st.sampled_from([1, 2])))


@given(BEFORE, STEPS)
def test_nothing_is_taken_for_what_it_is_not(
    before: dict[str, tuple[int, int]], steps: list[tuple[str, str, str, str]]
) -> None:
    tree = Tree({p: (n + 1, size, mtime, n + 1) for n, (p, (size, mtime)) in enumerate(before.items())})
    rows = [
        row(path, key=content, inode=inode, size=size, mtime=mtime, photo=content)
        for path, (inode, size, mtime, content) in tree.files.items()
    ]
    for step in steps:
        tree.do(*step)
    stamps = [stamp(p, inode=i, size=s, mtime=m) for p, (i, s, m, _) in tree.files.items()]
    found = compare(stamps, rows)

    read = {path.decode() for path in (each.path for each in found.work)}
    moved = {each.path.decode(): key for key, each in found.moved}
    assert len(found.work) + len(found.moved) + found.unchanged == len(stamps)
    assert read.isdisjoint(moved)
    contents = {path: content for path, (_, _, _, content) in tree.files.items()}
    assert {path: contents[path] for path in moved} == moved, "a moved row keeps its content"
    at = {each.path.decode(): each.photo_id for each in rows}
    still = tree.files.keys() - read - moved.keys()
    assert {path: at[path] for path in still} == {path: contents[path] for path in still}
    left = {each.id for each in rows if each.path.decode() not in tree.files} - set(moved.values())
    assert set(found.missing) == left
    targets = moved.keys() & at.keys()
    assert all(at[path] in moved.values() for path in targets), "a path is free only if its row moves"


@given(st.permutations("abcdef"))
def test_renaming_alone_reads_nothing(order: list[str]) -> None:
    rows = [row(name, key=n, inode=n + 1, mtime=n) for n, name in enumerate("abcdef")]
    found = compare([stamp(name, inode=n + 1, mtime=n) for n, name in enumerate(order)], rows)
    assert (found.work, found.missing) == ([], [])
