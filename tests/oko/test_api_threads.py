"""One open library, several threads: searching while another indexes, first uses, decisions, and the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from library.fakes import COLOURS, FakeEncoder
from oko.warm import MOST_AT_ONCE
from tests.libraries import paint
from tests.oko.python_examples import count_models, example_photos, opened

THREADS = 24  # more than the 15 connections that a catalog gives out


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[FakeEncoder]:
    return count_models(monkeypatch)


def at_once(number: int, work: Callable[[int], Any]) -> list[Any]:
    """What each thread returns; they start together."""
    barrier = threading.Barrier(number)

    def begin(n: int) -> Any:
        barrier.wait(30)
        return work(n)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(begin, range(number)))


def test_searching_goes_on_while_another_thread_indexes(tmp_path: Path, models: list[FakeEncoder]) -> None:
    photos = example_photos(tmp_path)
    with opened(tmp_path) as library:
        library.index([photos])
        more = {
            f"more/{n}-{colour}.jpg": colour for n in range(12) for colour in ("yellow", "pink", "purple")
        }
        for number, name in enumerate(more):  # different contents, else they were one photo
            path = paint(photos, {name: more[name]}) / name
            path.write_bytes(path.read_bytes() + bytes([number]))
        models[0].delay_s = 0.02
        done = threading.Event()

        def ask(n: int) -> int:
            asked = 0
            while not done.is_set() or not asked:
                query = ("red", "type:png", "dup:no", "like:1", "red - green", "dup:no red")[n % 6]
                found = library.search(query, limit=50, everything=True)
                assert len({each.id for each in found}) == len(found) <= found.total
                assert found.total >= {1: 3, 2: 3, 5: 3}.get(n % 6, 4)
                library.accept(f"thread {n}", 1)
                library.classify(found[0], ["red", "green"])
                asked += 1
            return asked

        with ThreadPoolExecutor(7) as pool:
            asking = [pool.submit(ask, n) for n in range(6)]
            report = pool.submit(library.index).result(120)
            done.set()
            wait(asking, 120)
            assert all(each.result() >= 1 for each in asking)
        assert (report.embedded, report.failed) == (36, 0)
        assert library.search("type:jpeg").total == 37
        assert {tag.name for tag in library.tags(1)} == {f"thread {n}" for n in range(6)}
    assert len(models) == 1


def test_all_who_come_first_share_one_model_and_one_store(tmp_path: Path, models: list[FakeEncoder]) -> None:
    with opened(tmp_path) as library:
        library.index([example_photos(tmp_path)])
    del models[:]
    with opened(tmp_path) as library:
        answers = at_once(THREADS, lambda n: library.search("dup:no red", everything=True).results)
    assert len(models) == 1
    assert len(answers[0]) == 3
    assert answers == [answers[0]] * THREADS


def test_two_threads_index_one_after_the_other(tmp_path: Path, models: list[FakeEncoder]) -> None:
    photos = example_photos(tmp_path)
    with opened(tmp_path) as library:
        reports = at_once(4, lambda n: library.index([photos]))
    assert sorted(report.embedded for report in reports) == [0, 0, 0, 4]


def test_the_end_waits_for_those_who_are_at_work(tmp_path: Path, models: list[FakeEncoder]) -> None:
    with opened(tmp_path) as library:
        library.index([example_photos(tmp_path)])
        library.search("red")
        model, closing, inside = models[0], threading.Event(), threading.Event()
        encode = model.encode_texts

        def slow(texts: list[str]) -> Any:
            inside.set()
            assert closing.wait(30)
            assert not model.closed
            return encode(texts)

        model.encode_texts = slow  # type: ignore[method-assign]
        with ThreadPoolExecutor(2) as pool:
            search = pool.submit(library.search, "green", everything=True)
            assert inside.wait(30)
            end = pool.submit(library.close)
            closing.set()
            assert search.result(30)[0].path.name == "green.png"
            end.result(30)
        assert model.closed


def test_a_progress_callback_may_search_and_close(tmp_path: Path, models: list[FakeEncoder]) -> None:
    photos = example_photos(tmp_path)
    found = []
    with opened(tmp_path) as library:
        library.index([photos])
        paint(photos, {"new.png": "yellow"})

        def look(step: object) -> None:
            found.append(library.search("red", everything=True).total)
            library.close()

        library.index(progress=look)
    assert set(found) <= {4, 5}
    assert found


def test_more_threads_than_connections_only_wait(tmp_path: Path, models: list[FakeEncoder]) -> None:
    assert MOST_AT_ONCE < THREADS
    with opened(tmp_path) as library:
        library.index([example_photos(tmp_path)])
        colours = sorted(COLOURS)
        at_once(THREADS, lambda n: [library.search(colours[(n + i) % len(colours)]) for i in range(4)])
        at_once(THREADS, lambda n: library.accept(f"tag {n}", 1 + n % 4))
        assert sum(row.confirmed for row in library.all_tags()) == THREADS
