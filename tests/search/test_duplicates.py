"""Groups of duplicates in a small real library."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from library.catalog import reading
from library.store import Store
from search.duplicates import Group, Kind, Limits, OneOfEach, find, group_of
from tests.albums import Album
from tests.pictures import camera_exif, jpeg_bytes, photo

EVERYTHING = frozenset(Kind)


@pytest.fixture
def album(tmp_path: Path) -> Album:
    """Scene 1 in five versions, scene 2 in two files and a chain of one more, scene 3 alone, three flat pictures."""
    made = Album(tmp_path)
    scene, other = photo(1, (400, 300)), photo(2, (400, 300))
    versions = {
        "scene.jpg": jpeg_bytes(scene, exif=camera_exif()),
        "scene again.jpg": jpeg_bytes(scene),
        "sent/small.jpg": jpeg_bytes(scene.resize((200, 150)), quality=60),
        "edited/dark.jpg": jpeg_bytes(ImageEnhance.Brightness(scene).enhance(0.7)),
        "other.jpg": jpeg_bytes(other),
        "backup/other.jpg": jpeg_bytes(other),
        "third.jpg": jpeg_bytes(photo(3, (400, 300))),
    }
    versions |= {
        f"{name}.jpg": jpeg_bytes(Image.new("RGB", (90, 60), name)) for name in ("black", "white", "red")
    }
    for name, content in versions.items():
        path = made.photos / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    os.utime(made.photos / "other.jpg", (1_000_000_000, 1_000_000_000))
    made.index()
    return made


def groups(album: Album, **limits: object) -> list[Group]:
    with album.reading() as store:
        return find(store, album.encoder.stamp, Limits(**limits))  # type: ignore[arg-type]


def names(group: Group) -> list[str]:
    """The file to keep, then the redundant ones in the order of their names."""
    return [group.kept.path.name, *sorted(each.path.name for each in group.redundant)]


def test_exact_and_near(album: Album) -> None:
    near, exact = groups(album)
    assert (near.kind, exact.kind) == (Kind.NEAR, Kind.EXACT)
    assert names(near) == ["scene.jpg", "dark.jpg", "scene again.jpg", "small.jpg"]
    assert [str(each.path.relative_to(album.photos)) for each in exact.redundant] == ["backup/other.jpg"]
    assert (near.reason, exact.reason) == ("date or camera from EXIF", "oldest file")
    assert near.saved_bytes == sum(each.path.stat().st_size for each in near.redundant)
    assert {m.distance_bits is not None for m in near.members[1:]} == {True}
    assert near.members[0].kind is None


def test_one_kind_alone(album: Album) -> None:
    (near,) = groups(album, kinds=frozenset({Kind.NEAR}))
    assert near.kind is Kind.NEAR
    (exact,) = groups(album, kinds=frozenset({Kind.EXACT}))
    assert exact.kind is Kind.EXACT


def test_flat_pictures_of_other_colours_are_no_duplicates(album: Album) -> None:
    flat = {"black.jpg", "white.jpg", "red.jpg"}
    assert not any(flat & set(names(group)) for group in groups(album))


def test_a_copy_of_a_near_duplicate_is_in_the_same_group(album: Album) -> None:
    shutil.copy(album.photos / "sent/small.jpg", album.photos / "small copy.jpg")
    album.index()
    near, _ = groups(album)
    assert names(near) == ["scene.jpg", "dark.jpg", "scene again.jpg", "small copy.jpg", "small.jpg"]


def test_similar_goes_by_the_vectors(album: Album) -> None:
    with album.reading() as store:
        model_id = store.model_id(album.encoder.stamp)
        with store.catalog.reading() as c:
            rows = {
                int(i): v
                for ids, vs in reading.embeddings(c, model_id, 64)
                for i, v in zip(ids, vs, strict=True)
            }
    found = groups(album, kinds=frozenset({Kind.SIMILAR}), least_cosine=0.97)
    assert found
    for group in found:
        for member in group.members[1:]:
            expected = float(rows[group.members[0].id] @ rows[member.id])
            assert member.cosine == pytest.approx(expected, abs=2e-3)
            assert expected >= 0.97 - 2e-3


def test_without_vectors_nothing_is_similar(album: Album) -> None:
    with album.reading() as store:
        assert find(store, None, Limits(kinds=frozenset({Kind.SIMILAR}))) == []
        assert len(find(store, None, Limits(kinds=EVERYTHING))) == 2


def test_a_photo_is_in_one_group_at_most(album: Album) -> None:
    found = groups(album, kinds=EVERYTHING, least_cosine=0.8)
    everyone = [member.id for group in found for member in group.members]
    assert len(everyone) == len(set(everyone))


def test_the_group_of_one_photo_is_that_of_the_whole_library(album: Album) -> None:
    limits = Limits(kinds=EVERYTHING)
    found = groups(album, kinds=EVERYTHING)
    assert found
    with album.reading() as store:
        for group in found:
            for member in group.members:
                assert group_of(store, album.encoder.stamp, member.id, limits) == group
        assert group_of(store, album.encoder.stamp, -1, limits) is None


def test_only_below_a_folder(album: Album) -> None:
    assert groups(album, folders=(album.photos / "sent",)) == []
    shutil.copytree(album.photos / "sent", album.photos / "sent/twice")
    album.index()
    (group,) = groups(album, folders=(album.photos / "sent",))
    assert names(group) == ["small.jpg", "small.jpg"]


def test_missing_files_count_for_nothing(album: Album) -> None:
    (album.photos / "backup/other.jpg").unlink()
    (album.photos / "scene.jpg").unlink()
    album.index()
    (near,) = groups(album)
    assert near.kept.path.name == "scene again.jpg"
    assert near.reason == "largest file"


def test_a_favourite_is_kept(album: Album) -> None:
    small = next(m.id for m in groups(album)[0].members if m.width == 200)
    with album.writing() as store:
        store.set_favourite([small], True)
    near = groups(album)[0]
    assert (near.members[0].id, near.reason) == (small, "a favourite")


def ids_of(album: Album, store: Store, files: Sequence[str]) -> np.ndarray:
    with store.catalog.reading() as c:
        found = reading.photo_files(c, reading.all_photo_ids(c))
    return np.array(
        [key for key, places in found.items() if str(places[0][0].relative_to(album.photos)) in files]
    )


def test_one_of_each_keeps_the_best_of_those_that_pass_the_filter(album: Album) -> None:
    with album.reading() as store:
        one = OneOfEach(store)
        pair = ids_of(album, store, ["scene.jpg", "sent/small.jpg", "third.jpg"])
        assert one(pair).tolist() == ids_of(album, store, ["scene.jpg", "third.jpg"]).tolist()
        alone = ids_of(album, store, ["sent/small.jpg", "third.jpg"])
        assert one(alone).tolist() == alone.tolist(), "the better one does not pass, so it stands for nobody"
        assert one(np.empty(0, np.int64)).tolist() == []


def test_one_of_each_follows_the_library(album: Album) -> None:
    with album.reading() as store:
        one = OneOfEach(store)
        with store.catalog.reading() as c:
            before = np.array(reading.all_photo_ids(c))
        assert len(one(before)) == len(before) - 3
        (album.photos / "fourth.jpg").write_bytes(jpeg_bytes(photo(9, (400, 300))))
        album.index()
        with store.catalog.reading() as c:
            after = np.array(reading.all_photo_ids(c))
        assert len(one(after)) == len(after) - 3 == len(before) - 2
