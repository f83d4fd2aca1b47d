"""`oko classify`: stored vectors, independent labels, evaluation, and labels of every kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from library.presets import BUILTIN, PRESETS
from oko.labels import unread_scripts
from tests.oko.small_library import SmallLibrary, make

Ask = Callable[..., Any]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    return make(tmp_path, monkeypatch)


@pytest.fixture
def ask(library: SmallLibrary, capfd: pytest.CaptureFixture[str]) -> Ask:
    def run(*arguments: object) -> Any:
        capfd.readouterr()
        assert library.oko("classify", *arguments, "--json") == 0
        return json.loads(capfd.readouterr().out)

    return run


def first(found: Any) -> dict[str, str]:
    return {Path(photo["path"]).name: photo["labels"][0]["name"] for photo in found["photos"]}


def test_everything_indexed_without_decoding(library: SmallLibrary, ask: Ask) -> None:
    before = library.encoders["one"].embedded
    found = ask("--labels", "red,green,blue", "-k", 1)
    assert first(found) == {"red.jpg": "red", "green.jpg": "green", "blue.jpg": "blue"}
    assert first(ask(library.photos, "--labels", "red,green,blue"))["copy.jpg"] == "red"
    assert library.encoders["one"].embedded == before


def test_a_changed_or_new_file_is_read(library: SmallLibrary, ask: Ask) -> None:
    shutil.copy(library.photos / "blue.jpg", library.photos / "green.jpg")
    shutil.copy(library.photos / "red.jpg", library.photos / "new.jpg")
    before = library.encoders["one"].embedded
    found = first(ask(library.photos, "--labels", "red,green,blue"))
    assert (found["green.jpg"], found["new.jpg"], found["blue.jpg"]) == ("blue", "red", "blue")
    assert library.encoders["one"].embedded == before + 2


def test_a_model_without_vectors_here_is_no_empty_answer(
    library: SmallLibrary, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor are labels embedded for nothing."""
    capfd.readouterr()
    assert library.oko("classify", "--labels", "red,green", "--model", "two", "--csv") == 1
    out, error = capfd.readouterr()
    assert not out.splitlines()[1:]
    assert "this library has no vectors made by two" in error
    assert "oko index --model two" in error


def test_independent_labels_do_not_share(library: SmallLibrary, ask: Ask) -> None:
    (photo,) = ask(library.photos / "red.jpg", "--labels", "red,a red thing,blue", "--independent")["photos"]
    chances = {label["name"]: label["probability"] for label in photo["labels"]}
    assert chances["red"] > 0.5
    assert chances["a red thing"] > 0.5
    assert chances["blue"] < 0.5


def test_evaluation_of_one_folder_a_class(library: SmallLibrary, ask: Ask, tmp_path: Path) -> None:
    top = tmp_path / "classes"
    for folder, pictures in {"red": ["red"], "Blue": ["blue", "green"], "other_stuff": ["green"]}.items():
        (top / folder).mkdir(parents=True)
        for name in pictures:
            shutil.copy(library.photos / f"{name}.jpg", top / folder)
    (top / "red" / "bad.jpg").write_text("no picture")
    found = ask(top, "--evaluate", "--labels", "red,blue,green")
    assert (found["photos"], found["unlabelled"], found["unreadable"]) == (3, 1, 1)
    assert found["top_1"] == pytest.approx(2 / 3)
    assert found["top_5"] is None  # among three labels the right one always is
    assert found["confusion"] == {"red": {"red": 1}, "blue": {"blue": 1, "green": 1}}
    assert ask(top, "--evaluate")["unlabelled"] == 0  # the folders are the labels


def test_evaluation_for_people(
    library: SmallLibrary, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "classes" / "red").mkdir(parents=True)
    shutil.copy(library.photos / "red.jpg", tmp_path / "classes" / "red")
    assert library.oko("classify", tmp_path / "classes", "--evaluate", "--labels", "red,blue") == 0
    assert "top-1 100.0% of 1 photo\n" in capfd.readouterr().out
    six = "red,blue,green,pink,grey,black"
    assert library.oko("classify", tmp_path / "classes", "--evaluate", "--labels", six) == 0
    assert "top-1 100.0%, top-5 100.0% of 1 photo\n" in capfd.readouterr().out


