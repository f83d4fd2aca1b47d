"""`oko tag` as a person types it, on a small library and with the built-in model on real photographs."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from library.sidecars import read_sidecar
from library.vocabulary import shipped_vocabulary
from oko.cli import main
from tests.oko.small_library import SmallLibrary, make

COLOURS = ("red", "green", "blue", "yellow", "pink", "black")
TAGS = "[colours]\n" + "".join(f"{colour} = {{ share = 0.15 }}\n" for colour in COLOURS)
SHIPPED = shipped_vocabulary().names
Ask = Callable[..., Any]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    found = make(tmp_path, monkeypatch)
    own = tmp_path / "tags.toml"
    own.write_text(TAGS, encoding="utf-8")
    settings = f"tags_file = {json.dumps(str(own))}\ntags = {json.dumps([f'-{name}' for name in SHIPPED])}\n"
    (found.folder / "config.toml").write_text(settings, encoding="utf-8")
    return found


@pytest.fixture
def ask(library: SmallLibrary, capfd: pytest.CaptureFixture[str]) -> Ask:
    """Run a command with --json, and parse what it prints."""

    def run(*arguments: object) -> Any:
        capfd.readouterr()
        assert library.oko(*arguments, "--json") == 0
        return json.loads(capfd.readouterr().out)

    return run


def tags(ask: Ask, photo: Path) -> dict[str, str]:
    (found,) = ask("tag", "--show", photo)["photos"]
    return {tag["name"]: tag["state"] for tag in found["tags"]}


def test_suggestions_show_in_search_answers_and_filter(library: SmallLibrary, ask: Ask) -> None:
    report = ask("tag")
    assert report["photos"] == 3
    assert report["suggestions"] >= 3
    (best, *_) = ask("search", "red", "-k", 1)
    assert [(t["name"], t["state"]) for t in best["tags"]] == [("red", "suggested")]
    assert 0.5 <= best["tags"][0]["score"] <= 1
    assert [Path(r["path"]).name for r in ask("search", "a thing", "--all", "--tag", "blue")] == ["blue.jpg"]


def test_decisions_hold_against_a_new_run(library: SmallLibrary, ask: Ask) -> None:
    red = library.photos / "red.jpg"
    ask("tag")
    found = ask("tag", "--reject", "Red", red)
    assert (found["name"], found["state"]) == ("red", "rejected")
    ask("tag", "--accept", "my holiday", red, found["photo_ids"][0])
    ask("tag")
    assert tags(ask, red) == {"my holiday": "confirmed", "red": "rejected"}
    assert ask("search", "red", "-k", 3, "--tag", "red") == []


def test_a_copy_of_a_photo_has_its_tags(library: SmallLibrary, ask: Ask) -> None:
    ask("tag", "--accept", "ours", library.photos / "sub" / "copy.jpg")
    assert tags(ask, library.photos / "red.jpg")["ours"] == "confirmed"


def test_teaching_by_example(library: SmallLibrary, ask: Ask) -> None:
    found = ask("tag", "--learn", "Mallorca", "--from", library.photos / "sub")
    assert (found["examples"], found["learned"]) == (1, 1)
    assert tags(ask, library.photos / "red.jpg")["Mallorca"] == "confirmed"
    row = next(row for row in ask("tag", "--list")["tags"] if row["name"] == "Mallorca")
    assert (row["confirmed"], row["learned"], row["group"]) == (1, True, "own")


def test_sidecars_and_back(library: SmallLibrary, ask: Ask) -> None:
    red = library.photos / "red.jpg"
    before = red.read_bytes()
    ask("tag")
    ask("tag", "--accept", "Brno", red)
    report = ask("tag", "--write-xmp")
    assert (report["looked_at"], report["changed"], report["problems"]) == (4, 4, [])
    assert red.read_bytes() == before
    assert read_sidecar(library.photos / "red.jpg.xmp") == ["Brno"]
    assert ask("tag", "--write-xmp")["changed"] == 0
    ask("tag", "--reject", "Brno", red)
    assert ask("tag", "--read-keywords")["keywords"] == 0  # it was decided against here
    ask("tag", "--write-xmp")
    assert read_sidecar(library.photos / "red.jpg.xmp") == []
    assert tags(ask, red)["Brno"] == "rejected"


def test_keywords_become_confirmed_tags(library: SmallLibrary, ask: Ask) -> None:
    from library.sidecars import Keyword, write_keywords

    write_keywords(library.photos / "blue.jpg.xmp", [Keyword("BLUE"), Keyword("Lake Garda")])
    assert ask("tag", "--read-keywords")["keywords"] == 2
    assert tags(ask, library.photos / "blue.jpg") == {"blue": "confirmed", "Lake Garda": "confirmed"}


def test_a_damaged_sidecar_is_reported_and_left(
    library: SmallLibrary, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = library.photos / "red.jpg.xmp"
    bad.write_text("not XML")
    library.oko("tag", "--accept", "x", library.photos / "red.jpg")
    assert library.oko("tag", "--write-xmp") == 0
    assert "red.jpg.xmp: it is not valid XML" in capfd.readouterr().err
    assert bad.read_text() == "not XML"


def test_confirmed_only(library: SmallLibrary, ask: Ask) -> None:
    ask("tag")
    ask("tag", "--accept", "mine", library.photos / "green.jpg")
    assert ask("tag", "--write-xmp", "--confirmed-only")["changed"] == 1
    assert "green</" not in (library.photos / "green.jpg.xmp").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--accept", "dog"], "at least one photo"),
        (["--accept", "dog", "/no/such.jpg"], "/no/such.jpg"),
        (["--accept", "dog", "99999"], "99999"),
        (["--accept", " ", "1"], "cannot be a tag"),
        (["--accept", "my dog's", "/no/such.jpg"], "/no/such.jpg"),
        (["--reject", "rde", "1"], "Did you mean red"),
        (["--clear", "nosuchtag", "1"], "no tag nosuchtag"),
        (["--unlearn", "red"], "was not taught"),
        (["--learn", "it's"], "oko tag --learn 'it'\"'\"'s' --from"),
        (["--learn", "nothing"], "no examples"),
        (["--from", "x"], "--learn"),
    ],
)
def test_wrong_usage(
    library: SmallLibrary, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert library.oko("tag", *arguments) == 2
    assert words in capfd.readouterr().err


def test_a_mistake_in_a_list_of_photos_writes_nothing(library: SmallLibrary, ask: Ask) -> None:
    assert library.oko("tag", "--accept", "x", library.photos / "red.jpg", "/no/such.jpg") == 2
    assert "x" not in tags(ask, library.photos / "red.jpg")


def test_a_decision_is_taken_back(library: SmallLibrary, ask: Ask) -> None:
    red = library.photos / "red.jpg"
    ask("tag")
    ask("tag", "--reject", "red", red)
    ask("tag", "--accept", "ours", red)
    assert len(ask("tag", "--clear", "RED", red, library.photos / "blue.jpg")["photo_ids"]) == 1
    ask("tag", "--clear", "ours", red)
    assert tags(ask, red) == {"red": "suggested"}
    assert ask("tag", "--clear", "red", red)["photo_ids"] == []  # a suggestion is no decision


def test_a_taught_tag_is_unlearned(library: SmallLibrary, ask: Ask) -> None:
    ask("tag", "--learn", "Mallorca", "--from", library.photos / "sub")
    assert ask("tag", "--unlearn", "mallorca")["confirmed"] == 1
    row = next(row for row in ask("tag", "--list")["tags"] if row["name"] == "Mallorca")
    assert (row["suggested"], row["confirmed"], row["learned"]) == (0, 1, False)


def test_very_many_examples_are_asked_for(
    library: SmallLibrary, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oko.commands.tag_.MANY_EXAMPLES", 1)
    learn = ["tag", "--learn", "all of it", "--from", library.photos]
    assert library.oko(*learn) == 2
    assert "3 photos would be confirmed" in capfd.readouterr().err
    assert library.oko(*learn, "--yes") == 0


def test_one_name_whatever_its_capitals(
    library: SmallLibrary, ask: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    from library.sidecars import Keyword, write_keywords

    red, blue = library.photos / "red.jpg", library.photos / "blue.jpg"
    assert library.oko("tag", "--accept", "our cottage", red) == 0
    assert "our cottage is a new tag." in capfd.readouterr().err
    assert ask("tag", "--accept", "Our  Cottage", blue)["name"] == "our cottage"
    assert library.oko("tag", "--accept", "our cotage", red) == 0
    assert "Did you mean our cottage?" in capfd.readouterr().err
    write_keywords(library.photos / "green.jpg.xmp", [Keyword("OUR COTTAGE")])
    write_keywords(library.photos / "blue.jpg.xmp", [Keyword("Lake")])
    write_keywords(library.photos / "red.jpg.xmp", [Keyword("lake")])
    ask("tag", "--read-keywords")
    assert "our cottage" in tags(ask, library.photos / "green.jpg")
    assert len([row for row in ask("tag", "--list")["tags"] if row["name"].casefold() == "lake"]) == 1


def test_a_filter_by_tag_folds_capitals_and_names_what_is_near(
    library: SmallLibrary, ask: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    ask("tag", "--accept", "Our Cottage", library.photos / "blue.jpg")
    (found,) = ask("search", "a thing", "--all", "--tag", "our cottage")
    assert Path(found["path"]).name == "blue.jpg"
    for name, words in {
        "our cotage": "Did you mean Our Cottage?",
        "pink": "oko tag",
        "zzzz": "no tag zzzz.",
    }.items():
        assert ask("search", "a thing", "--all", "--tag", name) == []
        library.oko("search", "a thing", "--tag", name)
        assert words in capfd.readouterr().err


def test_a_folder_is_not_taken_by_accept(library: SmallLibrary, capfd: pytest.CaptureFixture[str]) -> None:
    assert library.oko("tag", "--accept", "beach", library.photos) == 2
    assert "is a folder" in capfd.readouterr().err


def test_the_path_that_was_asked_for_is_shown(library: SmallLibrary, ask: Ask) -> None:
    (photo,) = ask("tag", "--show", library.photos / "sub" / "copy.jpg")["photos"]
    assert Path(photo["path"]).name == "copy.jpg"


def test_a_photo_that_was_never_tagged_says_so(
    library: SmallLibrary, capfd: pytest.CaptureFixture[str]
) -> None:
    library.oko("tag", "--show", library.photos / "blue.jpg")
    assert "not tagged yet: oko tag" in capfd.readouterr().out
    library.oko("tag")
    library.oko("tag", "--show", library.photos / "blue.jpg")
    assert "not tagged yet" not in capfd.readouterr().out


def test_the_words_are_read_before_the_lock_is_taken(
    library: SmallLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oko import assemble, prompts
    from search import tag

    held: list[bool] = []
    is_open = False
    real_writing, real_embed = assemble.writing, tag.embed_prompts

    @contextlib.contextmanager
    def writing(*args: Any, **options: Any) -> Iterator[Any]:
        nonlocal is_open
        with real_writing(*args, **options) as store:
            is_open = True
            yield store
            is_open = False

    def embed(*args: Any) -> Any:
        held.append(is_open)
        return real_embed(*args)

    monkeypatch.setattr(assemble, "writing", writing)
    monkeypatch.setattr(prompts, "embed_prompts", embed)
    assert library.oko("tag") == 0
    assert held
    assert not any(held)


def test_sentences_count_as_people_do(library: SmallLibrary, capfd: pytest.CaptureFixture[str]) -> None:
    from library.sidecars import Keyword, write_keywords

    write_keywords(library.photos / "blue.jpg.xmp", [Keyword("lake")])
    assert library.oko("tag", "--read-keywords") == 0
    assert "1 keyword taken over as confirmed tags; photos that carry any: 1 of 3." in capfd.readouterr().err


def test_no_library_yet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["tag", "--library", str(tmp_path / "none")]) == 1
    assert main(["tag", "--list", "--library", str(tmp_path / "none")]) == 0
    assert "dog" in capfd.readouterr().out
    assert not (tmp_path / "none").exists()


def test_real_photographs_get_sensible_tags(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage", reason="the photographs come with scikit-image")
    from oko.demo import copy_photos

    copy_photos(tmp_path / "photos")
    shutil.rmtree(tmp_path / "library", ignore_errors=True)
    place = ["--library", str(tmp_path / "library")]
    assert main(["index", str(tmp_path / "photos"), "-q", *place]) == 0
    assert main(["tag", "-q", *place]) == 0
    capfd.readouterr()
    wanted = {
        "chelsea.png": "cat",
        "motorcycle_left.png": "motorcycle",
        "camera.png": "camera",
        "grass.png": "grass",
    }
    for name, tag in wanted.items():
        assert main(["tag", "--show", str(tmp_path / "photos" / name), "--json", *place]) == 0
        (photo,) = json.loads(capfd.readouterr().out)["photos"]
        assert tag in [each["name"] for each in photo["tags"]]
