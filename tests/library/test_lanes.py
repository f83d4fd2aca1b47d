"""library.lanes: parts of a batch side by side are the batch, and nobody else's threads change."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from library.lanes import Lanes  # noqa: E402


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def lanes(four_threads: None) -> Iterator[Lanes]:
    made = Lanes()
    yield made
    made.close()


def doubled(part: torch.Tensor) -> NDArray[np.float32]:
    doubles: NDArray[np.float32] = (2 * part).numpy()
    return doubles


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 33])
def test_the_parts_are_joined_in_order(lanes: Lanes, count: int) -> None:
    batch = torch.arange(3.0 * count).reshape(count, 3)
    assert np.array_equal(lanes.run(doubled, batch), 2 * batch.numpy())


def test_each_lane_has_its_share_of_the_threads(lanes: Lanes) -> None:
    seen: list[tuple[int, int, bool]] = []

    def look(part: torch.Tensor) -> NDArray[np.float32]:
        seen.append((len(part), torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return doubled(part)

    lanes.run(look, torch.ones(32, 3))
    assert sorted(seen) == [(8, 1, True)] * 4
    seen.clear()
    lanes.run(look, torch.ones(8, 3))
    assert sorted(seen) == [(4, 2, True)] * 2


def test_the_others_keep_their_threads(lanes: Lanes) -> None:
    lanes.run(doubled, torch.ones(32, 3))
    found = [torch.get_num_threads()]
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert found == [4, 4]


def test_a_small_batch_is_done_at_once(lanes: Lanes) -> None:
    callers = []

    def look(part: torch.Tensor) -> NDArray[np.float32]:
        callers.append(threading.current_thread())
        return doubled(part)

    lanes.run(look, torch.ones(7, 3))
    assert callers == [threading.current_thread()]


def test_an_error_in_a_lane_is_the_callers(lanes: Lanes) -> None:
    def fail(part: torch.Tensor) -> NDArray[np.float32]:
        raise MemoryError

    with pytest.raises(MemoryError):
        lanes.run(fail, torch.ones(32, 3))
    assert torch.get_num_threads() == 4
    assert len(lanes.run(doubled, torch.ones(32, 3))) == 32


def test_closed_lanes_open_again(lanes: Lanes) -> None:
    lanes.run(doubled, torch.ones(32, 3))
    lanes.close()
    lanes.close()
    assert len(lanes.run(doubled, torch.ones(32, 3))) == 32
