"""Loading CLIP: our vectors are open_clip's own; each bad weights file, name or network has its own error."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from library.clip import ClipModel, blank_clip, load_clip, pretrained_files
from library.encoder import ClipEncoder, load_encoder
from library.errors import ModelUnavailable, UnknownModel, WeightsInvalid
from library.precision import make_fast
from library.presets import BUILTIN, BUILTIN_FOLDER, PRESETS, ModelSpec
from library.weights import CONFIG_FILE, fetch_file, has_transformers, sha256_of

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

FP32_TOLERANCE = 1e-4  # on unit vectors
BF16_COSINE = 0.999
# One of each family, the smallest that open_clip has: plain ViT, ResNet, SigLIP, a timm convolutional tower.
FAMILIES = {"ViT-B-32": "openai", "RN50": "openai", "ViT-B-16-SigLIP": "webli", "MobileCLIP2-S0": "dfndr2b"}
TINY: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.2],
        "resize_mode": "squash",
        "size": [32, 32],
    },
}


def photos(count: int = 4, size: tuple[int, int] = (300, 260)) -> list[Image.Image]:
    """Pictures that differ in colour and in structure, the same on every machine."""
    random = np.random.default_rng(7)
    made = []
    for index in range(count):
        coarse = random.integers(0, 256, (2 + 3 * index, 3 + 2 * index, 3), dtype=np.uint8)
        made.append(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    return made


def unit(vectors: Any) -> np.ndarray[Any, Any]:
    array = vectors.detach().float().numpy()
    return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True))


def save(module: Any, path: Path) -> Path:
    from safetensors.torch import save_file

    save_file({key: value.half().contiguous() for key, value in module.state_dict().items()}, path)
    return path


def calibrate(module: Any, tag: dict[str, Any]) -> None:
    """Give batch norms the statistics of pictures: with those of a new module, all vectors are nearly the same."""
    norms = [
        each for each in module.visual.modules() if isinstance(each, torch.nn.modules.batchnorm._BatchNorm)
    ]
    side = module.visual.image_size
    side = side if isinstance(side, int) else side[0]
    pixels = np.stack([np.asarray(picture.resize((side, side))) for picture in photos(8)])
    scaled = (pixels / 255 - np.array(tag["mean"])) / np.array(tag["std"])
    batch = torch.from_numpy(scaled.transpose(0, 3, 1, 2).astype(np.float32))
    module.eval()
    for norm in norms:
        norm.momentum = None  # a plain mean
        norm.train()
    for _ in range(2 if norms else 0):
        with torch.inference_mode():
            module.encode_image(batch)
    module.eval()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as on the hub: configuration and random weights, a megabyte and a half."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / CONFIG_FILE).write_text(json.dumps(TINY))
    torch.manual_seed(1)
    save(
        open_clip.create_model(f"local-dir:{folder}", load_weights=False),
        folder / "open_clip_model.safetensors",
    )
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def family(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """An architecture and a file of random weights for it, removed afterwards (up to 400 MB)."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(3)
    module = open_clip.create_model(request.param, load_weights=False)
    calibrate(module, open_clip.get_pretrained_cfg(request.param, FAMILIES[request.param]))
    path = save(module, folder / "model.safetensors")
    yield request.param, path
    shutil.rmtree(folder)


def loaded(spec: ModelSpec, precision: Any = "fp32") -> ClipModel:
    return load_clip(spec, device="cpu", precision=precision)


def of_file(arch: str, path: Path) -> ModelSpec:
    return ModelSpec(name="mine", source="local", arch=arch, weights=path)


def test_vectors_equal_open_clips_own(family: tuple[str, Path]) -> None:
    arch, path = family
    tag = open_clip.get_pretrained_cfg(arch, FAMILIES[arch])
    reference, _, transform = open_clip.create_model_and_transforms(
        arch,
        pretrained=str(path),
        image_mean=tag["mean"],
        image_std=tag["std"],
        image_interpolation=tag["interpolation"],
        image_resize_mode=tag["resize_mode"],
    )
    reference.eval()
    pictures = photos()
    with torch.inference_mode():
        theirs = unit(reference.encode_image(torch.stack([transform(picture) for picture in pictures])))
        tokens = torch.randint(1, 30000, (3, reference.context_length))
        their_texts = unit(reference.encode_text(tokens))
    del reference
    model = loaded(of_file(arch, path))
    with torch.inference_mode():
        our_texts = unit(model.module.encode_text(tokens))  # type: ignore[operator]
    encoder = ClipEncoder(lambda: model)
    batch = np.stack([encoder.prepare(picture) for picture in pictures])
    ours = encoder.encode_images(batch)

    difference = np.abs(ours - theirs).max()
    pairs = [(i, j) for i in range(4) for j in range(i)]
    assert difference <= FP32_TOLERANCE
    apart = min(np.abs(theirs[i] - theirs[j]).max() for i, j in pairs)
    assert apart >= 10 * FP32_TOLERANCE, "random weights must not make the comparison empty"
    assert np.abs(our_texts - their_texts).max() <= FP32_TOLERANCE
    make_fast(model.module.visual, torch.bfloat16)  # type: ignore[arg-type]
    halved = ClipEncoder(lambda: replace(model, image_dtype=torch.bfloat16)).encode_images(batch)
    assert (halved * theirs).sum(axis=1).min() >= BF16_COSINE
    nearest = max(float(theirs[i] @ theirs[j]) for i, j in pairs)
    assert 1 - nearest >= 10 * (1 - BF16_COSINE), "different photos differ by far more than bf16 may"


