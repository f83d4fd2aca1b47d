"""The frame of the command line: help, errors, interruptions, pipes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from library.errors import ConfigError, DiskFull, LibraryLocked, NoLibrary, OkoError, UsageError
from oko import exits
from oko.cli import build_parser, main
from oko.commands import COMMANDS, config_

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([command, "--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert "--library DIR" in out
    assert f"oko {command}" in out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (ConfigError("x"), 2),
        (NoLibrary(Path("x")), 1),
        (LibraryLocked("x"), 1),
        (DiskFull("x"), 1),
        (OkoError("x"), 1),
    ],
)
def test_exit_codes(error: OkoError, code: int) -> None:
    assert exits.exit_code(error) == code


@pytest.mark.parametrize(
    "arguments", [[], ["serach", "a cat"], ["search", "--no-such-option"], ["status", "x"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: oko" in capsys.readouterr().err


def test_an_error_is_two_sentences_on_standard_error(
    oko_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert (
        err
        == f"oko: there is no library in {oko_home} yet\n     Index some photos first: oko index ~/Pictures\n"
    )


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(config_, "run", interrupted)
    assert main(["config"]) == 130
    assert "everything done so far is kept" in capsys.readouterr().err


def test_a_wrong_variable_names_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OKO_BATCHSIZE", "8")
    assert main(["status"]) == 2
    err = capsys.readouterr().err
    assert "OKO_BATCHSIZE" in err
    assert "batch_size" in err


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    command = (
        f"{sys.executable} -m oko config --default --library {tmp_path} | head -n 1; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_another_package_in_our_packages_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search/__init__.py").write_text("")
    root = Path(__file__).resolve().parents[2]
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]; import oko"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "oko needs its own package 'search'" in done.stderr


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_stream_is_no_crash(tmp_path: Path, name: str) -> None:
    """As with `oko search dog 2>&-`, or pythonw."""
    program = (
        f"import sys; sys.{name} = None; sys.argv = ['oko', 'search', 'dog', '--library', {str(tmp_path)!r}]; "
        "from oko.cli import main; sys.exit(main())"
    )
    child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert child.returncode == exits.FAILED
    assert "Traceback" not in child.stderr
    assert ("there is no library" in child.stderr) == (name == "stdout")
