"""Work ahead in threads: bounded, in order, and no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from library.ahead import ordered_map


def test_order_is_kept_whatever_takes_longest() -> None:
    turn = [threading.Event() for _ in range(4)]

    def work(n: int) -> int:
        if n < 3:
            turn[n + 1].wait(10)  # each waits for the one behind it
        turn[n].set()
        return n * n

    assert list(ordered_map(work, range(4), workers=4, ahead=4)) == [0, 1, 4, 9]


def test_no_more_are_under_way_than_allowed() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(100):
            taken += 1
            yield n

    for done, _ in enumerate(ordered_map(lambda n: n, items(), workers=2, ahead=5)):
        assert taken <= done + 5
    assert taken == 100


def test_leaving_early_cancels_the_rest() -> None:
    started: list[int] = []
    go_on = threading.Event()

    def work(n: int) -> int:
        started.append(n)
        if n:
            go_on.wait(10)
        return n

    results = ordered_map(work, range(50), workers=2, ahead=50)
    first: list[int] = []

    def consume() -> None:
        first.append(next(results))
        go_on.set()
        results.close()  # type: ignore[attr-defined]

    consumer = threading.Thread(target=consume)
    consumer.start()
    consumer.join(20)
    assert not consumer.is_alive()
    assert first == [0]
    assert len(started) < 50
    assert not [t for t in threading.enumerate() if t.name.startswith("oko-ahead")]


def test_an_error_in_the_function_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda n: 1 // n, [1, 0, 1], workers=2, ahead=2))
