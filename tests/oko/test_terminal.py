"""Photos in the terminal: real commands in a pseudo-terminal that answers as kitty, as sixel terminals do, or not."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from oko.terminal import may_draw
from tests.oko import small_library

pty = pytest.importorskip("pty", reason="pseudo-terminals are Unix")

ROOT = Path(__file__).parents[2]
PLACEHOLDER = "\U0010eeee"  # kitty draws pictures where these stand
KITTY, SIXEL, PLAIN = "xterm-kitty", "foot", "xterm-256color"
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with one exact duplicate."""
    with pytest.MonkeyPatch.context() as patch:
        return small_library.make(tmp_path_factory.mktemp("terminal"), patch).folder


def in_terminal(term: str, *arguments: object, rows: int = 40, columns: int = 100) -> str:
    """What `oko ARGUMENTS` writes to a terminal of 100 x 40 that answers as TERM would."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 10 * columns, 20 * rows))
    drawn = {
        name: value for name, value in os.environ.items() if not re.match("KITTY|WEZTERM|TERM|LC_TERM", name)
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "oko", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**drawn, "TERM": term, "COLORTERM": "truecolor"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        written = _talk(ours, term)
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return written


def _talk(terminal: int, term: str) -> str:
    """Everything that is written, answering the questions in it as they come."""
    written, answered = b"", 0
    while select.select([terminal], [], [], TIMEOUT_S)[0]:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # Linux says EIO when the other side is closed
            break
        if not part:
            break
        written += part
        for question in re.finditer(rb"\x1b\[c|\x1b_G[^\x1b]*a=q[^\x1b]*\x1b\\", written[answered:]):
            answered += question.end()
            if question[0] == b"\x1b[c":
                os.write(terminal, b"\x1b[?62;4c" if term == SIXEL else b"\x1b[?62c")
            elif term == KITTY:
                os.write(terminal, b"\x1b_Gi=1;OK\x1b\\")
            break
    return written.decode("utf-8", "replace")


def test_kitty_gets_pictures_by_default(library: Path) -> None:
    written = in_terminal(KITTY, "duplicates", "--library", library)
    assert PLACEHOLDER in written
    assert "copy.jpg" in written


def test_a_sixel_terminal_gets_sixels(library: Path) -> None:
    assert "\x1bP" in in_terminal(SIXEL, "duplicates", "--library", library)


def test_other_terminals_get_blocks_only_when_asked(library: Path) -> None:
    plain = in_terminal(PLAIN, "duplicates", "--library", library)
    assert "copy.jpg" in plain
    assert not {"▀", PLACEHOLDER, "\x1bP", "\x1b[c"} & set(re.findall(r"▀|\x1bP|\x1b\[c|\U0010eeee", plain))
    assert "▀" in in_terminal(PLAIN, "duplicates", "--library", library, "--thumbnails", "always")


def test_a_terminal_without_a_size_gets_no_pictures(library: Path) -> None:
    written = in_terminal(
        PLAIN, "duplicates", "--library", library, "--thumbnails", "always", rows=0, columns=0
    )
    assert "copy.jpg" in written
    assert "▀" not in written


def test_never_means_never(library: Path) -> None:
    assert PLACEHOLDER not in in_terminal(KITTY, "duplicates", "--library", library, "--thumbnails", "never")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-kitty"}, True),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, True),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, True),
        ({"TERM": "xterm-256color", "WEZTERM_PANE": "0"}, True),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, False),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7402"}, False),
        ({"TERM": "linux"}, False),
        ({}, False),
    ],
)
def test_which_terminals_are_asked(environment: dict[str, str], expected: bool) -> None:
    assert may_draw(environment) is expected
