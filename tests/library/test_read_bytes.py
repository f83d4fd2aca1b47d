"""library.images.read_bytes: whole content of regular files, never blocking, never torn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from library.errors import FileChanging, UnreadablePicture
from library.images import read_bytes

_MAX_BYTES = 10_000_000


class TestReadBytes:
    def test_content(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"x" * 100_000)
        assert read_bytes(path, max_bytes=100_000) == b"x" * 100_000
        assert read_bytes(os.fsencode(path), max_bytes=100_000) == b"x" * 100_000

    def test_too_large(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"x" * 3_000_000)
        with pytest.raises(UnreadablePicture, match=r"3\.0 MB, more than the limit of 1\.0 MB"):
            read_bytes(path, max_bytes=1_000_000)

    def test_empty_gone_and_folder(self, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        for name, reason in (
            ("empty", r"empty \(0 bytes\)"),
            ("gone", "is gone"),
            ("", "not a regular file"),
        ):
            with pytest.raises(UnreadablePicture, match=reason):
                read_bytes(tmp_path / name, max_bytes=_MAX_BYTES)

    def test_never_blocks_on_a_pipe_or_device(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/zero")):
            with pytest.raises(UnreadablePicture, match="not a regular file"):
                read_bytes(path, max_bytes=_MAX_BYTES)

    def test_a_pipe_put_in_place_of_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_bytes(b"x")
        os.mkfifo(tmp_path / "pipe")
        looks_regular = os.stat(tmp_path / "file")
        monkeypatch.setattr(os, "stat", lambda path: looks_regular)
        with pytest.raises(UnreadablePicture, match="not a regular file"):
            read_bytes(tmp_path / "pipe", max_bytes=_MAX_BYTES)

    def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        (tmp_path / "a").write_bytes(b"x")
        monkeypatch.setattr(os, "open", refuse)  # root, as tests may run, is refused nothing
        with pytest.raises(UnreadablePicture, match="no permission") as caught:
            read_bytes(tmp_path / "a", max_bytes=_MAX_BYTES)
        assert isinstance(caught.value.__cause__, PermissionError)

    @pytest.mark.parametrize("mode", ["ab", "wb"])
    def test_written_to_meanwhile(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"x" * 1000)
        os.utime(path, ns=(0, 0))
        real = os.fstat
        calls: list[int] = []

        def fstat(descriptor: int) -> os.stat_result:
            status = real(descriptor)
            if not calls:
                with open(path, mode) as other:
                    other.write(b"yy")
            calls.append(descriptor)
            return status

        monkeypatch.setattr(os, "fstat", fstat)
        with pytest.raises(FileChanging, match="written to while it was read"):
            read_bytes(path, max_bytes=_MAX_BYTES)
