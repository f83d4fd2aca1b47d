"""oko from Python. Pictures of one colour and a deterministic model, but for the one test with real photographs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import oko
from library.errors import ConfigError, NoLibrary, QueryError, UsageError
from library.fakes import FakeEncoder
from library.records import PhotoFilter
from oko.api import Library
from oko.demo import copy_photos
from tests.oko.python_examples import count_models, example_photos, opened


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[FakeEncoder]:
    return count_models(monkeypatch)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return example_photos(tmp_path)


@pytest.fixture
def library(tmp_path: Path, photos: Path, models: list[FakeEncoder]) -> Iterator[Library]:
    with opened(tmp_path) as library:
        library.index([photos])
        yield library


def names(found: object) -> list[str]:
    return [result.path.name for result in found]  # type: ignore[attr-defined]


def test_index_search_and_classify_real_photographs(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the photographs come with scikit-image")
    photos = copy_photos(tmp_path / "photos")
    seen = []
    with oko.open_library(tmp_path / "library", model="builtin", batch_size=8) as library:
        report = library.index([tmp_path / "photos"], progress=seen.append)
        best = library.search("a cat", top=2)
        alike = library.search(image=photos[0], top=1)
        label = library.classify(tmp_path / "photos/chelsea.png", ["a dog", "a cat"], top=1)[0]
        absent = library.search("a giraffe")
    assert (report.embedded, report.unreadable) == (16, 0)
    assert [(step.done, step.total) for step in seen if step.phase == "index"] == [(0, 16), (8, 16), (16, 16)]
    assert next(result.path.name for result in best) == "chelsea.png"
    assert alike[0].path == photos[0]
    assert (label.name, label.probability > 0.9) == ("a cat", True)
    assert (absent.total, absent.cut) == (0, 16)


def test_the_library_is_where_oko_home_says(oko_home: Path) -> None:
    with oko.open_library() as library:
        assert library.folder == oko_home


def test_what_oko_exports_is_there() -> None:
    assert all(getattr(oko, name) is not None for name in oko.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        oko.nothing  # noqa: B018


def test_a_wrong_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        oko.open_library(batchsize=8)
    assert "batch_size" in caught.value.hint


def test_searching_before_indexing_says_what_to_do(tmp_path: Path, models: list[FakeEncoder]) -> None:
    with opened(tmp_path) as library, pytest.raises(NoLibrary) as caught:
        library.search("a cat")
    assert "oko index" in caught.value.hint


def test_the_query_language_is_the_command_lines(library: Library, photos: Path) -> None:
    assert names(library.search("red - green type:png", everything=True)) == [
        "red.png",
        "blue.png",
        "green.png",
    ]
    assert names(library.search("type:jpeg")) == ["again.jpg"]
    assert names(library.search("red", wanted=PhotoFilter(formats=("PNG",)), top=1)) == ["red.png"]
    with pytest.raises(QueryError):
        library.search("tpye:jpeg")


def test_filters_alone_need_no_model(tmp_path: Path, photos: Path, models: list[FakeEncoder]) -> None:
    with opened(tmp_path) as library:
        library.index([photos])
    del models[:]
    with opened(tmp_path) as library:
        assert library.search(wanted=PhotoFilter()).total == 4
        assert library.search("dup:no").total == 3
    assert models == []


def test_pages_meet_without_gap_or_overlap(library: Library) -> None:
    pages = [library.search("red", offset=at, limit=1, everything=True) for at in range(5)]
    assert [len(page) for page in pages] == [1, 1, 1, 1, 0]
    assert len(set(itertools.chain(*map(names, pages)))) == 4
    assert {(page.total, page.cut) for page in pages} == {(4, 0)}


def test_an_order_that_is_none_is_refused(library: Library) -> None:
    with pytest.raises(UsageError) as caught:
        library.search("red", sort="best")
    assert "newest" in caught.value.hint
    with pytest.raises(UsageError):
        library.search()


@pytest.mark.parametrize("as_given", [str, Path, Image.open])
def test_pictures_come_as_paths_or_opened(library: Library, photos: Path, as_given: type) -> None:
    given = as_given(photos / "green.png")
    assert names(library.search(image=given, limit=1, everything=True)) == ["green.png"]
    assert library.classify(given, "red, green")[0].name == "green"
    if isinstance(given, Image.Image):
        given.close()


def test_several_pictures_are_all_looked_for(library: Library, photos: Path) -> None:
    both = library.search(
        "- picture:2", image=[photos / "red.png", photos / "blue.png"], limit=2, everything=True
    )
    assert set(names(both)) == {"red.png", "again.jpg"}


def test_a_photo_is_named_by_id_path_or_result(library: Library, photos: Path) -> None:
    red = library.photo(photos / "red.png")
    assert library.photo(red.id) == library.photo(red) == library.photo(str(photos / "red.png")) == red
    assert library.thumbnail(red).getpixel((5, 5)) == library.thumbnail(red.id).getpixel((5, 5))
    for unknown in (999, -1, 2**70, photos / "nowhere.png"):
        with pytest.raises(UsageError):
            library.photo(unknown)


def test_similar_leaves_the_photo_itself_out(library: Library, photos: Path) -> None:
    found = library.similar(photos / "red.png", everything=True)
    assert names(found)[0] == "again.jpg"
    assert (len(found), found.total) == (3, 3)


def test_duplicates_are_grouped(library: Library) -> None:
    assert [len(group.members) for group in library.duplicates("near")] == [2]
    assert [path.name for path in library.duplicates().redundant] == ["red.png"]
    with pytest.raises(UsageError) as caught:
        library.duplicates("same")
    assert "similar" in caught.value.hint


def test_stored_photos_are_classified_without_being_read(library: Library, photos: Path) -> None:
    found = library.search("type:png", sort="oldest")
    (photos / "green.png").unlink()
    labels = library.classify([*found, photos / "again.jpg"], ["blue", "green", "red"], top=1)
    assert [label[0].name for label in labels] == ["red", "green", "blue", "red"]
    assert library.classify([], "red, green") == []


def test_classifying_needs_no_library(tmp_path: Path, photos: Path, models: list[FakeEncoder]) -> None:
    with opened(tmp_path) as library:
        assert library.classify(photos / "red.png", ["green", "red"])[0].name == "red"
        with pytest.raises(UsageError):
            library.classify(1, ["green", "red"])
    assert not (tmp_path / "library").exists()


def test_templates_and_independent_labels(library: Library, photos: Path) -> None:
    exclusive = library.classify(photos / "red.png", ["blue"], templates=["{}"])
    independent = library.classify(photos / "red.png", ["blue"], independent=True)
    assert [label.probability for label in exclusive] == [1]
    assert [label.probability < 0.5 for label in independent] == [True]


def test_tags_are_decided_and_taken_back(library: Library, photos: Path) -> None:
    red, blue = photos / "red.png", photos / "blue.png"
    assert library.accept("holiday", [red, blue]).photo_ids
    assert library.search("tag:Holiday").total == 2
    library.reject("holiday", blue)
    assert [(tag.name, tag.state) for tag in library.tags(blue)] == [("holiday", "rejected")]
    library.undecide("holiday", [red, blue])
    assert library.search("tag:holiday").total == 0
    with pytest.raises(UsageError):
        library.reject("holidya", red)


def test_a_taught_tag_is_suggested_and_forgotten(
    library: Library, photos: Path, models: list[FakeEncoder]
) -> None:
    assert library.tag().photos == 4
    assert library.learn("my scarf", photos / "red.png").learned == 1
    assert names(library.search('tag:"my scarf" type:jpeg')) == ["again.jpg"]
    assert next(row for row in library.all_tags() if row.name == "my scarf").learned
    library.unlearn("my scarf")
    assert names(library.search('tag:"my scarf"')) == ["red.png"]
    assert len(models) == 1, "tagging takes the model that is loaded"


def test_a_closed_library_opens_again(library: Library, models: list[FakeEncoder]) -> None:
    before = library.search("red")
    library.close()
    assert models[0].closed
    assert library.search("red") == before
