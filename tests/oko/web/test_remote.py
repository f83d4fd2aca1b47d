"""`oko search` through a running server: the same answers, or none at all and then it works alone."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oko import assemble, remote
from oko.web import found
from oko.web.serving import Serving
from tests.house.source import ROOT
from tests.oko.small_library import SmallLibrary
from tests.oko.web.running import Running, running
from tests.pictures import photo

Search = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(desk: Serving) -> Iterator[Running]:
    with running(desk) as found_server:
        yield found_server


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each search was answered by the server."""
    answers: list[bool] = []
    search = remote.search

    def noted(*arguments: Any) -> Any:
        try:
            answer = search(*arguments)
        except Exception:
            answers.append(True)  # the server's own error
            raise
        answers.append(answer is not None)
        return answer

    monkeypatch.setattr(remote, "search", noted)
    return answers


@pytest.fixture
def search(library: SmallLibrary, capfd: pytest.CaptureFixture[str]) -> Search:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = library.oko("search", *arguments)
        return (code, *capfd.readouterr())

    return run


@pytest.fixture
def both(search: Search, asked: list[bool], monkeypatch: pytest.MonkeyPatch) -> Search:
    """Search through the server, then alone: it must come to the same."""

    def run(*arguments: object) -> tuple[int, str, str]:
        through = search(*arguments)
        assert asked.pop() is True, f"the server was not asked: {arguments}"
        monkeypatch.setenv("OKO_ASK_SERVER", "false")
        alone = search(*arguments)
        monkeypatch.delenv("OKO_ASK_SERVER")
        assert asked.pop() is False
        assert through == alone
        return through

    return run


@pytest.mark.parametrize(
    "words",
    [
        ("red",),
        ("red", "-k", "1"),
        ("red", "--json", "--all"),
        ("blue", "+", "green", "--json"),
        ("blue", "-red", "--paths"),
        ("green:2", "red", "--csv"),
        ("red", "-0", "--all"),
        ("--camera", "Secretcam", "--json"),
        ("red", "--tag", "NONESUCH", "--json"),
        ("red", "--tag", "nonesuch"),
        ("camera:nothing",),
        ("red", "--sort", "oldest", "--json"),
        ("red", "--all", "--offset", "1", "--json"),
        ("has:gps", "--json"),
        ("like:1", "--json"),
        ("is:favourite",),
        ("tag:GARDEN", "camera:nothing"),
        ("--near=-33.9,151.2,5",),  # a value that begins like an option
        ("--camera=-x", "red"),
        ("--tag", "garden,-x", "--folder", "sub", "--json"),
    ],
)
def test_the_answer_is_the_same_either_way(server: Running, both: Search, words: tuple[str, ...]) -> None:
    code, _, _ = both(*words)
    assert code == 0


def test_a_folder_of_the_current_one_is_meant(
    server: Running, both: Search, library: SmallLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library.photos)
    _, out, _ = both("red", "--in", "sub", "--json", "--all")
    assert [Path(r["path"]).name for r in json.loads(out)] == ["red.jpg"]


def test_a_picture_is_sent_not_named(server: Running, both: Search, library: SmallLibrary) -> None:
    _, out, _ = both("--image", library.photos / "green.jpg", "--json", "--all")
    assert Path(json.loads(out)[0]["path"]).name == "green.jpg"
    both("blue", "-green", "--image", library.photos / "red.jpg", "--json", "--all")


@pytest.mark.parametrize(
    "words",
    [
        ("type:nonsense",),
        ("a", "dog", '"not', "closed"),
        ("like:999",),
        ("--near", "x"),
        ("red", "-", "red"),
        ("-dup:no",),
        ("--lens", ""),
    ],
)
def test_mistakes_are_the_same_too(server: Running, both: Search, words: tuple[str, ...]) -> None:
    code, out, err = both(*words)
    assert (code, out) == (2, "")
    assert err.startswith("oko: ")


def test_edited_photos_are_judged_alike(server: Running, both: Search, library: SmallLibrary) -> None:
    """As many photos as before, but other ones: what pictures score here has changed."""
    both("like:1", "--json", "--all")
    photo(180, size=(300, 200)).save(library.photos / "green.jpg", quality=95)
    photo(90, size=(300, 200)).save(library.photos / "blue.jpg", quality=95)
    library.index()
    _, out, _ = both("like:1", "--json", "--all")
    assert len(json.loads(out)) == 3


def test_a_missing_picture_is_said_by_the_command_itself(
    server: Running, search: Search, asked: list[bool], tmp_path: Path
) -> None:
    code, _, err = search("--image", tmp_path / "none.jpg")
    assert (code, asked) == (1, [False])
    assert "none.jpg" in err


def test_names_that_are_not_text_come_back_whole(
    server: Running, both: Search, library: SmallLibrary
) -> None:
    os.rename(library.photos / "blue.jpg", os.fsencode(library.photos) + b"/bl\xffe.jpg")
    library.index()
    _, out, _ = both("blue", "--json", "-k", "1", "--all")
    assert "path_b64" in json.loads(out)[0]


