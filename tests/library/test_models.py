"""The registry: names, nearest names, added models, and what "auto" chooses, all without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import library.models
import library.weights
from library.errors import ConfigError, ModelUnavailable, UnknownModel, UsageError, WeightsInvalid
from library.models import MODELS_FILE, ModelSpec, Registry
from library.presets import BUILTIN, BUILTIN_FOLDER, PRESETS
from library.weights import CONFIG_FILE, WEIGHTS_FILES, fetch_file, sha256_of

COMMIT = "0" * 40


def fits(spec: ModelSpec) -> None:
    """A check that every file passes."""


def cached(cache: Path, repo: str, *names: str) -> None:
    """Empty files in the hub client's own layout."""
    root = cache / f"models--{repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    (root / "snapshots" / COMMIT).mkdir(parents=True)
    for name in names:
        (root / "snapshots" / COMMIT / name).write_bytes(b"")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "library", cache_dir=tmp_path / "cache")


def test_listing_and_auto_need_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from library.models import Registry;"
        "r = Registry(None, cache_dir=Path(sys.argv[1]));"
        "r.list(); r.auto(); r.resolve('ViT-B-32/openai');"
        "print([m for m in ('torch', 'open_clip', 'timm', 'transformers', 'faiss') if m in sys.modules])"
    )
    folder = Path(library.models.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=folder, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_model_has_a_name_and_says_what_it_is(registry: Registry) -> None:
    names = [spec.name for spec in registry.list()]
    assert names == ["builtin", "fast", "balanced", "best", "multilingual"]
    assert all(spec.summary and spec.figures for spec in registry.list("clip"))
    assert registry.list("vqgan") == []


def test_names_resolve(registry: Registry) -> None:
    assert registry.resolve(" builtin ") is BUILTIN
    assert registry.resolve("fast") is PRESETS["fast"]
    tagged = registry.resolve("ViT-B-32/laion2b-s34b_B79K")
    assert (tagged.source, tagged.arch, tagged.pretrained) == ("open_clip", "ViT-B-32", "laion2b_s34b_b79k")
    hub = registry.resolve("hf-hub:org/some.name ")
    assert (hub.source, hub.repo, hub.canonical_name) == ("hub", "org/some.name", "hf-hub:org/some.name")


def test_a_preset_and_its_long_name_are_one_model(registry: Registry) -> None:
    preset = PRESETS["balanced"]
    long = registry.resolve(f"{preset.arch}/{preset.pretrained}")
    assert long.canonical_name == preset.canonical_name
    assert long.repo == preset.repo


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("balansed", "balanced"),
        ("bultin", "builtin"),
        ("ViT-B-33/openai", "ViT-B-32"),
        ("ViT-B-16-SigLIP2-255", "SigLIP2"),
    ],
)
def test_unknown_names_get_the_nearest(registry: Registry, name: str, near: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        registry.resolve(name)
    assert near in caught.value.message


@pytest.mark.parametrize("name", ["", "hf-hub:", "hf-hub:one", "ViT-B-32/", "/openai", "hf-hub:../x/y"])
def test_half_names_are_unknown(registry: Registry, name: str) -> None:
    with pytest.raises(UnknownModel):
        registry.resolve(name)


def test_adding_and_removing(registry: Registry, weights: Path, tmp_path: Path) -> None:
    seen: list[ModelSpec] = []
    added = registry.add(" mine ", arch="RN50", weights=weights, summary="ours", check=seen.append)
    assert seen == [added]
    again = Registry(tmp_path / "library")
    assert again.resolve("mine") == added
    assert again.list()[-1] == added
    assert again.is_cached(added)
    assert again.download(added) == weights
    again.remove("mine")
    assert weights.exists()
    with pytest.raises(UnknownModel):
        registry.resolve("mine")
    with pytest.raises(UnknownModel):
        registry.remove("mine")
    assert [path.name for path in (tmp_path / "library").iterdir()] == [MODELS_FILE]


def test_vqgan_models_are_listed_by_kind(registry: Registry, weights: Path) -> None:
    spec = registry.add("painter", arch="f16", weights=weights, kind="vqgan", check=fits)
    assert registry.list("vqgan") == [spec]
    with pytest.raises(UsageError, match="no way to check"):
        registry.add("other", arch="f16", weights=weights, kind="vqgan")


@pytest.mark.parametrize(
    "name", ["builtin", "fast", "auto", "mine", "", "a/b", "-x", "a b", "x" * 65, "hf-hub:a"]
)
def test_names_that_cannot_be_added(registry: Registry, weights: Path, name: str) -> None:
    registry.add("mine", arch="RN50", weights=weights, check=fits)
    before = registry.resolve("mine")
    with pytest.raises(UsageError):
        registry.add(name, arch="RN101", weights=weights, check=fits)
    assert registry.resolve("mine") == before


def test_what_does_not_fit_is_not_added(registry: Registry, weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    with pytest.raises(ModelUnavailable, match="does not exist"):
        registry.add("mine", arch="RN50", weights=tmp_path / "absent.pt")
    with pytest.raises(WeightsInvalid):
        registry.add("mine", arch="RN50", weights=weights)
    with pytest.raises(UnknownModel):
        registry.add("mine", arch="RN5O", weights=weights)
    with pytest.raises(WeightsInvalid, match="does not fit the architecture"):
        registry.add("mine", arch="RN50", weights=BUILTIN_FOLDER / WEIGHTS_FILES[0])
    assert not (tmp_path / "library").exists()


def test_without_a_library_nothing_is_added(weights: Path) -> None:
    with pytest.raises(UsageError, match="library"):
        Registry(None).add("mine", arch="RN50", weights=weights, check=fits)


def test_oko_models_cannot_be_removed(registry: Registry) -> None:
    with pytest.raises(UsageError):
        registry.remove("best")


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 2, "models": []}', '{"format": 1, "models": [{"name": "x"}]}', "\x00"]
)
def test_a_damaged_list_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / MODELS_FILE).write_text(content)
    with pytest.raises(ConfigError, match=MODELS_FILE):
        Registry(tmp_path).list()


