"""Pictures with captions as people have them: each kind is read, odd ones are named, none stops the others."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from library.catalog import reading
from library.errors import UsageError
from library.exchange import import_lines
from library.store import Store
from tests.libraries import index, paint
from tests.training.shapes import folder_of, png, shape, table_of, tar_of
from training.photos import Photo, Source, identify
from training.sources import photo_of, read_all, tag_captions


def test_a_folder_with_sidecars(tmp_path: Path) -> None:
    folder_of(tmp_path / "a" / "b", 3)
    (tmp_path / "a" / "alone.png").write_bytes(b"")
    (tmp_path / "a" / "empty.jpg").write_bytes(b"x")
    (tmp_path / "a" / "empty.txt").write_text("\n  \n")
    (tmp_path / "a" / "json.JPG").write_bytes(b"y")
    (tmp_path / "a" / "json.json").write_text(json.dumps({"caption": " a  dog ", "label": "dog"}))
    found = read_all([str(tmp_path)])
    assert [photo.captions for photo in found.photos] == [
        ("a dog",),
        ("a red circle", "circle, red, on grey"),
        ("a red square", "square, red, on grey"),
        ("a red bar", "bar, red, on grey"),
    ]
    assert found.photos[0].label == "dog"
    assert [(Path(problem.name).name, problem.reason) for problem in found.problems] == [
        ("empty.jpg", "it has no caption")
    ]


def test_tar_shards(tmp_path: Path) -> None:
    tar_of(tmp_path / "shapes-000.tar", 4)
    found = read_all([str(tmp_path)])
    assert len(found.photos) == 4
    assert [photo.label for photo in found.photos] == ["circle", "square", "bar", "cross"]
    assert all(photo.source.read().startswith(b"\x89PNG") for photo in found.photos)
    assert found.photos[1].source.name.endswith("shapes-000.tar:shapes/0001.png")


def test_a_tar_that_is_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "a.tar", 6).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) // 2])
    found = read_all([str(tmp_path / "a.tar")])
    assert 0 < len(found.photos) < 6
    assert [problem.name for problem in found.problems] == [str(tmp_path / "a.tar")]
    with tarfile.open(tmp_path / "b.tar", "w:gz") as tar:
        tar.add(tmp_path / "a.tar", "a")
    with pytest.raises(UsageError, match="no picture with a caption"):
        read_all([str(tmp_path / "b.tar")])


@pytest.mark.parametrize(("header", "delimiter"), [(True, ","), (True, "\t"), (True, ";"), (False, "\t")])
def test_tables(tmp_path: Path, header: bool, delimiter: str) -> None:
    table = table_of(tmp_path, 3, header=header, delimiter=delimiter)
    with table.open("a") as file:
        file.write(f"pictures/gone.png{delimiter}a ghost{delimiter}a ghost\n")
    found = read_all([str(table)])
    assert len(found.photos) == 3
    assert found.photos[0].captions[0] == "a red circle"
    assert [problem.reason for problem in found.problems] == ["the file is gone"]


def test_a_table_without_names_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "odd.csv"
    table.write_text("one,two\n1,2\n")
    with pytest.raises(UsageError, match="which columns"):
        read_all([str(table)])


def test_the_library_and_its_confirmed_tags(tmp_path: Path) -> None:
    colours = {"a.png": "red", "b.png": "blue", "c.png": "green", "d.png": "white"}
    photos = paint(tmp_path / "photos", colours)
    index(tmp_path / "library", photos)
    decided = (("a.png", "wall"), ("a.png", "red"), ("b.png", "sea"), ("d.png", "snow"))
    with Store.open_writer(tmp_path / "library", purpose="test", timeout_s=5) as store:
        assert import_lines(store, _decisions(store, decided)).written == 4
    (photos / "d.png").unlink()
    index(tmp_path / "library", photos)
    with Store.open_writer(tmp_path / "library", purpose="test", timeout_s=5) as store:
        found = read_all(["library"], store).photos
    by_name = {photo.source.path.name: photo for photo in found}
    assert by_name["a.png"].captions == ("red", "a photo of red", "wall", "a photo of wall", "red, wall")
    assert by_name["a.png"].label == ""
    assert by_name["b.png"].label == "sea"
    assert by_name.keys() == {"a.png", "b.png"}


def _decisions(store: Store, decided: tuple[tuple[str, str], ...]) -> list[bytes]:
    from library.exchange import export_lines

    header = next(export_lines(store)).encode()
    with store.catalog.reading() as c:
        files = reading.photo_files(c, range(1, 10))
        rows = reading.photo_rows(c, list(files))
    content = {files[key][0][0].name: row.content_sha256.hex() for key, row in rows.items()}
    moment = "2024-01-01T00:00:00+00:00"
    return [
        header,
        *(
            json.dumps(
                {
                    "content_sha256": content[name],
                    "paths": [],
                    "name": tag,
                    "state": "confirmed",
                    "score": None,
                    "decided_at": moment,
                }
            ).encode()
            for name, tag in decided
        ),
    ]


def test_what_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a dog")
    for place, words in ((tmp_path / "gone", "does not exist"), (tmp_path / "a.txt", "not a source")):
        with pytest.raises(UsageError, match=words):
            read_all([str(place)])
    with pytest.raises(UsageError, match="no library"):
        read_all(["library"])


def test_captions_are_tidied() -> None:
    photo = photo_of(Source(Path("x")), ["  a  dog ", "", "a dog", "a cat"], ["pets", "pets"])
    assert photo == Photo(Source(Path("x")), ("a dog", "a cat"), "pets")
    assert photo_of(Source(Path("x")), ["", " "], []) is None
    assert tag_captions(["sea"]) == ("sea", "a photo of sea")


def test_copies_become_one_photo(tmp_path: Path) -> None:
    import random

    content = png(shape("red", "cross", random.Random(1)))
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(content)
        (tmp_path / f"{name}.txt").write_text(f"{name}\nboth\n")
    (found,), problems = identify(read_all([str(tmp_path)]).photos)
    assert found.photo.captions == ("a", "both", "b")
    assert problems == []