# When it is not asked


@pytest.mark.parametrize(
    "arguments", [("--model", "two"), ("--device", "cpu"), ("--precision", "fp32"), ("--batch-size", "4")]
)
def test_a_command_with_a_mind_of_its_own_works_alone(
    server: Running, search: Search, asked: list[bool], arguments: tuple[str, ...]
) -> None:
    search("red", *arguments)
    assert asked == [False]


def test_other_settings_are_noticed(
    server: Running, search: Search, asked: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKO_TAGS", "our cottage")
    assert search("red")[0] == 0
    assert asked == [False]


def rewritten(library: SmallLibrary, **changes: Any) -> None:
    there = found.read(library.folder)
    assert there is not None
    found.write(library.folder, replace(there, **changes))


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.parametrize("stale", ["version", "pid", "token", "port", "url", "torn", "empty", "list"])
def test_a_stale_file_is_noticed_silently(
    server: Running, search: Search, asked: list[bool], library: SmallLibrary, stale: str
) -> None:
    path = library.folder / found.NAME
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        free = nobody.getsockname()[1]
    texts = {"torn": path.read_text()[:30], "empty": "", "list": "[1]"}
    changes: dict[str, Any] = {
        "version": "0.0.0",
        "pid": dead_pid(),
        "token": "x" * 43,
        "port": f"http://127.0.0.1:{free}",
        "url": "ftp://nonsense",
    }
    if stale in texts:
        path.write_text(texts[stale])
    else:
        rewritten(library, **{"url" if stale == "port" else stale: changes[stale]})
    code, out, err = search("red", "--all")
    assert (code, asked, err) == (0, [False], "")
    assert "red.jpg" in out


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 27\r\n\r\n" + b'{"results": [], "notes":[]}',
        b"HTTP/1.1 400 Bad\r\ncontent-length: 2\r\noko-proof: 00\r\n\r\n{}",
    ],
)
def test_another_program_on_the_port_learns_nothing_and_is_not_believed(
    server: Running, search: Search, asked: list[bool], library: SmallLibrary, answer: bytes
) -> None:
    there = found.read(library.folder)
    assert there is not None
    heard: list[bytes] = []

    def listen(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            heard.append(connection.recv(65_536))
            connection.sendall(answer)
            connection.settimeout(0.5)
            with contextlib.suppress(OSError):
                heard.append(connection.recv(65_536))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen, args=(listener,))
        thread.start()
        rewritten(library, url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        code, out, err = search("red", "--all")
        thread.join(30)
    assert (code, asked, err) == (0, [False], "")
    assert "red.jpg" in out
    assert there.token.encode() not in heard[0]
    assert b"GET /api/health" in heard[0]
    assert b"authorization" not in heard[0].lower(), "a proof could be played to the real server later"
    assert not any(heard[1:]), "who proved nothing is not told what is asked"


def test_the_file_is_the_owners_alone(server: Running, library: SmallLibrary) -> None:
    if os.name == "posix":
        assert (library.folder / found.NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_file_that_others_may_read_is_not_believed(
    server: Running,
    search: Search,
    asked: list[bool],
    library: SmallLibrary,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (library.folder / found.NAME).chmod(0o640)
    code, out, _ = search("red", "--all")
    assert (code, asked) == (0, [False])
    assert "red.jpg" in out
    assert "others may read its token" in caplog.text


def test_a_server_takes_only_its_own_file_away(tmp_path: Path) -> None:
    found.write(tmp_path, found.Found(1, "http://127.0.0.1:1", "t", "", ""))
    found.remove(tmp_path, 2)
    assert found.read(tmp_path) is not None
    found.remove(tmp_path, 1)
    assert found.read(tmp_path) is None


def test_where_there_is_no_library_nothing_is_asked(tmp_path: Path, desk: Serving) -> None:
    from library.config import LoadedConfig

    loaded = LoadedConfig(desk.config, {})
    assert remote.search(tmp_path, loaded, remote.Asked(["red"], [], 5)) is None


HEAVY = {
    "torch",
    "faiss",
    "numpy",
    "sqlalchemy",
    "fastapi",
    "starlette",
    "pydantic",
    "PIL",
    "rich",
    "psutil",
    "asyncio",
}
FAST = """
import json, sys
from oko.cli import main
code = main(["search", "--library", sys.argv[1], "red", "--json", "--all"])
names = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps([code, names]), file=sys.stderr)
"""


def test_nothing_heavy_is_loaded_for_it(server: Running, library: SmallLibrary) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAST, str(library.folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    code, names = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert Path(json.loads(done.stdout)[0]["path"]).name == "red.jpg"
    assert set(names) & HEAVY == set()


def test_the_encoder_of_the_command_is_not_made(
    server: Running, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("a model was asked for")

    monkeypatch.setattr(assemble, "make_encoder", never)
    assert "red.jpg" in search("red", "--all")[1]
