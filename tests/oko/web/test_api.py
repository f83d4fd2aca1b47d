"""What the page asks: search, suggestions, tags, the library as a whole; and errors in one form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from library.config import Config
from library.errors import ModelMismatch
from library.fakes import FakeEncoder
from library.store import Store
from oko.web.serving import Serving, serving
from oko.web.suggesting import Counts, suggestions, word_start
from tests.oko.small_library import SmallLibrary
from tests.oko.web.conftest import Site, client_of


def names(answer: dict[str, Any]) -> list[str]:
    return [Path(result["path"]).name for result in answer["results"]]


def test_words_find_the_photo(site: Site) -> None:
    answer = site.client.get("/api/search", params={"q": "something blue", "all": True}).json()
    assert names(answer)[0] == "blue.jpg"
    assert (answer["offset"], answer["total"], answer["cut"]) == (0, 3, 0)
    assert answer["took_ms"] >= 0
    first = answer["results"][0]
    assert first.keys() >= {
        "id",
        "score",
        "relevance",
        "tags",
        "copies",
        "taken_at",
        "missing",
        "favourite",
        "version",
    }
    assert "path_b64" not in first


def test_nothing_at_all_shows_everything(site: Site) -> None:
    assert site.client.get("/api/search").json()["total"] == 3


def test_pages_follow_each_other(site: Site) -> None:
    whole = site.client.get("/api/search", params={"q": "red", "all": True}).json()
    parts = [
        site.client.get("/api/search", params={"q": "red", "all": True, "offset": n, "limit": 1}).json()
        for n in range(4)
    ]
    assert [name for part in parts for name in names(part)] == names(whole)
    assert {part["total"] for part in parts} == {3}
    assert parts[3]["results"] == []


def test_like_an_indexed_photo(site: Site) -> None:
    key = site.id_of("green.jpg")
    answer = site.client.get("/api/search", params={"q": f"like:{key}", "all": True}).json()
    assert answer["results"][0]["id"] == key


def test_sort_of_the_address_goes_before_that_of_the_query(site: Site) -> None:
    newest = names(site.client.get("/api/search", params={"sort": "newest"}).json())
    oldest = names(site.client.get("/api/search", params={"q": "sort:newest", "sort": "oldest"}).json())
    assert oldest == newest[::-1]


def test_a_mistake_in_a_query_points_at_its_place(site: Site) -> None:
    answer = site.client.get("/api/search", params={"q": "a dog type:nonsense"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["kind"] == "QueryError"
    assert "a dog type:nonsense"[error["start"] : error["end"]] in ("nonsense", "type:nonsense")
    assert error["hint"]


def test_no_answer_says_why(site: Site) -> None:
    answer = site.client.get("/api/search", params={"q": "camera:nonesuch"}).json()
    assert answer["results"] == []
    assert answer["notes"] == ["No photo passes these filters."]


@pytest.mark.parametrize(
    "parameters",
    [{"offset": -1}, {"limit": 0}, {"limit": 100_000}, {"sort": "x"}, {"q": "x" * 5_000}, {"offset": 2**70}],
)
def test_parameters_out_of_bounds_are_said(site: Site, parameters: dict[str, Any]) -> None:
    answer = site.client.get("/api/search", params=parameters)
    assert answer.status_code == 422
    assert next(iter(parameters)) in answer.json()["error"]["message"]
    assert "x" * 100 not in answer.text


def test_an_offset_beyond_everything_is_an_empty_page(site: Site) -> None:
    answer = site.client.get("/api/search", params={"q": "red", "offset": 2**31 - 1}).json()
    assert (answer["results"], answer["notes"]) == ([], [])


def test_every_error_has_one_form(site: Site) -> None:
    for method, path in (
        ("GET", "/api/nothing"),
        ("POST", "/api/search"),
        ("GET", "/nowhere"),
        ("GET", "/api/jobs/x-1"),
    ):
        answer = site.client.request(method, path)
        assert answer.status_code in (404, 405)
        assert answer.json()["error"].keys() >= {"message", "hint", "kind"}


def test_another_model_of_the_library_is_taken_up(site: Site) -> None:
    """`oko models use` in another process: the server follows."""
    assert site.desk.model().name == "one"
    from indexer.pipeline import IndexRun
    from oko import assemble

    with site.library.writer() as store:
        encoder = site.library.encoders["two"]
        run = IndexRun(store, encoder, assemble.index_settings(Config(), site.library.folder, encoder))
        list(run.steps([site.library.photos]))
        store.set_default_model("two")
    assert names(site.client.get("/api/search", params={"q": "red", "all": True}).json())[0] == "red.jpg"
    assert site.desk.model().name == "two"
    assert site.library.encoders["one"].closed


def test_without_vectors_of_the_model_all_but_its_search_works(library: SmallLibrary) -> None:
    """New weights of the same name, and a model that was never used here."""
    library.encoders["one"] = FakeEncoder(name="one", seed=1)
    for model, words in (("auto", "other weights named one"), ("two", "no vectors made by two")):
        with serving(library.folder, Config(model=model)) as desk:
            with pytest.raises(ModelMismatch):
                desk.warm_up()
            with client_of(desk) as client:
                assert client.get("/api/search").json()["total"] == 3
                assert client.get("/api/search", params={"q": "has:gps"}).json()["total"] == 3
                answer = client.get("/api/search", params={"q": "tag:nosuch"}).json()
                assert answer["notes"][0].startswith("There is no tag nosuch.")
                assert client.get("/api/tags").status_code == 200
                refused = client.get("/api/search", params={"q": "red"})
                assert (refused.status_code, words in refused.json()["error"]["message"]) == (409, True)


def test_a_part_is_told_as_a_part_until_the_rest_is_read(site: Site) -> None:
    from indexer.pipeline import IndexRun
    from oko import assemble

    encoder = site.library.encoders["one"] = FakeEncoder(name="one", seed=1)
    with site.library.writer() as store:
        settings = assemble.index_settings(Config(), site.library.folder, encoder, limit=2)
        list(IndexRun(store, encoder, settings).steps([site.library.photos]))
    red = {"q": "red", "all": True}
    assert site.client.get("/api/search", params=red).json()["notes"] == [
        "Only 2 of 3 photos have vectors by this model; oko index makes the rest."
    ]
    assert site.client.get("/api/search").json()["notes"] == []
    site.library.index()
    assert site.client.get("/api/search", params=red).json()["notes"] == []


def test_what_is_indexed_meanwhile_is_found(site: Site) -> None:
    from tests.libraries import paint

    assert site.client.get("/api/search").json()["total"] == 3
    paint(site.library.photos, {"yellow.jpg": "yellow"})
    site.library.index()
    assert (
        names(site.client.get("/api/search", params={"q": "yellow", "all": True}).json())[0] == "yellow.jpg"
    )


# The library


def test_the_library_as_a_whole(site: Site) -> None:
    assert site.client.get("/api/health").json()["status"] == "ok"
    status = site.client.get("/api/status").json()
    assert status["photos"] == {"total": 3, "on_disk": 3}
    assert status["model"] == "one"
    (folder,) = site.client.get("/api/folders").json()
    assert (folder["name"], folder["presence"]) == ("photos", "there")


def test_a_library_without_photos_is_served(library: SmallLibrary, tmp_path: Path) -> None:
    library.encoders["builtin"] = FakeEncoder(name="builtin")
    with Store.open_writer(tmp_path / "empty", purpose="test", timeout_s=5, create=True):
        pass
    with serving(tmp_path / "empty", Config(model="builtin")) as desk:
        desk.warm_up()
        with client_of(desk) as client:
            assert client.get("/api/search").json()["total"] == 0
            assert client.get("/api/search", params={"q": "red"}).status_code == 404


def test_there_must_be_a_library(tmp_path: Path) -> None:
    from library.errors import NoLibrary

    with pytest.raises(NoLibrary), serving(tmp_path / "none", Config()):
        pass


# Tags


def test_a_tag_is_accepted_rejected_and_taken_back(site: Site) -> None:
    key = site.id_of("red.jpg")
    with site.library.writer() as store:
        store.set_suggestions([key], [(key, "cat", 0.7)])
    address = f"/api/photos/{key}/tags/CAT"
    answer = site.client.put(address, json={"state": "confirmed"}).json()
    assert answer == {"id": key, "name": "cat", "state": "confirmed", "is_new": False}
    assert site.client.put(address, json={"state": "rejected"}).json()["state"] == "rejected"
    assert site.client.get(f"/api/photos/{key}").json()["tags"] == [
        {"name": "cat", "score": 0.7, "state": "rejected"}
    ]
    assert site.client.delete(address).json()["state"] == "suggested"
    assert site.client.get("/api/search", params={"q": "tag:cat"}).json()["total"] == 1


def test_a_new_tag_may_have_any_name(site: Site) -> None:
    key = site.id_of("red.jpg")
    for name in ("our cottage", "a/b", "žluťoučký kůň", "100 %", "?", "..", "#1"):
        from urllib.parse import quote

        address = f"http://127.0.0.1:8017/api/photos/{key}/tags/{quote(name, safe='')}"
        if name == "..":  # clients take it for the folder above before they send anything
            continue
        answer = site.client.put(address, json={"state": "confirmed"})
        assert answer.status_code == 200, name
        assert answer.json()["name"] == name
        assert answer.json()["is_new"] is True
        assert site.client.delete(address).json()["state"] is None
    assert site.client.put(f"/api/photos/{key}/tags/%20", json={"state": "confirmed"}).status_code == 400
    assert site.client.put(f"/api/photos/{key}/tags/nonesuch", json={"state": "rejected"}).status_code == 400
    assert site.client.put("/api/photos/999/tags/cat", json={"state": "confirmed"}).status_code == 404


def test_a_decision_does_not_wait_for_who_indexes(site: Site) -> None:
    key = site.id_of("red.jpg")
    with site.library.writer():
        answer = site.client.put(f"/api/photos/{key}/tags/cat", json={"state": "confirmed"})
        favourite = site.client.put(f"/api/photos/{key}/favourite", json={"favourite": True})
    assert (answer.status_code, favourite.status_code) == (200, 200)
    counts = {tag["name"]: tag["confirmed"] for tag in site.client.get("/api/tags").json()}
    assert counts["cat"] == 1


# Suggestions

COUNTS = Counts(
    {
        "tag": {"dog": 12, "hot dog": 3, "door": 40, "Christmas tree": 2},
        "folder": {"Dovolená 2023": 20, "2024": 5},
        "camera": {"Pixel 7": 9},
        "lens": {"50mm f/1.8": 4},
    }
)


def texts(query: str) -> list[str]:
    return [s.text for s in suggestions(query, COUNTS)]


def completed(query: str, at: int = 0) -> str:
    found = list(suggestions(query, COUNTS))[at]
    return query[: found.start] + found.text + query[found.end :]


def test_filters_are_suggested() -> None:
    assert texts("")[:3] == ["tag:", "folder:", "date:"]
    assert completed("a dog ori") == "a dog orientation:"
    assert completed("beach -ta") == "beach -tag:"
    assert completed("dog so") == "dog sort:"


def test_values_are_suggested_the_likeliest_first() -> None:
    assert texts("tag:do") == ["door", "dog", '"hot dog"']
    assert completed("snow tag:chr") == 'snow tag:"Christmas tree"'
    assert completed('tag:"hot d') == 'tag:"hot dog"'
    assert completed("-tag:dog,doo") == "-tag:dog,door"
    assert completed("folder:dov") == 'folder:"Dovolená 2023"'
    assert completed("camera:pix") == 'camera:"Pixel 7"'
    assert completed("orientation:po") == "orientation:portrait"
    assert texts("type:")[:2] == ["jpeg", "png"]
    assert texts("sort:") == ["relevance", "newest", "oldest", "diverse"]


def test_words_may_be_tags_folders_and_cameras() -> None:
    assert texts("do") == ["tag:door", "tag:dog", 'tag:"hot dog"', 'folder:"Dovolená 2023"']
    assert texts("pixel") == ['camera:"Pixel 7"']


@pytest.mark.parametrize(
    ("text", "start"), [("", 0), ("a b", 2), ("a b ", 4), ('"a b', 0), ('x tag:"a b', 2), ('"a b" c', 6)]
)
def test_the_word_that_is_being_typed(text: str, start: int) -> None:
    assert word_start(text) == start


def test_suggestions_come_from_the_library(site: Site) -> None:
    def asked(q: str) -> list[str]:
        return [s["text"] for s in site.client.get("/api/suggestions", params={"q": q}).json()["suggestions"]]

    assert asked("camera:sec") == ["Secretcam"]
    assert asked("folder:su") == ["sub"]
    assert len(site.client.get("/api/suggestions", params={"limit": 2}).json()["suggestions"]) == 2


def test_a_library_of_another_time_is_served(library: SmallLibrary, desk: Serving) -> None:
    """Whatever odd bytes a file's name has, the answer is JSON."""
    import os

    os.rename(library.photos / "blue.jpg", os.fsencode(library.photos) + b"/bl\xffe.jpg")
    library.index()
    with client_of(desk) as client:
        (odd,) = [r for r in client.get("/api/search").json()["results"] if "path_b64" in r]
        photo = client.get(f"/api/photos/{odd['id']}").json()
        assert "path_b64" in next(file for file in photo["files"] if file["state"] == "indexed")
        assert client.get(f"/api/photos/{odd['id']}/preview").status_code == 200
