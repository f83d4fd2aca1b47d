"""The inverted index against a plain matrix product, what comes and goes after it was made, and its file."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from library.vectors import FlatIndex, IndexStamp, InvertedIndex, inverting, read_index, read_stamp
from library.vectors.inverting import Known, write_inverted

DIM = 24
COUNT = 3_000
F16 = NDArray[np.float16]
F32 = NDArray[np.float32]
Ids = NDArray[np.int64]


def unit(rows: F32) -> F32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def halves(count: int = COUNT, seed: int = 0) -> F16:
    """Clusters, as photos are; as the catalog has them."""
    random = np.random.default_rng(seed)
    things = random.standard_normal((60, DIM)).astype(np.float32)
    rows = things[random.integers(0, 60, count)] + 0.6 * random.standard_normal(
        (count, DIM), dtype=np.float32
    )
    return np.asarray(unit(rows).astype("<f2"))


def photos(count: int = COUNT, seed: int = 0) -> F32:
    """The same as they are searched: of length 1 again."""
    return unit(halves(count, seed).astype(np.float32))


def texts(count: int, seed: int = 1) -> F32:
    """Off the photos: something of one of them, and a direction of their own."""
    random = np.random.default_rng(seed)
    own = random.standard_normal(DIM).astype(np.float32)
    return unit(photos(count, seed) + 0.5 * own / np.linalg.norm(own))


NO_TEXTS = np.empty((0, DIM), np.float32)
STAMP = IndexStamp("abc", 3, DIM, 7, COUNT)


def made(path: Path, ids: Ids, rows: F16, known: Known | None = None) -> InvertedIndex:
    stamp = IndexStamp("abc", 3, rows.shape[1], 7, len(ids))
    parts = [(ids[at : at + 700], rows[at : at + 700]) for at in range(0, len(ids), 700)]
    write_inverted(path, stamp, parts, known or Known(np.empty((0, rows.shape[1]), np.float32)))
    index, _ = read_index(path)
    assert isinstance(index, InvertedIndex)
    return index


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inverted") / "v.faiss"
    before, inverting.LEAST = inverting.LEAST, 1
    try:
        made(path, np.arange(10, 10 + COUNT, dtype=np.int64), halves(), Known(texts(100)))
    finally:
        inverting.LEAST = before
    return path


@pytest.fixture
def index(path: Path) -> InvertedIndex:
    found, _ = read_index(path)
    assert isinstance(found, InvertedIndex)
    assert found.budget < COUNT / 2, "or nothing of this would test anything"
    return found


@pytest.fixture
def everywhere(index: InvertedIndex) -> InvertedIndex:
    """The same, looking at everything."""
    index.budget = COUNT
    return index


def flat_of(index: InvertedIndex) -> FlatIndex:
    ids, rows = index.contents()
    order = np.argsort(ids)
    flat = FlatIndex(rows.shape[1])
    flat.add(ids[order], rows[order])
    return flat


def assert_same(found: tuple[Ids, F32], expected: tuple[Ids, F32]) -> None:
    """Equal, but that scores which agree to six decimals may stand in either order: two engines sum them up."""
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    for at in np.flatnonzero(found[0] != expected[0]):
        there = expected[1][expected[0] == found[0][at]]
        assert len(there) == 0 or abs(there[0] - found[1][at]) < 1e-6
        assert len(there) or found[1][at] - found[1][-1] < 1e-6
    assert (found[0].dtype, found[1].dtype) == (np.int64, np.float32)


def test_it_holds_what_it_was_given(index: InvertedIndex) -> None:
    ids, rows = index.contents()
    order = np.argsort(ids)
    assert ids[order].tolist() == list(range(10, 10 + COUNT))
    np.testing.assert_allclose(rows[order], photos(), atol=1e-6)
    assert len(index) == COUNT
    assert not index.is_exact


@pytest.mark.parametrize("k", [1, 7, 600, COUNT, 9999])
def test_looking_at_everything_it_is_the_flat_index(everywhere: InvertedIndex, k: int) -> None:
    flat = flat_of(everywhere)
    for query in texts(5, seed=2):
        assert_same(everywhere.search(query, k), flat.search(query, k))


def test_of_the_ten_best_it_finds_what_its_stamp_says(index: InvertedIndex, path: Path) -> None:
    flat, queries = flat_of(index), texts(300, seed=5)
    met = sum(len(np.intersect1d(index.search(q, 10)[0], flat.search(q, 10)[0])) for q in queries)
    recall = read_stamp(path).recall
    assert recall is not None
    assert recall >= 0.99
    assert met / 3000 >= 0.98, "of other queries than those of the trials"


def test_what_it_finds_has_its_exact_score(index: InvertedIndex) -> None:
    rows = photos()
    for query in texts(20, seed=3):
        ids, scores = index.search(query, 50)
        np.testing.assert_allclose(scores, rows[ids - 10] @ query, atol=1e-6)
        assert scores.tolist() == sorted(scores, reverse=True)


@pytest.mark.parametrize("share", [0.005, 0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("how", ["any", "newest", "worst"])
def test_k_answers_come_back_whenever_k_pass(index: InvertedIndex, share: float, how: str) -> None:
    flat, query = flat_of(index), texts(1, seed=4)[0]
    ids, scores = flat.scores(query)
    order = {
        "any": np.random.default_rng(0).permutation(ids),
        "newest": np.sort(ids)[::-1],
        "worst": ids[np.argsort(scores)],
    }[how]
    only = np.sort(order[: int(share * COUNT)])
    for k in (1, 10, len(only), COUNT):
        found, exact = index.search(query, k, only=only), flat.search(query, k, only=only)
        assert len(found[0]) == len(exact[0]) == min(k, len(only))
        assert np.isin(found[0], only).all()
        if len(only) <= index.budget or k >= len(only):
            assert_same(found, exact)
    assert index.count(only=only) == len(only)
    left_out = index.search(query, 10, without=only)[0]
    assert len(left_out) == 10
    assert not np.isin(left_out, only).any()
    assert index.count(without=only) == COUNT - len(only)


def test_filters_that_leave_little_or_nothing(index: InvertedIndex) -> None:
    query, everything = texts(1)[0], np.arange(10, 10 + COUNT, dtype=np.int64)
    nothing = np.empty(0, np.int64)
    assert index.search(query, 5, only=nothing)[0].tolist() == []
    assert index.search(query, 5, without=everything)[0].tolist() == []
    assert index.search(query, 5, only=np.array([12, 10**7], np.int64))[0].tolist() == [12]
    assert index.search(query, 0)[0].tolist() == []
    assert len(index.search(query, 5, without=nothing)[0]) == 5
    chosen = np.arange(10, 60, dtype=np.int64)
    both = index.search(query, 60, only=chosen, without=chosen[:45])[0]
    assert sorted(both.tolist()) == chosen[45:].tolist()


@pytest.mark.parametrize("k", [1, 5, 17, 40])
def test_ties_go_by_id_at_every_place_also_the_last(tmp_path: Path, k: int) -> None:
    rows = halves(400)
    order = np.random.default_rng(5).permutation(400).astype(np.int64)
    rows[order < 120] = rows[0]  # a hundred and twenty scans of one picture
    index = made(tmp_path / "v.faiss", order, rows)
    twin = rows[0].astype(np.float32)
    assert index.search(twin, k)[0].tolist() == list(range(k))
    twins = np.arange(2, dtype=np.int64)
    assert index.search(twin, k, without=twins)[0].tolist() == list(range(2, k + 2))


ID = st.integers(5, 40)
STEP = st.one_of(
    st.tuples(st.just("add"), st.sets(ID, max_size=6), st.integers(0, 99)),
    st.tuples(st.just("remove"), st.sets(ID, max_size=6), st.just(0)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, max_size=10), st.sets(ID), st.integers(1, 30))
def test_what_comes_and_goes_after_it_was_made_agrees_with_the_flat_index(
    path: Path, steps: list[tuple[str, set[int], int]], chosen: set[int], k: int
) -> None:
    index, _ = read_index(path)
    assert isinstance(index, InvertedIndex)
    index.budget = COUNT
    flat = flat_of(index)
    for action, ids, seed in steps:
        keys = np.array(sorted(ids), np.int64)
        if action == "add":
            rows = photos(max(len(keys), 1), seed=seed)[: len(keys)]
            index.add(keys, rows)
            flat.add(keys, rows)
        else:
            index.remove(keys)
            flat.remove(keys)
    query, only = texts(1, seed=6)[0], np.array(sorted(chosen), np.int64)
    assert len(index) == len(flat)
    assert_same(index.search(query, k), flat.search(query, k))
    assert_same(index.search(query, k, only=only), flat.search(query, k, only=only))
    assert_same(index.search(query, k, without=only), flat.search(query, k, without=only))
    for found, expected in ((index.scores(query), flat.scores(query)),):
        by_id = np.argsort(found[0]), np.argsort(expected[0])
        np.testing.assert_array_equal(found[0][by_id[0]], expected[0][by_id[1]])
        np.testing.assert_allclose(found[1][by_id[0]], expected[1][by_id[1]], atol=1e-6)
    assert (index.count(), index.count(only=only)) == (flat.count(), flat.count(only=only))


def test_something_new_is_found_at_once_whatever_the_budget(index: InvertedIndex) -> None:
    index.budget = 1
    query = texts(1, seed=8)[0]
    index.add(np.array([99_999], np.int64), query[None])
    assert index.search(query, 1)[0].tolist() == [99_999]
    assert index.changed == 1
    index.remove(np.array([99_999], np.int64))
    assert 99_999 not in index.search(query, 50)[0]


def test_the_sample_is_that_of_a_flat_index(index: InvertedIndex) -> None:
    """So relevance, which is told by it, is the same number."""
    np.testing.assert_allclose(index.sample(500), flat_of(index).sample(500), atol=1e-6)
    index.add(np.array([5, 700], np.int64), photos(2, seed=9))
    np.testing.assert_allclose(index.sample(500), flat_of(index).sample(500), atol=1e-6)


def test_searches_while_vectors_come_and_go(everywhere: InvertedIndex) -> None:
    stable = np.arange(10, 1010, dtype=np.int64)
    query = texts(1, seed=3)[0]
    expected = everywhere.search(query, 10, only=stable)[0].tolist()
    passing = np.arange(1010, 2010, dtype=np.int64)
    rows = photos(1000, seed=4)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            everywhere.remove(passing)
            everywhere.add(passing, rows)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        results = [everywhere.search(query, 10, only=stable)[0].tolist() for _ in range(100)]
    finally:
        stop.set()
        thread.join()
    assert results == [expected] * 100


def test_lists_that_are_good_enough_still_are_taken_over(index: InvertedIndex, tmp_path: Path) -> None:
    more = np.concatenate([halves(), halves(500, seed=12)])
    ids = np.arange(1, 1 + len(more), dtype=np.int64)
    again = made(tmp_path / "v.faiss", ids, more, Known(NO_TEXTS, index.coarse, index.trained_on))
    np.testing.assert_array_equal(again.coarse[1], index.coarse[1])
    assert again.trained_on == COUNT
    assert len(again) == COUNT + 500


# The file


def test_a_saved_index_has_its_stamp_and_is_its_owners_alone(path: Path) -> None:
    assert read_stamp(path) == STAMP
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["v.faiss"], "nothing is left beside it"


def test_a_file_cut_off_anywhere_is_refused(path: Path, tmp_path: Path) -> None:
    whole, copy = path.read_bytes(), tmp_path / "v.faiss"
    for cut in (0, 1, 100, len(whole) // 2, *range(len(whole) - 300, len(whole), 7)):
        copy.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r".+"):
            read_index(copy)


def test_a_byte_that_changed_is_noticed_at_once_but_in_the_vectors(path: Path, tmp_path: Path) -> None:
    whole, copy = path.read_bytes(), tmp_path / "v.faiss"
    vectors = COUNT * DIM * 2
    tail = len(whole) - whole.rindex(b'{"library_id"')
    first = len(whole) - tail - vectors  # everything before it has a checksum
    for position in range(0, first, 997):
        changed = bytearray(whole)
        changed[position] ^= 0x04
        copy.write_bytes(changed)
        with pytest.raises(ValueError, match="checksum"):
            read_index(copy)
    for position in range(len(whole) - tail, len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0x04
        copy.write_bytes(changed)
        try:
            index, stamp = read_index(copy)
        except ValueError:
            continue
        assert isinstance(index, InvertedIndex)
        # What is left is what the catalog knows better, or only says how much is looked at.
        assert (stamp, stamp.recall, index.budget, index.trained_on) != (
            STAMP,
            read_stamp(path).recall,
            read_index(path)[0].budget,  # type: ignore[union-attr]
            COUNT,
        )


def test_a_save_that_fails_leaves_the_old_file(path: Path, tmp_path: Path) -> None:
    """As on a full disk: here by a limit on the size of files."""
    import resource

    copy = tmp_path / "v.faiss"
    copy.write_bytes(before := path.read_bytes())
    rows, limits = halves(6_000, seed=3), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r".+"):
            made(copy, np.arange(1, 6_001, dtype=np.int64), rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert copy.read_bytes() == before
    assert os.listdir(tmp_path) == ["v.faiss"]


def test_a_reader_goes_on_with_a_file_that_was_replaced(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "v.faiss"
    copy.write_bytes(path.read_bytes())
    index, _ = read_index(copy)
    query = texts(1, seed=3)[0]
    before = index.search(query, 5)
    made(copy, np.arange(1, 501, dtype=np.int64), halves(500, seed=3))
    assert_same(index.search(query, 5), before)
    assert len(read_index(copy)[0]) == 500


def test_too_few_or_too_many_vectors_are_not_written(tmp_path: Path) -> None:
    rows = halves(10)
    with pytest.raises(ValueError, match="10 vectors instead of"):
        write_inverted(tmp_path / "v.faiss", STAMP, [(np.arange(10, dtype=np.int64), rows)], Known(NO_TEXTS))
    assert list(tmp_path.iterdir()) == []


def test_the_vectors_of_some_photos_are_those_of_the_whole(index: InvertedIndex) -> None:
    ids, vectors = index.contents()
    wanted = ids[::-7]
    found = index.vectors(wanted)
    assert found is not None
    np.testing.assert_array_equal(found, vectors[::-7])
    new = int(ids.max()) + 5
    assert index.vectors(np.array([new])) is None
    index.add(np.array([new]), vectors[:1])
    assert index.vectors(np.array([new])) is None  # it is not in the file: the catalog has it
    index.remove(ids[:1])
    assert index.vectors(ids[:1]) is None
