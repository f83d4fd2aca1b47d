"""A file is taken when it is complete, whatever comes in between."""

from __future__ import annotations

import time

import pytest

from indexer.settling import OLD_S, OPEN_PATIENCE_S, Key, Settling

A, B = (1, b"a.jpg"), (1, b"b.jpg")
RAW = (1, b"A.dng")  # of the same shot as a.jpg


class Disk(dict[Key, tuple[int, int]]):
    """Sizes and times, as the settling sees them."""


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def settling(disk: Disk) -> Settling:
    return Settling(disk.get, settle_s=0.5)


def test_a_written_file_waits_for_its_closing_and_a_little_longer(settling: Settling) -> None:
    settling.written(A, 0.0)
    assert settling.take(5.0, 10) == []
    settling.closed(A, 5.0)
    assert settling.take(5.4, 10) == []
    assert settling.take(5.5, 10) == [A]
    assert len(settling) == 0


def test_a_file_written_again_after_closing_waits_again(settling: Settling) -> None:
    settling.closed(A, 0.0)
    settling.written(A, 0.4)
    assert settling.take(10.0, 10) == []


def test_a_writer_that_never_closes_is_not_waited_for_for_ever(settling: Settling) -> None:
    settling.written(A, 0.0)
    settling.written(A, 7.0)
    assert settling.take(OPEN_PATIENCE_S + 6.9, 10) == []
    assert settling.take(OPEN_PATIENCE_S + 7.0, 10) == [A]


def test_where_nothing_tells_of_closing_two_looks_must_agree(settling: Settling, disk: Disk) -> None:
    disk[A] = (10, 1)
    settling.touched(A, 0.0)
    disk[A] = (20, 2)
    assert settling.take(0.5, 10) == []
    disk[A] = (30, 3)
    assert settling.take(1.0, 10) == []
    assert settling.take(1.5, 10) == [A]


def test_a_file_gone_before_the_second_look_is_taken_as_gone(settling: Settling, disk: Disk) -> None:
    disk[A] = (10, 1)
    settling.touched(A, 0.0)
    del disk[A]
    assert settling.take(0.5, 10) == [A]


def test_a_renamed_file_is_taken_soon(settling: Settling) -> None:
    settling.whole(A, 0.0)
    assert settling.take(0.05, 10) == []
    assert settling.take(0.1, 10) == [A]


def test_both_halves_of_a_rename_go_together(settling: Settling) -> None:
    settling.whole(A, 0.0)
    settling.whole(B, 0.04)
    assert settling.take(0.1, 10) == [A, B]


def test_new_attributes_do_not_make_a_file_complete(settling: Settling) -> None:
    settling.written(A, 0.0)
    settling.attributes(A, 1.0)
    assert settling.take(5.0, 10) == []


def test_a_rename_over_a_file_that_is_written_ends_the_writing(settling: Settling) -> None:
    settling.written(A, 0.0)
    settling.whole(A, 1.0)
    assert settling.take(1.1, 10) == [A]


def test_nothing_of_a_shot_is_taken_while_another_part_is_written(settling: Settling) -> None:
    settling.written(RAW, 0.0)
    settling.closed(A, 0.0)
    settling.closed(B, 0.0)
    assert settling.take(1.0, 10) == [B]
    settling.closed(RAW, 2.0)
    assert settling.take(3.0, 10) == [A, RAW]


def test_an_old_file_is_taken_at_once_and_a_young_one_looked_at_twice(settling: Settling, disk: Disk) -> None:
    now_ns = time.time_ns()
    old_ns = now_ns - int((OLD_S + 60) * 1e9)
    disk[B] = (1, now_ns)
    settling.found(A, 0.0, size_bytes=1, mtime_ns=old_ns)
    settling.found(B, 0.0, size_bytes=1, mtime_ns=now_ns)
    assert settling.take(0.0, 10) == [A]
    assert settling.take(0.5, 10) == [B]


def test_the_clock_of_a_network_drive_is_not_believed(settling: Settling, disk: Disk) -> None:
    disk[A] = (2, 0)
    settling.found(A, 0.0, size_bytes=1, mtime_ns=0, is_local=False)
    assert settling.take(0.5, 10) == []
    assert settling.take(1.0, 10) == [A]


def test_a_scan_knows_less_than_events(settling: Settling) -> None:
    settling.written(A, 0.0)
    settling.found(A, 0.0, size_bytes=1, mtime_ns=0)
    assert settling.take(1.0, 10) == []


def test_batches_are_bounded_and_failed_ones_come_first_again(settling: Settling) -> None:
    keys = [(1, b"%d.jpg" % n) for n in range(5)]
    for key in keys:
        settling.closed(key, 0.0)
    first = settling.take(1.0, 2)
    assert first == keys[:2]
    settling.put_back(first)
    assert settling.take(1.0, 3) == keys[:3]
    assert settling.next_due() == float("-inf")
    assert settling.take(1.0, 3) == keys[3:]
    assert settling.next_due() is None


def test_what_was_put_back_and_is_written_again_waits(settling: Settling) -> None:
    settling.written(A, 0.0)
    settling.put_back([A])
    assert settling.take(1.0, 10) == []


def test_a_root_is_forgotten_alone(settling: Settling) -> None:
    other = (2, b"a.jpg")
    settling.closed(A, 0.0)
    settling.closed(other, 0.0)
    settling.forget(1)
    assert settling.take(1.0, 10) == [other]
