"""tests/conftest.py keeps its word: nothing of the person's own, and nothing leaves the machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest


def test_each_test_has_a_library_folder_of_its_own(oko_home: Path, tmp_path: Path) -> None:
    assert os.environ["OKO_HOME"] == str(oko_home)
    assert oko_home.is_relative_to(tmp_path)
    assert not oko_home.exists()


def test_no_setting_leaks_in() -> None:
    ours = {name for name in os.environ if name.startswith("OKO_") and not name.startswith("OKO_TEST_")}
    assert ours == {"OKO_HOME"}


# 192.0.2.0/24 and 2001:db8::/32 are reserved for documentation (RFC 5737, RFC 3849): nobody answers there.
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_a_connection_that_leaves_the_machine_fails(host: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="tried to reach"):
        socket.create_connection((host, 80), timeout=0.1)


def test_loopback_is_open() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()
