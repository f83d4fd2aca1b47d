"""The vector index against a plain matrix product, and its file against every way of being damaged."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from library.vectors import MARK, FlatIndex, IndexStamp, read_stamp

DIM = 16


def vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def some_ids(*ids: int) -> NDArray[np.int64]:
    return np.array(ids, np.int64)


def ranked(
    contents: dict[int, NDArray[np.float32]], query: NDArray[np.float32], k: int
) -> list[tuple[int, float]]:
    """The plain reference: every inner product, sorted by score, then id."""
    scores = {key: float(vector @ query) for key, vector in contents.items()}
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:k]


def filled(count: int = 500) -> tuple[FlatIndex, dict[int, NDArray[np.float32]]]:
    rows, ids = vectors(count), np.arange(10, 10 + count, dtype=np.int64)
    index = FlatIndex(DIM)
    index.add(ids, rows)
    return index, dict(zip(ids.tolist(), rows, strict=True))


@pytest.mark.parametrize("k", [1, 7, 500, 9999])
def test_search_agrees_with_a_plain_matrix_product(k: int) -> None:
    index, contents = filled()
    for query in vectors(5, seed=1):
        ids, scores = index.search(query, k)
        expected = ranked(contents, query, k)
        assert ids.tolist() == [key for key, _ in expected]
        np.testing.assert_allclose(scores, [score for _, score in expected], atol=1e-6)
        assert (ids.dtype, scores.dtype) == (np.int64, np.float32)


def test_filters_come_before_the_ranking() -> None:
    index, contents = filled()
    query = vectors(1, seed=2)[0]
    worst = [key for key, _ in ranked(contents, query, 500)[-30:]]
    ids, _ = index.search(query, 20, only=np.array(sorted(worst), np.int64))
    assert ids.tolist() == worst[:20], "k photos pass, so k come back, however far down they are"
    best = [key for key, _ in ranked(contents, query, 100)]
    ids, _ = index.search(query, 20, without=np.array(sorted(best), np.int64))
    assert ids.tolist() == [key for key, _ in ranked(contents, query, 120)[100:]]
    ids, _ = index.search(
        query, 5, only=np.array(sorted(best), np.int64), without=np.array(sorted(best[:3]), np.int64)
    )
    assert ids.tolist() == best[3:8]


def test_filters_that_leave_little_or_nothing() -> None:
    index, contents = filled(20)
    query = vectors(1)[0]
    everything = np.array(sorted(contents), np.int64)
    assert index.search(query, 5, only=some_ids())[0].tolist() == []
    assert index.search(query, 5, without=everything)[0].tolist() == []
    assert index.search(query, 5, only=some_ids(12, 99999))[0].tolist() == [12]
    assert index.search(query, 0)[0].tolist() == []
    assert len(index.search(query, 50, without=some_ids())[0]) == 20
    assert FlatIndex(DIM).search(query, 5)[0].tolist() == []


@pytest.mark.parametrize("k", [1, 5, 17, 40])
def test_ties_go_by_id_at_every_place_also_the_last(k: int) -> None:
    """Two scans of one picture have equal vectors: paging must not depend on the order they came in."""
    twin, other = vectors(2)
    index = FlatIndex(DIM)
    order = np.random.default_rng(5).permutation(60).astype(np.int64)
    index.add(order, np.tile(twin, (60, 1)))
    index.add(some_ids(100), other[None])
    assert index.search(twin, k)[0].tolist() == list(range(k))
    assert index.search(twin, k, without=some_ids(0, 1))[0].tolist() == list(range(2, k + 2))


ID = st.integers(0, 12)
STEP = st.one_of(
    st.tuples(st.just("add"), st.sets(ID, max_size=6), st.integers(0, 99)),
    st.tuples(st.just("remove"), st.sets(ID, max_size=6), st.just(0)),
)


@given(st.lists(STEP, max_size=12))
def test_adding_replacing_and_removing_agree_with_a_dict(steps: list[tuple[str, set[int], int]]) -> None:
    index, reference = FlatIndex(DIM), dict[int, NDArray[np.float32]]()
    for action, ids, seed in steps:
        keys = np.array(sorted(ids), np.int64)
        if action == "add":
            rows = vectors(len(keys), seed=seed)
            index.add(keys, rows)
            reference.update(zip(keys.tolist(), rows, strict=True))
        else:
            index.remove(keys)
            for key in ids:
                reference.pop(key, None)
    found, rows = index.contents()
    assert len(index) == len(reference)
    assert sorted(found.tolist()) == sorted(reference)
    for key, row in zip(found.tolist(), rows, strict=True):
        np.testing.assert_array_equal(row, reference[key])
    query = vectors(1, seed=123)[0]
    ids = index.search(query, 4)[0].tolist()
    assert ids == [key for key, _ in ranked(reference, query, 4)]


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="dimension 16"):
        FlatIndex(DIM).add(some_ids(1), np.zeros((1, DIM + 1), np.float32))


def test_searches_while_vectors_come_and_go() -> None:
    index, contents = filled(2000)
    stable = np.array(sorted(contents)[:1000], np.int64)
    query = vectors(1, seed=3)[0]
    expected = index.search(query, 10, only=stable)[0].tolist()
    passing, rows = np.array(sorted(contents)[1000:], np.int64), vectors(1000, seed=4)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            index.remove(passing)
            index.add(passing, rows)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        results = [index.search(query, 10, only=stable)[0].tolist() for _ in range(100)]
    finally:
        stop.set()
        thread.join()
    assert results == [expected] * 100


# The file

STAMP = IndexStamp(library_id="abc", model_id=3, dim=DIM, revision=7, count=50)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, FlatIndex]:
    index, _ = filled(50)
    index.write(tmp_path / "v.faiss", STAMP)
    return tmp_path / "v.faiss", index


def test_a_saved_index_comes_back_as_it_was(saved: tuple[Path, FlatIndex]) -> None:
    path, index = saved
    read, stamp = FlatIndex.read(path)
    assert stamp == read_stamp(path) == STAMP
    for one, two in zip(read.contents(), index.contents(), strict=True):
        np.testing.assert_array_equal(one, two)
    read.remove(some_ids(10))
    read.add(some_ids(999), vectors(1))
    assert 999 in read.contents()[0]
    assert os.listdir(path.parent).count("v.faiss") == 1
    assert not list(path.parent.glob("*.tmp"))


def test_a_file_is_replaced_never_written_over(saved: tuple[Path, FlatIndex]) -> None:
    path, index = saved
    before = path.read_bytes()
    with path.open("rb") as reader:  # as one that is in the middle of it
        index.write(path, IndexStamp("abc", 3, DIM, 8, 50))
        assert reader.read() == before
    assert read_stamp(path).revision == 8


def test_a_file_cut_off_anywhere_is_refused(saved: tuple[Path, FlatIndex]) -> None:
    path, _ = saved
    whole = path.read_bytes()
    cuts = {0, 1, 7, 8, 20, 100, *range(0, len(whole), 97), *range(len(whole) - 250, len(whole))}
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r".+"):
            FlatIndex.read(path)


def tail(text: bytes) -> bytes:
    return text + len(text).to_bytes(8, "little") + MARK


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an index at all, but long enough to hold a mark and a length",
        MARK,
        tail(b"{}"),
        tail(b"[]"),
        tail(b"7"),
        tail(b"\xff\xfe"),
        tail(b'{"bytes": 0}'),
        tail(b'{"bytes": 0, "library_id": "a", "model_id": 1, "dim": 16, "revision": 1, "count": 1}'),
        b"x" * 40 + (10**9).to_bytes(8, "little") + MARK,
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v.faiss"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r".+"):
        FlatIndex.read(path)


def test_a_stamp_that_does_not_fit_its_index_is_refused(tmp_path: Path) -> None:
    index, _ = filled(50)
    for stamp in (
        IndexStamp("abc", 3, DIM, 7, count=49),
        IndexStamp("abc", 3, DIM + 1, 7, count=50),
    ):
        index.write(tmp_path / "v.faiss", stamp)
        with pytest.raises(ValueError, match="stamp"):
            FlatIndex.read(tmp_path / "v.faiss")


def test_a_save_that_fails_leaves_the_old_file(saved: tuple[Path, FlatIndex]) -> None:
    """As on a full disk: here by a limit on the size of files."""
    import resource

    path, _ = saved
    before = path.read_bytes()
    index, _ = filled(5000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r".+"):
            index.write(path, IndexStamp("abc", 3, DIM, 8, 5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.tmp"))


def test_a_byte_that_changed_anywhere_is_noticed(saved: tuple[Path, FlatIndex]) -> None:
    path, _ = saved
    whole = path.read_bytes()
    # FAISS itself takes some of them, such as 85 and 89 (of the inner header), for an index like any other.
    for position in sorted({*range(120), *range(0, len(whole), 37), *range(len(whole) - 40, len(whole))}):
        changed = bytearray(whole)
        changed[position] ^= 0x04
        path.write_bytes(changed)
        try:
            _, stamp = FlatIndex.read(path)
        except ValueError:
            continue
        # What is left is the stamp's own text, which the catalog knows better.
        assert stamp != STAMP, position


def test_a_saved_index_is_its_owners_alone(tmp_path: Path) -> None:
    index, _ = filled(5)
    modes = []
    usual = os.umask(0)
    try:
        index.write(tmp_path / "v.faiss", STAMP)
        modes.append((tmp_path / "v.faiss").stat().st_mode & 0o777)
    finally:
        os.umask(usual)
    assert modes == [0o600]