def test_siglip_has_its_bias_and_its_own_pixels(tiny: Path) -> None:
    from library.clip import _usual_preprocessing

    assert _usual_preprocessing("ViT-B-16-SigLIP")["resize_mode"] == "squash"
    assert _usual_preprocessing("ViT-L-14") == {}  # its published weights disagree
    assert loaded(ModelSpec(name="tiny", source="local", weights=tiny)).logit_bias is None


def test_builtin_is_complete() -> None:
    model = loaded(BUILTIN)
    assert model.stamp.name == "builtin"
    assert model.stamp.dim == 384
    assert len(model.stamp.weights_sha256) == 64
    assert "size=260x260 resize=squash interpolation=bicubic" in model.stamp.preprocessing
    assert not model.module.training
    assert 20 < model.logit_scale < 40
    assert model.logit_bias is None
    tokens = model.tokenizer(["kočka", "a dog " * 100])
    assert tokens.shape == (2, 32)
    assert tokens.dtype == torch.int64
    assert int(tokens.max()) < 16384


def test_a_blank_model_is_random_by_the_seed(tmp_path: Path) -> None:
    for file in (CONFIG_FILE, "bpe_16k_en_de_fr_cs.txt.gz"):
        shutil.copy(BUILTIN_FOLDER / file, tmp_path / file)
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(blank_clip(tmp_path).module.state_dict())
    name = "visual.head.mlp.fc1.weight"
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[0][name], states[2][name])
    builtin = load_clip(BUILTIN, device="cpu", precision="fp32")
    assert states[0].keys() == builtin.module.state_dict().keys()
    assert blank_clip(tmp_path).tokenizer(["a dog"]).equal(builtin.tokenizer(["a dog"]))
    (tmp_path / CONFIG_FILE).unlink()
    with pytest.raises(WeightsInvalid, match=CONFIG_FILE):
        blank_clip(tmp_path)


def test_gradients_reach_the_picture() -> None:
    model = loaded(BUILTIN)
    picture = torch.zeros(1, 3, 260, 260, requires_grad=True)
    model.module.encode_image(picture).sum().backward()  # type: ignore[operator]
    assert picture.grad is not None
    assert float(picture.grad.abs().max()) > 0


def cats_words(language: str) -> list[str]:
    return {
        "en": ["cat", "dog", "car", "people", "mountain", "house"],
        "cs": ["kočka", "pes", "auto", "lidé", "hora", "dům"],
    }[language]


