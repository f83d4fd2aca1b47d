"""Files of a run: whole or not at all, without code in them; a log that survives being cut off."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from library.errors import DiskFull, WeightsInvalid
from training import checkpoint
from training.journal import Journal

torch = pytest.importorskip("torch")


def test_state_comes_back(tmp_path: Path) -> None:
    state = {"step": 3, "tensors": {"a": torch.arange(4.0)}, "identity": {"lr": 0.1, "name": "x"}}
    checkpoint.save(tmp_path / "sub" / "c.pt", state)
    found = checkpoint.load(tmp_path / "sub" / "c.pt")
    assert found["step"] == 3
    assert found["identity"] == state["identity"]
    assert torch.equal(found["tensors"]["a"], torch.arange(4.0))
    assert os.listdir(tmp_path / "sub") == ["c.pt"]


def test_a_failed_write_keeps_the_old_one(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c.pt", {"step": 1})
    with pytest.raises(DiskFull, match=r"c\.pt"):
        write_half(tmp_path / "c.pt")
    assert checkpoint.load(tmp_path / "c.pt") == {"step": 1}
    assert os.listdir(tmp_path) == ["c.pt"]


def write_half(path: Path) -> None:
    with checkpoint.replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")


def test_damaged_and_unsafe_files_are_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c.pt", {"step": 1, "tensor": torch.zeros(1000)})
    content = (tmp_path / "c.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[:500])
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil(), protocol=2))
    for name in ("cut.pt", "evil.pt", "gone.pt"):
        with pytest.raises(WeightsInvalid, match=name):
            checkpoint.load(tmp_path / name)
    assert not (tmp_path / "harm").exists()


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm",)


def test_the_log_forgets_what_comes_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "t" / "log.jsonl")
    assert list(journal.lines()) == []
    journal.begin(name="mine")
    for step in range(1, 6):
        journal.write("step", step=step, loss=1 / step)
    with journal.path.open("a") as file:
        file.write('{"kind": "st')  # a crash in the middle of a line
    journal.cut(3)
    assert [line["step"] for line in journal.lines("step")] == [1, 2, 3]
    journal.write("step", step=4, loss=0.5)
    assert [line["kind"] for line in journal.lines()] == ["start", *["step"] * 4]
    journal.begin()
    assert [line["kind"] for line in journal.lines()] == ["start"]
