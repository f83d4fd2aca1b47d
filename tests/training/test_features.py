"""What is computed once is what would be computed each time; it is kept, and damaged pictures leave no gap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from library.presets import ModelSpec
from tests.training.shapes import divided, loaded
from training.data import Draw
from training.features import FeatureInputs, PixelInputs, computed_features
from training.photos import Photo, Source
from training.towers import Towers, make_towers

torch = pytest.importorskip("torch")


def locked(tiny: ModelSpec) -> Towers:
    return make_towers(loaded(tiny), lock="image", unfreeze=1, loss="clip", precision="fp32")


def draw(rows: list[int], view: int) -> Draw:
    photos = np.array(rows)
    return Draw(0, photos, photos, np.full(len(rows), view))


def test_features_are_the_towers_own(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    towers, photos = locked(tiny), divided(pictures).training[:40]
    kept = computed_features(towers, photos, tmp_path / "f.npy", views=3, seed=0)
    (batch,) = FeatureInputs(kept.values).batches(iter([draw([3, 39, 0], 0)]))
    with torch.no_grad():
        found = towers.image_vectors(batch.images)
        images = [_opened(photos[row]) for row in (3, 39, 0)]
        pixels = torch.stack([towers.clip.preprocess(image) for image in images])
        wanted = torch.nn.functional.normalize(towers.module.encode_image(pixels))
    assert torch.allclose(found, wanted, atol=2e-3)  # float16 in the file
    assert not np.array_equal(kept.values[0], kept.values[2])


def _opened(photo: Photo):  # type: ignore[no-untyped-def]
    from PIL import Image

    return Image.open(photo.source.path).convert("RGB")


def test_they_are_computed_once(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    towers, photos = locked(tiny), divided(pictures).training[:20]
    told: list[int] = []
    computed_features(towers, photos, tmp_path / "f.npy", views=2, seed=0, told=told.append)
    assert told[-1] == 20
    again: list[int] = []
    computed_features(towers, photos, tmp_path / "f.npy", views=2, seed=0, told=again.append)
    assert again == []
    computed_features(towers, photos[1:], tmp_path / "f.npy", views=2, seed=0, told=again.append)
    assert again[-1] == 19, "other photos, other features"


def test_damaged_pictures_leave_no_gap(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    towers, sound = locked(tiny), divided(pictures).training[:10]
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    mixed = (*sound[:4], Photo(Source(bad), ("x",)), *sound[4:])
    wanted = computed_features(towers, sound, tmp_path / "a.npy", views=1, seed=0)
    for _ in range(2):  # made, then read back
        found = computed_features(towers, mixed, tmp_path / "b.npy", views=1, seed=0)
        assert found.rows == [0, 1, 2, 3, *range(5, 11)]
        assert [problem.name for problem in found.problems] == [str(bad)]
        assert np.allclose(found.values, wanted.values, atol=1e-3)


def test_nothing_readable_at_all(tiny: ModelSpec, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    found = computed_features(locked(tiny), [Photo(Source(bad), ("x",))], tmp_path / "f.npy", views=2, seed=0)
    assert found.rows == []
    assert found.values.shape[1] == 0


def test_pixels_made_anew_pass_over_bad_ones(tiny: ModelSpec, pictures: Path, tmp_path: Path) -> None:
    towers, sound = locked(tiny), divided(pictures).training[:6]
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    inputs = PixelInputs(towers, (*sound, Photo(Source(bad), ("x",))), seed=0)
    one, two = inputs.batches(iter([draw([0, 6, 2], 0), draw([5, 4], 0)]))
    assert one.draw.photos.tolist() == [0, 2]
    assert len(one.images) == 2
    assert [problem.name for problem in one.problems] == [str(bad)]
    assert two.problems == ()
    assert not towers.frozen or one.images.shape[1:] == two.images.shape[1:]
