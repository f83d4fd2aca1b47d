"""oko config: what is in force and why, the defaults, and a first config.toml."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from library.config import Config, default_toml
from oko.cli import main
from oko.settings import initial_toml


def config(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["config", "--json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return {**found, "settings": {row["name"]: row for row in found["settings"]}}


def test_every_setting_has_its_source(
    oko_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    oko_home.mkdir()
    (oko_home / "config.toml").write_text('top = 5\nbatch_size = 8\nexclude = ["*.gif"]\n')
    named = tmp_path / "named.toml"
    named.write_text("batch_size = 16\n")
    monkeypatch.setenv("OKO_DEVICE", "cpu")
    found = config(capsys, "--config", str(named))
    settings = found["settings"]
    assert list(settings) == list(asdict(Config()))
    values = {name: (settings[name]["value"], settings[name]["source"]) for name in settings}
    assert values["top"] == (5, str(oko_home / "config.toml"))
    assert values["exclude"] == (["*.gif"], str(oko_home / "config.toml"))
    assert values["batch_size"] == (16, str(named))
    assert values["device"] == ("cpu", "environment")
    assert values["precision"] == ("auto", "default")
    assert settings["batch_size"]["default"] == 32
    assert found["files"] == [
        {"path": str(oko_home / "config.toml"), "exists": True},
        {"path": str(named), "exists": True},
    ]


def test_table_for_people(
    oko_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKO_TOP", "7")
    assert main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (top,) = [line.split() for line in lines if line.startswith("top ")]
    assert top == ["top", "7", "OKO_TOP"]
    assert lines[-1] == f"{oko_home}/config.toml: not there (oko config --init makes it)"
    assert not oko_home.exists(), "looking makes nothing"


def test_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--default"]) == 0
    assert capsys.readouterr().out == default_toml()


def test_init_never_overwrites(oko_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--init"]) == 0
    path = oko_home / "config.toml"
    assert path.read_text() == initial_toml()
    assert oko_home.stat().st_mode & 0o077 == 0
    path.write_text("top = 3\n")
    assert main(["config", "--init"]) == 2
    assert "was not touched" in capsys.readouterr().err
    assert path.read_text() == "top = 3\n"


def test_initial_file_changes_nothing_until_it_is_edited() -> None:
    text = initial_toml()
    assert tomllib.loads(text) == {}
    settings = "\n".join(line.removeprefix("# ") for line in text.splitlines() if " = " in line)
    assert tomllib.loads(settings).keys() == asdict(Config()).keys()


def test_wrong_file_is_named(oko_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oko_home.mkdir()
    (oko_home / "config.toml").write_text("tpo = 3\n")
    assert main(["config"]) == 2
    assert "Did you mean top?" in capsys.readouterr().err
