"""Networks that several tests share, and one thread for them: several only wait for each other on so little work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from library.clip import ClipModel
from tests.generate.small_networks import small_clip


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipModel:
    return small_clip(tmp_path_factory.mktemp("clip"))