def test_evaluation_without_a_folder_of_a_class(
    library: SmallLibrary, capfd: pytest.CaptureFixture[str]
) -> None:
    assert library.oko("classify", library.photos, "--evaluate", "--labels", "red,blue") == 2
    error = capfd.readouterr().err
    assert "there are photos in: ., sub" in error
    assert "Traceback" not in error


def test_labels_are_remembered(library: SmallLibrary, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = library.encoders["one"]
    asked: list[str] = []
    embed = encoder.encode_texts
    monkeypatch.setattr(encoder, "encode_texts", lambda texts: asked.extend(texts) or embed(texts))
    first_time = ask("--labels", "red,green,blue")
    assert len(asked) == 33  # eleven templates each
    assert ask("--labels", "red,green,blue") == first_time
    assert len(asked) == 33
    ask("--labels", "red,green,pink", "--template", "{}")
    assert len(asked) == 36  # other sentences are other vectors
    with library.writer():  # another writer is at work: the answer comes all the same
        assert first(ask("--labels", "red,green,blue,grey", "-k", 1))["red.jpg"] == "red"
    assert len(asked) == 47


def test_comments_and_what_is_no_text_in_a_labels_file(
    library: SmallLibrary, ask: Ask, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    listed = tmp_path / "labels.txt"
    listed.write_text("# colours\nred\n  # more\nRed\nblue, or so\n", encoding="utf-8")
    (photo,) = ask(library.photos / "red.jpg", "--labels-file", listed)["photos"]
    assert sorted(label["name"] for label in photo["labels"]) == ["blue, or so", "red"]
    listed.write_bytes(b"red\n\xff\xfe")
    for file, words in {listed: "no text in UTF-8", tmp_path / "none.txt": "No such file"}.items():
        assert library.oko("classify", library.photos, "--labels-file", file) == 2
        error = capfd.readouterr().err
        assert words in error
        assert "Errno" not in error
        assert "codec" not in error


def test_scripts_that_the_model_cannot_read() -> None:
    labels = ["dog", "kočka", "青い", "красный", "Straße 5"]
    assert unread_scripts(labels, PRESETS["fast"]) == ["青い", "красный"]
    assert unread_scripts(labels, BUILTIN) == ["青い", "красный"]
    assert unread_scripts(labels, PRESETS["multilingual"]) == []


@pytest.mark.parametrize(
    ("listed", "labels"),
    [
        ('"a red, or so", blue', ["a red, or so", "blue"]),
        ("red,red, red ,", ["red"]),
        ("červená,青い", ["červená", "青い"]),
        ("red", ["red"]),
    ],
)
def test_labels_as_people_write_them(library: SmallLibrary, ask: Ask, listed: str, labels: list[str]) -> None:
    (photo,) = ask(library.photos / "red.jpg", "--labels", listed)["photos"]
    assert sorted(label["name"] for label in photo["labels"]) == sorted(labels)
    assert sum(label["probability"] for label in photo["labels"]) == pytest.approx(1)


@pytest.mark.parametrize("arguments", [["--labels", " , "], [], ["--labels-file", "EMPTY"], ["--evaluate"]])
def test_no_labels_are_refused(
    library: SmallLibrary, capfd: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "empty").write_text("\n\n")
    given = [str(tmp_path / "empty") if each == "EMPTY" else each for each in arguments]
    assert library.oko("classify", *given) == 2
    assert capfd.readouterr().out == ""


def test_templates_of_the_settings(library: SmallLibrary, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = library.photos / "red.jpg"
    plain = ask(photo, "--labels", "red,green")
    monkeypatch.setenv("OKO_PROMPT_TEMPLATES", "a blue {}")
    changed = ask(photo, "--labels", "red,green")
    assert plain["photos"][0]["labels"][0]["cosine"] != changed["photos"][0]["labels"][0]["cosine"]
    assert ask(photo, "--labels", "red,green", "--template", "a blue {}") == changed
