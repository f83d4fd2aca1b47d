"""What holds for every test: no network, no library or model of the person who runs them, opt-in for the rest.

Expensive kinds are skipped unless asked for: --run-slow (or OKO_TEST_SLOW=1), likewise gpu and hub.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

OPT_IN = {
    "slow": "takes minutes",
    "gpu": "needs a GPU",
    "hub": "downloads models",
}

# Machines that run tests are busy: a slow example says nothing about our code.
hypothesis.settings.register_profile("oko", deadline=None, print_blob=True)
hypothesis.settings.load_profile("oko")


def pytest_addoption(parser: pytest.Parser) -> None:
    for kind, why in OPT_IN.items():
        parser.addoption(
            f"--run-{kind}", action="store_true", help=f"run the tests marked {kind}, too ({why})"
        )


def wanted(config: pytest.Config, kind: str) -> bool:
    return bool(config.getoption(f"--run-{kind}")) or os.environ.get(f"OKO_TEST_{kind.upper()}") == "1"


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before anything reads it: huggingface_hub does so when it is imported."""
    for name in [name for name in os.environ if name.startswith("OKO_") and not name.startswith("OKO_TEST_")]:
        del os.environ[name]
    nowhere = tempfile.TemporaryDirectory(prefix="oko-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(nowhere.cleanup)
    # For fixtures wider than one test; each test gets a folder of its own below.
    os.environ["OKO_HOME"] = str(Path(nowhere.name, "library"))
    os.environ["XDG_CACHE_HOME"] = str(Path(nowhere.name, "cache"))  # what is remembered of models
    if not wanted(config, "hub"):
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"):
            os.environ.pop(name, None)
        os.environ["HF_HOME"] = str(Path(nowhere.name, "hub"))
        os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for kind, why in OPT_IN.items():
        if wanted(config, kind):
            continue
        skip = pytest.mark.skip(reason=f"{why}: opt in with --run-{kind} or OKO_TEST_{kind.upper()}=1")
        for item in items:
            if item.get_closest_marker(kind):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def log_handlers() -> Iterator[None]:
    """A command that ran inside a test set the log up for the standard error of that test alone."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers[:] = before


@pytest.fixture(autouse=True)
def oko_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library folder that oko takes when none is named: a new one for each test, not yet made."""
    home = tmp_path / "oko-home"
    monkeypatch.setenv("OKO_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """Connections leave this machine in tests marked hub only; loopback is open to all."""
    if request.node.get_closest_marker("hub"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _only_loopback(getattr(socket.socket, name)))
        yield


def _only_loopback(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_loopback(address[0]):
            self.close()
            # Not an Exception: no `except Exception` in between can swallow it.
            pytest.fail(f"a test tried to reach {address[0]}; mark it hub if it must")
        return connect(self, address)

    return guarded


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "")