@pytest.mark.parametrize("language", ["en", "cs"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_builtin_sees_a_cat(language: str, precision: str) -> None:
    data = pytest.importorskip("skimage.data")
    encoder = load_encoder(BUILTIN, device="cpu", precision=precision)
    picture = encoder.encode_images(encoder.prepare(Image.fromarray(data.chelsea()))[None])
    scores = (picture @ encoder.encode_texts(cats_words(language)).T)[0]
    assert scores.argmax() == 0, scores
    if language == "en":
        prompts = [f"a {word}" for word in cats_words(language)]
        assert (picture @ encoder.encode_texts(prompts).T)[0].argmax() == 0


def in_hub_cache(cache: Path, repo: str, folder: Path) -> None:
    """The hub client's own layout, made by hand."""
    root = cache / f"models--{repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, root / "snapshots" / ("0" * 40))


def test_hub_model_from_the_cache(tiny: Path, tmp_path: Path) -> None:
    in_hub_cache(tmp_path, "someone/tiny", tiny)
    spec = ModelSpec(name="hf-hub:someone/tiny", source="hub", repo="someone/tiny")
    model = load_clip(spec, device="cpu", precision="fp32", cache_dir=tmp_path)
    assert model.stamp.name == "hf-hub:someone/tiny"
    assert model.stamp.dim == 24
    assert model.image_size == 32
    assert "mean=0.5,0.4,0.3" in model.stamp.preprocessing
    assert model.stamp.weights_sha256 == sha256_of(tiny / "open_clip_model.safetensors")
    reference, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tiny}")
    picture = photos(1)[0]
    with torch.inference_mode():
        theirs = unit(reference.eval().encode_image(transform(picture)[None]))
    encoder = ClipEncoder(lambda: model)
    assert np.abs(encoder.encode_images(encoder.prepare(picture)[None]) - theirs).max() <= FP32_TOLERANCE
    assert encoder.encode_texts(["a cat"]).shape == (1, 24)


def test_hub_models_from_the_ordinary_cache(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants

    in_hub_cache(tmp_path, "someone/tiny", tiny)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    found = fetch_file("someone/tiny", ("absent.bin", CONFIG_FILE), what="tiny")
    assert found.is_relative_to(tmp_path)


@pytest.mark.parametrize(
    "spec",
    [
        PRESETS["fast"],
        ModelSpec(name="hf-hub:no/such", source="hub", repo="no/such"),
        ModelSpec(name="RN50/openai", source="open_clip", arch="RN50", pretrained="openai"),
    ],
    ids=lambda spec: spec.name,
)
def test_unreachable_hub(spec: ModelSpec, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        load_clip(spec, device="cpu", precision="fp32", cache_dir=tmp_path)
    assert spec.name in caught.value.message
    assert "could not be downloaded" in caught.value.message
    assert "--model builtin" in caught.value.hint
    assert caught.value.__cause__ is not None
    assert not caplog.records


@pytest.mark.skipif(has_transformers(), reason="transformers is installed")
def test_missing_tokenizer_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="transformers") as caught:
        load_clip(PRESETS["balanced"], device="cpu", precision="fp32", cache_dir=tmp_path)
    assert "pip install transformers" in caught.value.hint


def test_unknown_architecture_and_tag() -> None:
    with pytest.raises(UnknownModel) as caught:
        loaded(of_file("ViT-B-33", BUILTIN_FOLDER / "open_clip_model.safetensors"))
    assert "ViT-B-32" in caught.value.hint
    with pytest.raises(UnknownModel) as caught:
        pretrained_files("ViT-B-32", "laion2b_s34b")
    assert "ViT-B-32/laion2b_s34b_b79k" in caught.value.hint


def test_where_published_weights_lie() -> None:
    repo, names = pretrained_files("ViT-B-32", "laion2b_s34b_b79k")
    assert (repo, names[0]) == ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_model.safetensors")
    repo, names = pretrained_files("ViTamin-S", "datacomp1b")
    assert (repo, names) == ("jienengchen/ViTamin-S", ("pytorch_model.safetensors", "pytorch_model.bin"))


def test_presets_are_published_models() -> None:
    for spec in PRESETS.values():
        assert pretrained_files(spec.arch, spec.pretrained)[0] == spec.repo
        text = open_clip.get_model_config(spec.arch)["text_cfg"]
        assert spec.needs_transformers == ("hf_tokenizer_name" in text)


def test_weights_of_another_architecture(tiny: Path) -> None:
    with pytest.raises(WeightsInvalid) as caught:
        loaded(of_file("RN50", tiny / "open_clip_model.safetensors"))
    assert "missing: " in caught.value.message
    assert "unknown: visual." in caught.value.message
    assert "more" in caught.value.message


def test_weights_of_another_shape(tiny: Path, tmp_path: Path) -> None:
    wider = json.loads(json.dumps(TINY))
    wider["model_cfg"]["text_cfg"]["context_length"] = 12
    shutil.copy(tiny / "open_clip_model.safetensors", tmp_path)
    (tmp_path / CONFIG_FILE).write_text(json.dumps(wider))
    with pytest.raises(WeightsInvalid, match=r"positional_embedding is \(8, 16\), not \(12, 16\)"):
        loaded(ModelSpec(name="wider", source="local", weights=tmp_path))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
@pytest.mark.parametrize("content", [b"", b"not weights at all" * 100], ids=["empty", "rubbish"])
def test_damaged_weights(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsInvalid, match="weights"):
        loaded(of_file("RN50", path))


def test_truncated_weights(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    path.write_bytes((tiny / "open_clip_model.safetensors").read_bytes()[:-1000])
    with pytest.raises(WeightsInvalid, match=r"half\.safetensors"):
        loaded(of_file("RN50", path))


class Trap:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_code_in_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": Trap(tmp_path / "sprung")}, tmp_path / "trap.pt")
    with pytest.raises(WeightsInvalid, match="could run code"):
        loaded(of_file("RN50", tmp_path / "trap.pt"))
    assert not (tmp_path / "sprung").exists()


def test_training_checkpoints_are_unwrapped(tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(tiny / "open_clip_model.safetensors")
    shutil.copy(tiny / CONFIG_FILE, tmp_path)
    wrapped = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in tensors.items()}}
    torch.save(wrapped, tmp_path / "open_clip_pytorch_model.bin")
    plain = loaded(ModelSpec(name="a", source="local", weights=tiny)).module.state_dict()
    unwrapped = loaded(ModelSpec(name="b", source="local", weights=tmp_path)).module.state_dict()
    assert all(torch.equal(plain[key], unwrapped[key]) for key in plain)


def test_loading_is_silent(
    tiny: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    handlers = list(logging.getLogger().handlers)
    model = loaded(ModelSpec(name="tiny", source="local", weights=tiny))
    model.tokenizer(["a"])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert logging.getLogger().handlers == handlers
    assert not logging.getLogger().filters


def test_folder_without_configuration(tmp_path: Path) -> None:
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsInvalid, match=CONFIG_FILE):
        loaded(ModelSpec(name="x", source="local", weights=tmp_path))
    with pytest.raises(ModelUnavailable, match="does not exist"):
        loaded(of_file("RN50", tmp_path / "absent.pt"))