def test_auto_without_anything_is_builtin(registry: Registry) -> None:
    choice = registry.auto()
    assert choice.spec is BUILTIN
    assert "oko models use balanced" in choice.sentence
    assert "1.5 GB" in choice.sentence
    assert registry.resolve("auto") is BUILTIN


def test_auto_takes_the_cached_preset(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(tmp_path / "cache", PRESETS["balanced"].repo, WEIGHTS_FILES[1])
    monkeypatch.setattr(library.models, "has_transformers", lambda: False)
    choice = registry.auto()
    assert choice.spec is BUILTIN
    assert "pip install transformers" in choice.sentence
    monkeypatch.setattr(library.models, "has_transformers", lambda: True)
    choice = registry.auto()
    assert choice.spec is PRESETS["balanced"]
    assert "balanced" in choice.sentence


def test_cached_or_not(registry: Registry, tmp_path: Path) -> None:
    hub = registry.resolve("hf-hub:org/name")
    assert registry.is_cached(BUILTIN)
    assert not registry.is_cached(PRESETS["fast"])
    assert not registry.is_cached(hub)
    cached(tmp_path / "cache", "org/name", WEIGHTS_FILES[0])
    assert not registry.is_cached(hub), "its configuration is not there"
    (tmp_path / "cache" / "models--org--name" / "snapshots" / COMMIT / CONFIG_FILE).write_text("{}")
    assert registry.is_cached(hub)
    assert registry.download(hub).name == WEIGHTS_FILES[0]


def test_download_without_a_network(registry: Registry) -> None:
    with pytest.raises(ModelUnavailable, match="fast could not be downloaded"):
        registry.download(PRESETS["fast"])


def fake_hub(monkeypatch: pytest.MonkeyPatch, folder: Path, blob: str, content: bytes) -> None:
    """A hub client that "downloads" `content` as the blob called `blob`."""
    import huggingface_hub

    def download(repo: str, name: str, *, cache_dir: Any = None, tqdm_class: Any = None) -> str:
        with tqdm_class(total=len(content), name="x") as bar:
            bar.update(len(content))
        (folder / blob).write_bytes(content)
        (folder / name).symlink_to(folder / blob)
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)


def test_downloads_are_verified_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"some weights"
    (tmp_path / "plain").write_bytes(content)
    digest = sha256_of(tmp_path / "plain")
    fake_hub(monkeypatch, tmp_path, digest, content)
    steps: list[tuple[int, int | None]] = []
    path = fetch_file(
        "a/b", ("w.bin",), what="it", cache_dir=tmp_path, progress=lambda *step: steps.append(step)
    )
    assert sha256_of(path) == digest
    assert steps == [(12, 12)]


def test_a_download_that_changed_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, tmp_path, "a" * 64, b"something else")
    with pytest.raises(WeightsInvalid, match="SHA-256"):
        fetch_file("a/b", ("w.bin",), what="it", cache_dir=tmp_path)
    assert not (tmp_path / ("a" * 64)).exists()


def test_hashes_are_kept_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "cache" / "hashes.json"
    monkeypatch.setattr(library.weights, "_hashes_path", lambda: store)
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    first = sha256_of(path)
    assert json.loads(store.read_text())[str(path)][-1] == first
    with monkeypatch.context() as patch:
        patch.setattr(library.weights, "_hash", lambda path: pytest.fail("hashed again"))
        assert sha256_of(path) == first
    path.write_bytes(b"three")
    assert sha256_of(path) != first
    store.write_text("rubbish")
    assert sha256_of(path) != first
    shutil.rmtree(store.parent)
    store.parent.write_text("a file where the cache folder should be")
    assert sha256_of(path) != first
    with pytest.raises(ModelUnavailable):
        sha256_of(tmp_path / "absent")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes")
def test_weights_in_a_place_that_text_cannot_hold(registry: Registry, tmp_path: Path) -> None:
    weights = tmp_path / os.fsdecode(b"v\xe1hy.pt")
    weights.write_bytes(b"x")
    registry.add("mine", arch="RN50", weights=weights, check=lambda spec: None)
    assert registry.resolve("mine").weights == weights
    assert registry.is_cached(registry.resolve("mine"))


def test_a_model_folder_is_added_as_it_is(registry: Registry) -> None:
    added = registry.add("mine", arch="from builtin", weights=BUILTIN_FOLDER)
    assert added.weights == BUILTIN_FOLDER
    assert registry.resolve("mine") == added
    assert registry.is_cached(added)


def test_a_folder_without_a_model_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises((WeightsInvalid, ModelUnavailable)):
        registry.add("mine", arch="", weights=tmp_path)
    assert "mine" not in [spec.name for spec in registry.list()]
